"""Several processes share a folder: each picture is done by one of them, whatever happens to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from edgefill.cli.shards import Shard, shard_of
from edgefill.errors import InputError

_ROOT = Path(__file__).resolve().parents[2]
_ARRAY = {
    "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "15",
    "SLURM_ARRAY_TASK_COUNT": "16", "SLURM_ARRAY_TASK_STEP": "1",
}  # fmt: skip
_EVEN = {**_ARRAY, "SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "7",
         "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_STEP": "2"}  # fmt: skip
_POD = {"JOB_COMPLETION_INDEX": "2", "EDGEFILL_SHARDS": "16"}


@pytest.fixture
def photos(tmp_path):
    """A folder with forty small pictures in two folders."""
    values = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    for number, pixels in enumerate(values):
        path = tmp_path / "in" / ("a" if number % 2 else "") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "in"


def test_each_name_is_in_one_share_and_shares_are_alike():
    names = [PurePosixPath(f"{number % 7}/photo {number}.jpg") for number in range(2000)]
    taken = Counter(number for name in names for number in range(1, 9) if Shard(number, 8).takes(name))
    assert sum(taken.values()) == 2000
    assert min(taken.values()) > 200
    whole = [sum(Shard(number, 8).takes(name) for number in range(1, 9)) for name in names]
    assert set(whole) == {1}


def test_share_of_a_name_is_that_of_its_bytes_on_every_machine():
    names = ["a.png", "holiday/a.png", "Ü/é.jpg", os.fsdecode(b"\xff.png")]
    shares = [[n for n in range(1, 17) if Shard(n, 16).takes(PurePosixPath(name))] for name in names]
    assert shares == [[9], [3], [5], [14]]


@pytest.mark.parametrize(
    ("asked", "environment", "number", "of"),
    [
        ("3/16", {}, 3, 16),
        ("", {}, 1, 1),
        ("", _ARRAY, 3, 16),
        ("", _EVEN, 4, 4),
        ("", _POD, 3, 16),
        ("", {**_ARRAY, "EDGEFILL_SHARDS": "16"}, 3, 16),
        ("3/16", _ARRAY, 3, 16),
        ("3/16", {"JOB_COMPLETION_INDEX": "2"}, 3, 16),
        ("1/1", _ARRAY, 1, 1),
        ("5/6", {**_ARRAY, "SLURM_ARRAY_TASK_COUNT": "9"}, 5, 6),  # an array that does not tell
    ],
)
def test_share_is_what_is_asked_for_or_what_started_the_process_says(asked, environment, number, of):
    assert shard_of(asked, environment, of_folder=True)[:2] == (number, of)


def test_pictures_named_one_by_one_are_chosen_already():
    assert shard_of("", _ARRAY, of_folder=False).is_whole


@pytest.mark.parametrize(
    ("asked", "environment", "expected"),
    [
        *((text, {}, "from 1/N to N/N") for text in ("0/4", "5/4", "3", "3/", "a/b", "1/9999999999", "1/0")),
        ("2/16", _ARRAY, "counted from 1"),
        ("3/8", _POD, "counted from 1"),
        ("2/16", {"JOB_COMPLETION_INDEX": "2"}, "unset JOB_COMPLETION_INDEX"),
        ("", {"JOB_COMPLETION_INDEX": "2"}, "set EDGEFILL_SHARDS"),
        ("", {"JOB_COMPLETION_INDEX": "x", "EDGEFILL_SHARDS": "3"}, "JOB_COMPLETION_INDEX is 'x'"),
        ("", {"JOB_COMPLETION_INDEX": "3", "EDGEFILL_SHARDS": "3"}, "makes this shard 4/3"),
        ("", {"EDGEFILL_SHARDS": "16"}, "nothing says which"),
        ("", {"SLURM_ARRAY_TASK_ID": "2"}, "SLURM_ARRAY_TASK_MIN is not set"),
        ("", {**_ARRAY, "SLURM_ARRAY_TASK_COUNT": "9"}, "even steps"),
        ("", {**_EVEN, "SLURM_ARRAY_TASK_ID": "6"}, "even steps"),
        ("", {**_ARRAY, "EDGEFILL_SHARDS": "8"}, "EDGEFILL_SHARDS is 8"),
        ("", {**_ARRAY, **_POD}, "expected one that says the shard"),
    ],
)
def test_what_is_incomplete_or_contradicts_itself_is_refused_in_words(asked, environment, expected):
    with pytest.raises(InputError, match=expected):
        shard_of(asked, environment, of_folder=True)


def test_command_takes_its_share_and_says_so(edgefill, photos, tmp_path, monkeypatch):
    command = ("complete", photos, "--model", "smooth", "--out", tmp_path / "out")
    first = edgefill(*command, "--shard", "1/2", "--json")
    assert first.code == 0
    document = json.loads(first.out)
    done = len(document["results"])
    assert (document["shard"], document["others"]) == ("1/2", 40 - done)
    assert f"shard 1/2 by --shard: {done} of 40 pictures" in first.err
    assert "sheet" in edgefill(*command, "--shard", "2/2", "--sheet").err
    assert edgefill("complete", "-", "--model", "smooth", "--shard", "1/2").code == 3

    for name, value in {**_EVEN, "SLURM_ARRAY_TASK_MAX": "9", "SLURM_ARRAY_TASK_ID": "9"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    second = edgefill(*command)
    assert second.code == 0, second.err
    assert (
        f"shard 2/2 by SLURM_ARRAY_TASK_ID=9: {40 - done} of 40 pictures; --shard 1/1 takes all" in second.err
    )
    assert len(list((tmp_path / "out").rglob("*.png"))) == 40


def test_where_nothing_is_left_no_model_is_loaded(edgefill, photos, tmp_path):
    """One that would fail: of a run that is done, and of a shard without pictures."""
    command = ("complete", photos, "--out", tmp_path / "out", "--json", "--model")
    assert edgefill(*command, "smooth").code == 0
    broken = tmp_path / "broken.edgefill"
    broken.write_bytes(b"no model")
    done = edgefill(*command, broken, "--skip-existing", "--sheet")
    document = json.loads(done.out)
    assert (done.code, document["skipped"], document["results"], document["model"]) == (0, 40, [], None)
    assert "left out 40 pictures whose outputs are there" in done.err
    one = photos / "0.png"
    empty = next(n for n in range(1, 17) if not Shard(n, 16).takes(PurePosixPath(one.name)))
    command = ("complete", one, "--out", tmp_path / "other", "--json", "--model")
    done = edgefill(*command, broken, "--shard", f"{empty}/16")
    assert done.code == 0 and json.loads(done.out)["others"] == 1 and not (tmp_path / "other").exists()
    assert edgefill(*command, broken).code == 4


def test_two_sources_of_one_output_are_refused_in_every_share(edgefill, photos, tmp_path):
    (photos / "0.bmp").write_bytes(b"")
    for number in (1, 2):
        done = edgefill(
            "complete", photos, "--model", "smooth", "--out", tmp_path / "o", "--shard", f"{number}/2"
        )
        assert done.code == 3
        assert "would both be written" in done.err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked, to begin them quickly")
def test_shards_that_are_killed_at_random_leave_every_picture_done_once(edgefill, photos, tmp_path):
    assert edgefill("complete", photos, "--model", "smooth", "--out", tmp_path / "alone").code == 0
    run = subprocess.run(
        [sys.executable, "-m", "tests.cli.killed_shards", str(tmp_path)],
        cwd=_ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    rounds = [list(map(int, line.split())) for line in run.stdout.splitlines()]
    kills = sum(end == -9 for *ends, _ in rounds for end in ends)
    assert rounds[-1] == [0, 0, 0, 40]
    assert kills >= 4
    assert len({done for *_, done in rounds if 0 < done < 40}) == 2  # it went on from where it was killed

    alone = {
        path.relative_to(tmp_path / "alone"): path.read_bytes() for path in (tmp_path / "alone").rglob("*.*")
    }
    shared = {
        path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    }
    assert len(alone) == 40
    assert shared == alone  # all, each whole, and nothing else
    begun = Counter((tmp_path / "log").read_text().splitlines())
    names = [line.split()[1] for line in begun]
    assert len(names) == len(set(names)) == 40  # each by one shard alone
    assert 40 <= sum(begun.values()) <= 40 + kills  # and once, but for what was killed while it was put there
