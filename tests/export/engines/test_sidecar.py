"""What lies beside an engine is read with suspicion."""

from __future__ import annotations

import json

import pytest

from edgefill.errors import EngineError
from edgefill.export.engines.sidecar import Sidecar

GOOD = Sidecar(
    sha256="aa", size=3, graph="step", precision="fp16", batch=(1, 4, 8), source_sha256="bb",
    library="tensorrt", library_version="10.3.0", sm=(87,), level=None, driver=None, build_seconds=1.5,
    edgefill="0.1.0", created="2026-11-21T09:30:00Z",
)  # fmt: skip


def test_it_comes_back_as_it_was_written():
    assert Sidecar.from_json(GOOD.to_json().encode(), "it") == GOOD


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema": 2}, "schema 1"),
        ({"sha256": 3}, "sha256"),
        ({"size": "3"}, "size"),
        ({"size": True}, "size"),
        ({"batch": [1, 2]}, "batch"),
        ({"batch": [1, 2, -4]}, "batch"),
        ({"batch": [1, 2, True]}, "batch"),
        ({"sm": ["87"]}, "sm"),
        ({"level": 1.5}, "level"),
        ({"extra": 1}, "extra"),
    ],
)
def test_wrong_value_is_named(changes, named):
    text = json.dumps({**json.loads(GOOD.to_json()), **changes})
    with pytest.raises(EngineError, match=f"^it .*{named}"):
        Sidecar.from_json(text.encode(), "it")


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"null", b"{", b"[" * 100_000, b'{"schema": 1}'])
def test_what_is_no_sidecar_is_refused(text):
    with pytest.raises(EngineError, match=r"^it "):
        Sidecar.from_json(text, "it")


def test_engine_of_unnamed_targets_fits_any_gpu():
    from dataclasses import replace

    assert replace(GOOD, sm=()).differences({}, 89) == []
    assert GOOD.differences({}, 87) == GOOD.differences({}, None) == []
    assert GOOD.differences({}, 89) == ["sm is 87, here it is 89"]
