"""What TensorRT measured in earlier builds, which makes later ones faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgefill.export.engines.lock import locked
from edgefill.files import write_atomically


def attach_timings(config: Any, path: Path) -> None:
    """Gives ``config`` the timings of ``path``; none where it is absent, damaged or of another GPU."""
    cache = _read(config, path)
    if not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def keep_timings(config: Any, path: Path) -> None:
    """Adds what ``config`` has measured to ``path``, beside what other processes wrote in the meantime."""
    with locked(path.with_name(path.name + ".lock")):
        cache = _read(config, path)
        if not cache.combine(config.get_timing_cache(), False):  # what lay there is of another GPU
            cache = config.get_timing_cache()
        write_atomically(path, bytes(cache.serialize()))


def _read(config: Any, path: Path) -> Any:
    content = path.read_bytes() if path.exists() else b""
    cache = config.create_timing_cache(content)
    return config.create_timing_cache(b"") if cache is None else cache
