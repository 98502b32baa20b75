"""Results are kept for a while, and not more of them than there is room for."""

from __future__ import annotations

import dataclasses

import pytest

from edgefill.serve.answers import Encoded
from edgefill.serve.kept import Kept, Watched
from edgefill.serve.limits import Limits
from edgefill.serve.problems import Problem


def ended(kept: Kept, size: int = 10) -> Watched:
    job = Watched(cancel=lambda: None, patience=1)
    kept.add(job)
    job.finish(Encoded("image/png", b"x" * size, (), None, {}))
    return job


def is_there(kept: Kept, job: Watched) -> bool:
    try:
        return kept.find(job.id) is job
    except Problem:
        return False


@pytest.mark.parametrize("limits", [Limits(kept_jobs=2), Limits(kept_bytes=25)])
def test_the_first_that_ended_goes_first(limits):
    kept = Kept(limits)
    going = Watched(cancel=lambda: None, patience=1)
    kept.add(going)
    jobs = [ended(kept) for _ in range(4)]
    assert [is_there(kept, job) for job in jobs] == [False, False, True, True]
    assert is_there(kept, going)


def test_old_ones_go():
    kept = Kept(dataclasses.replace(Limits(), kept_seconds=60))
    job = ended(kept)
    job.ended_at -= 61
    assert not is_there(kept, job)
    assert len(kept) == 0


def test_names_cannot_be_guessed():
    assert len({Watched(cancel=lambda: None, patience=1).id for _ in range(100)}) == 100
    assert len(Watched(cancel=lambda: None, patience=1).id) >= 20
