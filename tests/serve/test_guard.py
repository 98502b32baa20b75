"""Who may ask: hosts, pages of other sites, tokens, and how many at once."""

from __future__ import annotations

import dataclasses
import threading

import httpx
import pytest

from edgefill.errors import InputError
from edgefill.serve.guard import OPEN, is_loopback, own_names
from edgefill.serve.server import check_reach
from tests.serve.serving import PATIENT, Gate, parts, running, waiting_model


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "192.168.1.9", "localhost.", own_names()[0]],
)
def test_addresses_and_own_names_are_hosts(server, host):
    assert server.client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "a b"]
)
def test_other_names_are_not(server, host):
    answer = server.client.get("/v1/models", headers={"Host": host})
    assert answer.status_code in (400, 421)
    assert "search" not in answer.text


def test_name_that_was_allowed_is_a_host():
    with running(waiting_model(), hosts=frozenset({"Fill.Example"})) as answering:
        assert answering.client.get("/healthz", headers={"Host": "fill.example:443"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_may_not_ask(server, headers):
    assert server.client.post("/v1/complete", headers=headers, **parts()).status_code == 403
    answer = server.client.get("/v1/models", headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_own_page_may(server):
    headers = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    assert server.client.post("/v1/jobs", headers=headers, **parts()).status_code == 202


def test_without_the_token_only_the_page_and_the_health_are_seen():
    with running(waiting_model(), token="s3cret") as answering:
        assert answering.client.get("/v1/models").status_code == 200
        stranger = httpx.Client(base_url=answering.url)
        for place in sorted(OPEN):
            assert stranger.get(place).status_code == 200, place
        for sent in ({}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Basic s3cret"},
                     {"Authorization": b"Bearer s3cret\xc3\xa9"}):  # fmt: skip
            for place in ("/v1/models", "/metrics", "/nowhere", "/v1/jobs/x"):
                answer = stranger.get(place, headers=sent)
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert stranger.post("/v1/complete", headers=sent, **parts()).status_code == 401
        stranger.close()


def test_more_than_may_be_answered_at_once_are_turned_away():
    gate = Gate()
    with running(waiting_model(gate), dataclasses.replace(PATIENT, connections=1)) as answering:
        first = threading.Thread(target=answering.complete)
        first.start()
        assert gate.reached.wait(120)
        answer = answering.client.get("/v1/models")
        assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
        assert answering.client.get("/healthz").status_code == 200
        gate.open()
        first.join()
        assert answering.client.get("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("host", "is_own"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
                         ("0.0.0.0", False), ("::", False), ("192.168.0.2", False), ("example.org", False)]
)  # fmt: skip
def test_beyond_loopback_a_token_is_needed(host, is_own):
    assert is_loopback(host) is is_own
    check_reach(host, "token")
    if is_own:
        check_reach(host, "")
    else:
        with pytest.raises(InputError, match="expected --token"):
            check_reach(host, "")


def test_token_that_no_header_could_carry():
    with pytest.raises(InputError, match="no header may have"):
        check_reach("127.0.0.1", "two words")
