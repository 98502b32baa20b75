"""One line an event on stderr, as key=value: for people, journald and whatever reads logfmt."""

from __future__ import annotations

import json
import re
import sys
import time
import traceback

_PLAIN = re.compile(r"[\w.:/@%+,*-]+\Z", re.ASCII)


def log(event: str, **fields: object) -> None:
    """Writes one line: the time, ``event``, then ``fields``; those that are None are left out."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    said = {
        "time": now,
        "event": event,
        **{name: value for name, value in fields.items() if value is not None},
    }
    print(" ".join(f"{name}={_text(value)}" for name, value in said.items()), file=sys.stderr, flush=True)


def log_error(error: BaseException, **fields: object) -> None:
    """Writes one line of ``error`` with its traceback, for who has to mend it."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    log("error", kind=type(error).__name__, message=str(error), traceback=trace, **fields)


def _text(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if _PLAIN.match(text) else json.dumps(text, ensure_ascii=False)
