"""Bodies that are too long, too slow, cut short or a lie; and whether others notice."""

from __future__ import annotations

import dataclasses
import time
from contextlib import suppress

import pytest

from edgefill.errors import InputError
from edgefill.serve import envelope
from edgefill.serve.bodies import Held
from edgefill.serve.limits import Limits
from edgefill.serve.problems import Problem
from tests.serve.serving import PATIENT, hole, parts, picture, png, running, until, waiting_model

SMALL = dataclasses.replace(PATIENT, body_bytes=20_000)


@pytest.fixture(scope="module")
def strict():
    """A server that soon has enough of the slow."""
    limits = dataclasses.replace(SMALL, idle_seconds=0.6, receive_seconds=1.0)
    with running(waiting_model(), limits) as answering:
        yield answering


@pytest.fixture(scope="module")
def patient():
    """The same with time for everybody, however busy this machine is."""
    with running(waiting_model(), SMALL) as answering:
        yield answering


def head(length: object, more: str = "") -> bytes:
    kind = "Content-Type: multipart/form-data; boundary=b"
    lines = f"POST /v1/complete HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n{more}"
    return (
        f"{lines}Content-Length: {length}\r\n\r\n".encode() if length is not None else f"{lines}\r\n".encode()
    )


def answered(connection) -> bytes:
    """All that comes until the server closes the connection."""
    content = b""
    while chunk := connection.recv(65536):
        content += chunk
    return content


def clients_of(answering) -> set[tuple[str, int]]:
    """The addresses of those whose connections the server holds."""
    return {each.client for each in set(answering.server.server_state.connections)}


def form(size: int) -> bytes:
    start = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
    return start + b"x" * size + b"\r\n--b--\r\n"


def test_announced_length_is_refused_at_once(patient):
    with patient.connect() as connection:
        connection.sendall(head(10**12))
        assert b"413" in answered(connection).split(b"\r\n")[0]


def test_answer_that_comes_before_the_body_is_not_lost_with_it(patient, monkeypatch):
    """A connection that is closed with bytes unread is reset, and what was sent may never be seen."""
    monkeypatch.setattr(envelope, "_SWALLOWING", 120.0)
    body = b"x" * 19_000
    request = head(len(body), "Connection: close\r\n").replace(
        b"multipart/form-data; boundary=b", b"text/plain"
    )
    for _ in range(3):
        with patient.connect() as connection:
            connection.sendall(request)
            time.sleep(0.05)
            connection.sendall(body[:9000])
            connection.sendall(body[9000:])
            assert answered(connection).startswith(b"HTTP/1.1 415 ")


def test_length_is_counted_where_none_is_announced(patient):
    with patient.connect() as connection:
        connection.sendall(head(None, "Transfer-Encoding: chunked\r\n"))
        start = form(0).partition(b"\r\n--b--")[0]
        for part in (start, *[b"x" * 0x1000] * 6):
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have said no already
                connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        assert b" 413 " in answered(connection)


def test_silence_ends_the_request(strict):
    with strict.connect() as connection:
        connection.sendall(head(5000) + form(2000)[:500])
        assert b" 408 " in answered(connection)


def test_trickle_ends_too(strict):
    with strict.connect() as connection:
        connection.sendall(head(5000))
        content = form(4000)
        try:
            for at in range(100):
                connection.sendall(content[at : at + 1])
                time.sleep(0.1)
        except OSError:
            pass  # the server has closed it
        else:
            pytest.fail("a byte every 100 ms went on for 10 s")
    assert strict.client.get("/healthz").status_code == 200


def test_headers_that_never_end(strict):
    with strict.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        assert answered(connection) == b""
    with strict.connect() as connection:
        assert answered(connection) == b""  # nothing at all is sent


def test_client_that_does_not_take_its_answer(strict):
    script = strict.client.get("/page.js").content
    with strict.connect() as connection:
        asked = b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(asked * (40_000_000 // len(script)))  # more than the system's buffers hold
        assert connection.recv(1)
        until(lambda: connection.getsockname() not in clients_of(strict))
        with suppress(ConnectionResetError):
            assert len(answered(connection)) < 30_000_000
    assert strict.client.get("/healthz").status_code == 200


@pytest.mark.parametrize("length", ["x", "-1", "1_0", "١"])
def test_length_that_is_no_number(patient, length):
    with patient.connect() as connection:
        connection.sendall(head("{}").replace(b"{}", length.encode()))
        assert b"400" in answered(connection).split(b"\r\n")[0]


def test_longer_than_announced_is_no_second_request(patient):
    with patient.connect() as connection:
        content = form(10)
        connection.sendall(head(len(content)) + content + b"GARBAGE\r\n\r\n")
        assert b"422" in answered(connection)
    assert patient.client.get("/healthz").status_code == 200


def test_client_that_goes_while_it_sends(patient):
    with patient.connect() as connection:
        connection.sendall(head(5000) + form(4000)[:900])
    assert patient.complete(picture=png(picture(8, 8)), mask=png(hole(8, 8))).status_code == 200
    until(lambda: patient.service.held.bytes == 0)


def test_all_requests_together_hold_no_more_than_they_may():
    limits = dataclasses.replace(PATIENT, held_bytes=3000)
    with running(waiting_model(), limits) as answering:
        answer = answering.complete(picture=png(picture(80, 80)))
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answering.complete(picture=png(picture(8, 8)), mask=png(hole(8, 8))).status_code == 200
        assert answering.service.held.bytes == 0


def test_claim_is_given_back():
    held = Held(10)
    with pytest.raises(Problem), held.claim() as claim:
        claim.take(9)
        assert held.bytes == 9
        claim.take(2)
    assert held.bytes == 0


def test_pixels_are_counted_before_they_are_decoded():
    with running(waiting_model(), dataclasses.replace(PATIENT, pixels=1000)) as answering:
        answer = answering.complete()
        assert answer.status_code == 422 and "expected between 1 and 1,000" in answer.json()["detail"]


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limit_that_limits_nothing(value):
    with pytest.raises(InputError, match="the limit seconds"):
        Limits(seconds=value)


def test_other_content_than_a_form_is_refused(patient):
    answer = patient.client.post("/v1/complete", json={})
    assert answer.status_code == 415
    assert patient.client.post("/v1/complete", files={"mask": b""}).status_code == 422
    assert patient.client.post("/v1/complete", **parts(picture=b"", mask="center")).status_code == 422
