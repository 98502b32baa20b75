"""The server: uvicorn, told to end gently."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

from edgefill.errors import InputError, OutputError
from edgefill.serve.app import create_app
from edgefill.serve.guard import is_loopback
from edgefill.serve.protocol import impatient
from edgefill.serve.service import Service

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 256
_SPARE = 32  # connections beyond those that may ask: who has to be told that there are too many
_HEADER_BYTES = 16 << 10


def check_reach(host: str, token: str) -> None:
    """Raises InputError where others could ask at ``host`` without a token."""
    if not (token or is_loopback(host)):
        raise InputError(
            f"cannot serve at {host} without a token, since other machines reach it; expected --token, "
            "EDGEFILL_TOKEN, or --host 127.0.0.1 behind a proxy"
        )
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError("the token has characters that no header may have; expected letters and digits")


def listen(host: str, port: int) -> socket.socket:
    """The socket that is asked at. Raises OutputError where it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot listen at {host}, port {port}: {reason}; choose another --port") from error
    # Its connections inherit it; asyncio sets it only on sockets that were made with a protocol. Without it a
    # client that keeps its connection waits 40 ms for the second part of each answer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL at which ``listener`` is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn's server, which says that it ends before it does, and then ends with 0."""

    def __init__(self, service: Service, on_start: Callable[[], None] = lambda: None) -> None:
        limits = service.limits
        config = uvicorn.Config(
            create_app(service),
            http=impatient(limits.idle_seconds),
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=2 * limits.connections + _SPARE,
            timeout_graceful_shutdown=int(limits.drain_seconds) + 1,
            h11_max_incomplete_event_size=_HEADER_BYTES,
        )
        super().__init__(config)
        self._service, self._on_start = service, on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the server; nothing is raised once it has ended."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second one ends at once."""
        self.force_exit = self._service.draining
        self._service.draining = True
        self.should_exit = True


def serve(service: Service, listener: socket.socket, on_start: Callable[[], None]) -> None:
    """Answers requests at ``listener`` until a signal ends it; what is under way then is finished."""
    with suppress(KeyboardInterrupt):
        Server(service, on_start).run(sockets=[listener])
