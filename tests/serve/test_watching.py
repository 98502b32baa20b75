"""Jobs that are watched: what is heard of them, what comes of them, and how they end."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from tests.serve.serving import PASS, SEARCH, Gate, decoded, hole, parts, picture, running, waiting_model


def heard(client, place):
    """The events of a job, to its end."""
    with client.stream("GET", place) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = answer.read().decode()
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event")]
    return [(event[7:], json.loads(data[6:])) for event, data in blocks]


def test_search_is_seen_to_evolve(server):
    answer = server.client.post("/v1/jobs", **parts(model=SEARCH, frames=4, steps=12))
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    events = heard(server.client, job["events"])
    names = [name for name, _ in events]
    assert names[-1] == "done" and "progress" in names
    done = [data["done"] for name, data in events if name == "progress"]
    assert done == sorted(done) and done[-1] == 1
    frames = [data for name, data in events if name == "frame"]
    assert len(frames) >= 4 and all(frame["box"] == [0, 0, 48, 40] for frame in frames)
    drawn = base64.b64decode(frames[-1]["picture"].partition(",")[2])
    assert decoded(drawn).shape == (64, 64)
    completed = decoded(server.client.get(events[-1][1]["result"]).content)
    assert np.array_equal(completed[hole() == 0], picture()[hole() == 0])
    assert server.client.get(f"/v1/jobs/{job['id']}").json()["state"] == "done"


def test_who_listens_late_hears_the_same(server):
    job = server.client.post("/v1/jobs", **parts(model=PASS)).json()
    assert heard(server.client, job["events"]) == heard(server.client, job["events"])


def test_candidates_and_confidence_are_fetched_one_by_one(drawing):
    form = parts(candidates=3, confidence="true", start="random")
    about = heard(drawing.client, drawing.client.post("/v1/jobs", **form).json()["events"])[-1][1]
    contents = [drawing.client.get(each["result"]).content for each in about.get("candidates", [])]
    assert len(set(contents)) == len(contents)
    assert decoded(drawing.client.get(about["confidence"]).content).shape == (40, 48)
    for place in (f"{about['result']}?candidate=17", f"{about['result']}?candidate=x"):
        assert drawing.client.get(place).status_code == 404


def test_failure_is_an_event_and_the_answer_of_the_result(server):
    job = server.client.post("/v1/jobs", **parts(model=SEARCH, box="0,0,8,8")).json()
    name, problem = heard(server.client, job["events"])[-1]
    assert (name, problem["status"]) == ("failed", 422)
    assert "outside the box" in problem["detail"]
    assert server.client.get(f"/v1/jobs/{job['id']}/result").status_code == 422


def test_wrong_job_is_refused_before_it_is_one(server):
    assert server.client.post("/v1/jobs", **parts(model=PASS, candidates=2)).status_code == 422


def test_deleted_job_ends_and_is_forgotten(server):
    gate = Gate()
    with running(waiting_model(gate)) as answering:
        job = answering.client.post("/v1/jobs", **parts()).json()
        place = f"/v1/jobs/{job['id']}"
        assert gate.reached.wait(120)
        assert answering.client.get(f"{place}/result").status_code == 404  # not yet
        assert answering.client.delete(place).status_code == 204
        assert answering.client.get(place).status_code == 404
        gate.open()
        scheduler = answering.service.models.first.scheduler
        assert scheduler.drain(120)
        assert scheduler.load.finished == {"cancelled": 1}


@pytest.mark.parametrize("place", ["", "/events", "/result", "/confidence"])
def test_job_that_is_not_there(server, place):
    assert server.client.get(f"/v1/jobs/nobodys{place}").status_code == 404
