"""Connections to clients that may be slow on purpose: none is waited for without an end."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, which closes a connection where the client sends or takes nothing for ``seconds``.

    While a request is being answered the client may be silent: its body has a clock of its own.
    """

    class Impatient(H11Protocol):
        _watch: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.flow: FlowControl
            self._waits_since = self.loop.time()
            self._stalled_since: float | None = None
            self._watch = self.loop.call_later(seconds, self._look)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._watch is not None:
                self._watch.cancel()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            self._waits_since = self.loop.time()
            super().on_response_complete()

        def pause_writing(self) -> None:
            self._stalled_since = self.loop.time()
            super().pause_writing()

        def resume_writing(self) -> None:
            self._stalled_since = None
            super().resume_writing()

        def _look(self) -> None:
            """Closes the connection where its client has let the server wait too long, else looks again."""
            now = self.loop.time()
            idle = self.cycle is None or self.cycle.response_complete
            since = self._waits_since if idle else self._stalled_since
            if since is not None and now - since >= seconds:
                self.transport.abort()
                return
            self._watch = self.loop.call_later(seconds / 4, self._look)

    return Impatient
