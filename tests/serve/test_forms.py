"""Forms that are none: whatever arrives is answered, and never by an error of the server."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serve.serving import hole, parts, picture, png

SAME = settings(  # in every run, however busy this machine is
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def body(*lines: bytes) -> bytes:
    return b"\r\n".join(lines)


def parts_of(disposition: bytes, names) -> list[bytes]:
    names = [bytes([each]) if isinstance(each, int) else each for each in names]
    return [line for name in names for line in (b"--b", disposition % name, b"", b"x")]


FIELD = b'Content-Disposition: form-data; name="%s"'
FILE = b'Content-Disposition: form-data; name="%s"; filename="f"'
WRONG = {
    "nothing": b"",
    "no boundary": b"hello",
    "half a form": body(b"--b", FILE % b"picture", b"", b"abc"),
    "only an end": b"--b--\r\n",
    "no name": body(b"--b", b"Content-Disposition: form-data", b"", b"x", b"--b--", b""),
    "no headers": body(b"--b", b"", b"x", b"--b--", b""),
    "twice": body(b"--b", FIELD % b"seed", b"", b"1", b"--b", FIELD % b"seed", b"", b"2", b"--b--", b""),
    "three files": body(*parts_of(FILE, b"abc"), b"--b--", b""),
    "long header": body(b"--b", b"X-A: " + b"a" * 20_000, b"", b"x", b"--b--", b""),
    "many headers": body(b"--b", *[b"X-A: a"] * 500, b"", b"x", b"--b--", b""),
    "long field": body(b"--b", FIELD % b"seed", b"", b"1" * 10_000, b"--b--", b""),
    "many fields": body(*parts_of(FIELD, [b"f%d" % at for at in range(100)]), b"--b--", b""),
    "bytes": bytes(range(256)) * 8,
    "null": body(b"--b", FIELD % b"se\0ed", b"", b"\0", b"--b--", b""),
}  # fmt: skip


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_form_is_a_problem(drawing, content):
    answer = drawing.client.post(
        "/v1/complete", content=content, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize(
    "kind",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 5000],
)
def test_boundary_that_is_none(drawing, kind):
    answer = drawing.client.post("/v1/complete", content=WRONG["twice"], headers={"Content-Type": kind})
    assert answer.status_code in (400, 415)


# A valid request, of which hypothesis takes pieces away, doubles, changes and swaps.
_whole = httpx.Request("POST", "http://x", **parts(picture=png(picture(8, 8)), mask=png(hole(8, 8)), seed=1))
VALID, KIND = _whole.read(), _whole.headers["content-type"]
places = st.integers(0, len(VALID) - 1)
edits = st.one_of(
    st.tuples(st.just("cut"), places, st.integers(1, 60)),
    st.tuples(st.just("double"), places, st.integers(1, 60)),
    st.tuples(st.just("put"), places, st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("swap"), places, places),
)


def edited(content: bytes, edit) -> bytes:
    kind, at, what = edit
    if kind == "cut":
        return content[:at] + content[at + what :]
    if kind == "double":
        return content[: at + what] + content[at:]
    if kind == "put":
        return content[:at] + what + content[at + len(what) :]
    changed = bytearray(content)
    first, second = at % max(len(changed), 1), what % max(len(changed), 1)
    changed[first], changed[second] = changed[second], changed[first]
    return bytes(changed)


@settings(SAME, max_examples=200)
@given(st.lists(edits, max_size=4))
def test_changed_forms_are_completed_or_refused(drawing, changes):
    content = VALID
    for change in changes:
        content = edited(content, change)
    answer = drawing.client.post("/v1/complete", content=content, headers={"Content-Type": KIND})
    assert answer.status_code in (200, 400, 404, 413, 422), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in answer.text


OPTIONS = ("seed", "box", "steps", "until", "start", "solver", "blend", "candidates", "seconds", "priority",
           "format", "model", "mask", "frames")  # fmt: skip


@settings(SAME, max_examples=40)
@given(st.dictionaries(st.sampled_from(OPTIONS), st.text(max_size=12), max_size=4))
def test_any_text_as_an_option(drawing, fields):
    files = {"picture": ("p", png(picture(8, 8)))}
    answer = drawing.client.post("/v1/complete", files=files, data={"mask": "center", **fields})
    assert answer.status_code in (200, 404, 422), answer.text
