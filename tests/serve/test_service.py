"""Too many jobs, clients that go away, deadlines, models that fail, and the end of the server."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
from contextlib import suppress

import httpx
import pytest

from edgefill.errors import BackendUnavailable, ModelError
from tests.serve.serving import PATIENT, Gate, hole, parts, picture, png, running, until, waiting_model


def test_more_than_may_wait_are_told_to_come_again():
    gate = Gate()
    with (
        running(waiting_model(gate, waiting=2)) as answering,
        concurrent.futures.ThreadPoolExecutor(12) as pool,
    ):
        scheduler = answering.service.models.first.scheduler
        first = pool.submit(answering.complete)
        assert gate.reached.wait(120)
        others = [pool.submit(answering.complete) for _ in range(2)]
        until(lambda: scheduler.load.waiting == 2)
        refused = answering.complete()
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert answering.client.get("/readyz").status_code == 200
        gate.open()
        assert [each.result().status_code for each in (first, *others)] == [200] * 3
        assert 'edgefill_rejected_total{reason="busy"} 1.0' in answering.client.get("/metrics").text


def test_job_of_a_client_that_went_away_is_cancelled():
    gate = Gate()
    with running(waiting_model(gate)) as answering:
        scheduler = answering.service.models.first.scheduler
        request = httpx.Request("POST", answering.url + "/v1/complete", **parts())
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        with answering.connect() as connection:
            connection.sendall(f"POST /v1/complete HTTP/1.1\r\n{lines}\r\n".encode() + request.read())
            assert gate.reached.wait(120)
        until(lambda: scheduler.load.finished == {"cancelled": 1})
        gate.open()
        assert answering.complete().status_code == 200
        assert answering.service.held.bytes == 0


def test_watched_job_that_nobody_listens_to_any_more_is_cancelled():
    gate = Gate()
    limits = dataclasses.replace(PATIENT, idle_seconds=0.3)
    with running(waiting_model(gate), limits) as answering:
        job = answering.client.post("/v1/jobs", **parts()).json()
        with answering.client.stream("GET", job["events"]):
            assert gate.reached.wait(120)
        scheduler = answering.service.models.first.scheduler
        until(lambda: scheduler.load.finished == {"cancelled": 1})
        gate.open()
        assert answering.client.get(job["events"].removesuffix("/events")).json()["state"] == "failed"


def test_deadline_gives_the_best_so_far_and_says_so(server):
    answer = server.complete(seconds=0.001)
    assert answer.status_code == 200
    assert answer.headers["x-edgefill-ended"] == "time"


def test_failure_of_the_model_names_no_file_and_makes_it_unready(capfd):
    models = waiting_model()

    def fail(graph, feeds):
        raise ModelError("the graph in /home/somebody/model.onnx has drawn NaN")

    with running(models) as answering:
        assert answering.client.get("/readyz").status_code == 200
        models.first.runtime.run = fail
        answer = answering.complete()
        assert answer.status_code == 500
        assert "/home" not in answer.text and "NaN" not in answer.text
        assert answering.client.get("/readyz").status_code == 503
        assert answering.client.get("/v2/models/waits/ready").status_code == 503
        assert answering.client.get("/healthz").status_code == 200
        del models.first.runtime.run
        assert answering.complete().status_code == 200
        assert answering.client.get("/readyz").status_code == 200
    written = capfd.readouterr().err
    assert "/home/somebody/model.onnx" in written and answer.headers["x-request-id"] in written


@pytest.mark.parametrize(
    ("error", "status"), [(BackendUnavailable("no /dev/x"), 503), (RuntimeError("/boom"), 500)]
)
def test_whatever_is_raised_is_a_problem(monkeypatch, error, status):
    models = waiting_model()

    def submit(job, then):
        raise error

    with running(models) as answering:
        monkeypatch.setattr(models.first.scheduler, "submit", submit)
        answer = answering.complete()
        assert answer.status_code == status == answer.json()["status"]
        assert str(error) not in answer.text


def test_what_was_begun_is_finished_when_the_server_ends():
    gate = Gate()
    with running(waiting_model(gate)) as answering, concurrent.futures.ThreadPoolExecutor(2) as pool:
        going = pool.submit(answering.complete)
        assert gate.reached.wait(120)
        answering.server.handle_exit(15, None)
        threading.Timer(0.3, gate.open).start()
        assert going.result(120).status_code == 200
        until(lambda: is_refused(answering.url))


def is_refused(url: str) -> bool:
    """Whether nobody listens at ``url`` any more; who came just before that may be cut off in other ways."""
    with suppress(httpx.TransportError):
        try:
            httpx.get(f"{url}/healthz")
        except httpx.ConnectError:
            return True
    return False


def test_while_it_drains_no_new_work_is_taken():
    with running(waiting_model()) as answering:
        answering.service.draining = True
        answer = answering.complete()
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answering.client.get("/readyz").status_code == 503
        assert answering.client.get("/healthz").status_code == 200


def test_many_clients_at_once_leave_nothing_behind(drawing):
    before = threading.active_count()
    small = {"picture": png(picture(8, 8)), "mask": png(hole(8, 8))}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = [each.status_code for each in pool.map(lambda _: drawing.complete(**small), range(96))]
    assert set(statuses) <= {200, 429} and 200 in statuses
    until(lambda: drawing.service.held.bytes == 0)
    assert threading.active_count() <= before + 8  # the scheduler's and the encoders', which stay
