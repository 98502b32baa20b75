"""What a server says of itself."""

from __future__ import annotations

import re

from edgefill import __version__
from tests.serve.serving import PASS, SEARCH, running, waiting_model


def test_models_with_what_a_page_has_to_know(server):
    document = server.client.get("/v1/models").json()
    first, second = document["models"]
    assert (first["name"], first["searches"], first["encoder"]) == (SEARCH, True, True)
    assert (second["name"], second["searches"]) == (PASS, False)
    assert first["width"] == 64 and first["licence"]
    assert document["limits"]["pixels"] == server.service.limits.pixels


def test_kserve_finds_its_routes(server):
    ask = server.client.get
    assert ask("/v2").json() == {"name": "edgefill", "version": __version__, "extensions": []}
    assert ask("/v2/health/live").status_code == ask("/v2/health/ready").status_code == 200
    model = ask(f"/v2/models/{SEARCH}").json()
    assert model["name"] == SEARCH and [each["name"] for each in model["inputs"]] == ["picture", "mask"]
    assert ask(f"/v2/models/{SEARCH}/ready").status_code == 200
    assert ask("/v2/models/none/ready").status_code == 404


def test_figures_are_prometheus_own():
    with running(waiting_model()) as answering:
        answering.complete()
        answering.client.get("/v1/jobs/nobodys-secret")
        text = answering.client.get("/metrics").text
    assert 'edgefill_requests_total{route="/v1/complete",status="200"} 1.0' in text
    assert 'edgefill_jobs_total{ended="' in text and 'edgefill_waiting{model="waits"} 0.0' in text
    assert 'edgefill_phase_seconds_count{phase="encode"} 1.0' in text
    assert "nobodys-secret" not in text  # routes, not paths: or anyone could fill the memory
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z_]+(\{.*\})? [-+0-9.einfEN]+", line), line


def test_request_id_is_the_clients_where_it_is_plain(server):
    def ask(sent):
        return server.client.get("/healthz", headers={"X-Request-ID": sent}).headers["x-request-id"]

    assert ask("job-17.a_b") == "job-17.a_b"
    assert ask("two words") != "two words"
    assert ask("x" * 65) != "x" * 65


def test_every_answer_has_safe_headers(server):
    for place in ("/", "/v1/models", "/nowhere", "/docs"):
        headers = server.client.get(place).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-request-id"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_routes_that_are_none(server):
    for method, place, status in (
        ("GET", "/x", 404),
        ("GET", "/v1/complete", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/page/index.html", 404),
    ):
        answer = server.client.request(method, place)
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
