"""The command: it serves until a signal comes, ends with 0, and says what is wrong before it begins."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from edgefill.errors import OutputError
from edgefill.serve.server import address_of, listen
from tests.cli.conftest import edgefill
from tests.serve.serving import PASS, parts

__all__ = ["edgefill"]  # a fixture


def test_serves_until_a_signal():
    command = [
        sys.executable,
        "-m",
        "edgefill",
        "serve",
        "--port",
        "0",
        "--model",
        PASS,
        "--backend",
        "cpu",
        "--threads",
        "1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = next(
            match[1] for line in process.stderr if (match := re.search(r"serving at (\S+),", line))
        )
        answer = httpx.post(f"{address}/v1/complete", timeout=120, **parts())
        assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--host", "0.0.0.0"), 3, "without a token"),
        (("--model", "nowhere"), 4, "no model 'nowhere'"),
        (("--seconds", "0"), 3, "the limit seconds"),
        (("--host", "no.such.host.invalid", "--token", "t"), 6, "cannot listen"),
        (("--backend", "none"), 5, "no backend 'none'"),
        (("--model", PASS, "--model", PASS), 3, "two models are called"),
    ],
)
def test_what_is_wrong_is_said_before_it_begins(edgefill, monkeypatch, options, code, says):
    monkeypatch.delenv("EDGEFILL_TOKEN", raising=False)
    done = edgefill("serve", "--port", "0", *options)
    assert done.code == code and says in done.err


def test_port_that_is_taken():
    with listen("127.0.0.1", 0) as taken, pytest.raises(OutputError, match="choose another --port"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_address_is_a_url_in_both_protocols():
    with listen("127.0.0.1", 0) as listener:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address_of(listener))
    try:
        listener = listen("::1", 0)
    except OutputError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert re.fullmatch(r"http://\[::1\]:\d+", address_of(listener))


def test_an_answer_in_two_parts_is_not_held_back():
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
