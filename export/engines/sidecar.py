"""What lies beside an engine and says what it is, so that it can be judged without being loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefill.errors import EngineError

SCHEMA = 1
_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str, "int": int, "float": (int, float), "str | None": (str, type(None)),
    "int | None": (int, type(None)), "tuple[int, ...]": list,
}  # fmt: skip


@dataclass(frozen=True)
class Sidecar:
    """An engine: its bytes, what it was built from, with and for."""

    sha256: str  # of the engine
    size: int  # bytes
    graph: str
    precision: str
    batch: tuple[int, ...]  # smallest, most likely, largest
    source_sha256: str  # of the ONNX graph
    library: str
    library_version: str
    sm: tuple[int, ...]  # architectures that it is for; none where that was left to the library
    level: int | None  # of optimisation; None is the library's own
    driver: str | None  # that it was built beside, for information
    build_seconds: float
    edgefill: str  # the version that built it
    created: str  # UTC, such as 2026-11-21T09:30:00Z
    schema: int = SCHEMA

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: bytes, where: str) -> Sidecar:
        """The sidecar in ``text``. Raises EngineError that names what is wrong with it."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"{where} is no JSON: {error}") from error
        fields = {item.name: _TYPES[str(item.type)] for item in dataclasses.fields(cls)}
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            raise EngineError(f"{where} is not of schema {SCHEMA}")
        if values.keys() != fields.keys():
            wrong = sorted(values.keys() ^ fields.keys())
            raise EngineError(f"{where} lacks or has without need: {', '.join(wrong)}")
        for name, expected in fields.items():
            if not isinstance(values[name], expected) or isinstance(values[name], bool):
                raise EngineError(f"{where} has {name} = {values[name]!r}")
        for name in ("batch", "sm"):
            values[name] = tuple(values[name])
            if not all(type(each) is int and each > 0 for each in values[name]):
                raise EngineError(f"{where} has {name} = {values[name]!r}")
        if len(values["batch"]) != 3:
            raise EngineError(f"{where} has batch = {values['batch']!r}; expected three sizes")
        return cls(**values)

    def differences(self, wanted: dict[str, Any], gpu: int | None) -> list[str]:
        """Every field that is not as ``wanted``, with both values; ``gpu`` is the sm that is here."""
        found = [
            f"{name} is {getattr(self, name)}, here it is {value}"
            for name, value in wanted.items()
            if getattr(self, name) != value
        ]
        if gpu is not None and self.sm and gpu not in self.sm:
            found.append(f"sm is {', '.join(map(str, self.sm))}, here it is {gpu}")
        return found


def beside(engine: Path) -> Path:
    """The sidecar of ``engine``."""
    return engine.with_name(engine.name + ".json")


def read_engine(path: Path, wanted: dict[str, Any], gpu: int | None) -> tuple[bytes, Sidecar]:
    """The engine at ``path`` and its sidecar, whose fields are as ``wanted`` and whose hash is the engine's.

    Raises EngineError that says why it must not be used: missing, made for something else, or changed.
    """
    if not path.is_file():
        raise EngineError(f"there is no engine {path.name}")
    if not beside(path).is_file():
        raise EngineError(f"the engine {path.name} has no {beside(path).name} that says what it is")
    sidecar = Sidecar.from_json(beside(path).read_bytes(), beside(path).name)
    different = sidecar.differences(wanted, gpu)
    if different:
        raise EngineError(f"the engine {path.name} does not fit: {'; '.join(different)}")
    plan = path.read_bytes()
    found = hashlib.sha256(plan).hexdigest()
    if found != sidecar.sha256:
        raise EngineError(
            f"the engine {path.name} is damaged or was changed: its sha256 is {found[:12]}…, "
            f"{beside(path).name} says {sidecar.sha256[:12]}…"
        )
    return plan, sidecar
