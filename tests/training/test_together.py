"""Two processes train what one would; one that is killed ends the other, and the run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgefill.errors import InputError
from edgefill.training.checkpoint import Checkpoint, load_checkpoint
from edgefill.training.data import Pictures
from edgefill.training.loop import train
from edgefill.training.together import anybody, batch_of, count, is_first, mean, own, synchronised
from tests.training import several
from tests.training.several import CPU, DCGAN, KINDS

# Of float32, as Adam passes it on; in float64 the weights of GLCIC are 2e-14 apart.
_ROUNDING = {"glcic": 2e-4, "unet": 1e-4}


def torchrun(*command: object) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [*torchrun, *map(str, command)], capture_output=True, text=True, timeout=200, env=environment
    )


def same(one: Checkpoint, other: Checkpoint) -> bool:
    assert one.tensors.keys() == other.tensors.keys()
    return all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def apart(one: Checkpoint, other: Checkpoint) -> float:
    return max(
        float((one.tensors[name].double() - other.tensors[name].double()).abs().max())
        for name in one.tensors
        if not name.startswith("adam") and name != "random"
    )


def test_two_processes_train_what_one_does_and_go_on_after_one_was_killed(tmp_path):
    alone, both = (several.prepared(tmp_path / name) for name in ("alone", "both"))
    several.train_all(alone)
    done = torchrun(several.__file__, both)
    for kind in KINDS:
        (one, _), (two, _) = load_checkpoint(alone / kind), load_checkpoint(both / kind)
        assert apart(one, two) < _ROUNDING.get(kind, 1e-5), kind
        assert (two.state["step"], two.state["processes"]) == (one.state["step"], 2)

    assert done.returncode == 1
    for process in (0, 1):
        assert f"process {process}: a batch of 3 pictures cannot be shared by 2 processes" in done.stdout
        assert f"process {process}: the 2 processes of this training do not have the same" in done.stdout
    straight = load_checkpoint(both / "dcgan")[0]
    assert same(load_checkpoint(both / "stopped")[0], straight)
    assert "process 0: the training cannot go on: another of its 2 processes has ended" in done.stdout
    assert load_checkpoint(both / "killed")[0].state["step"] == 3
    if sys.platform == "linux":
        assert "process 0: threads of gloo left: 0" in done.stdout, "one may abort the process as it ends"

    with pytest.raises(InputError, match="cannot resume in 1 processes what was begun in 2"):
        train(both / "killed", DCGAN, several.pictures_of(both), CPU, resume=True)
    resumed = torchrun(
        "-m", "edgefill", "train", both / "pictures", "--out", both / "killed", "--resume", "--device", "cpu",
        "--json",
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count('"steps": 6') == resumed.stderr.count("pictures: 12") == 1
    assert resumed.stderr.count("wrote ") == 1, "the first one talks"
    assert same(load_checkpoint(both / "killed")[0], straight)
    assert len((both / "killed" / "stats.jsonl").read_text().splitlines()) == 6


def test_a_process_that_is_alone_gets_back_what_it_gives(blobs: Pictures):
    value = torch.ones(3)
    assert own(value) is value and mean(value) is value and batch_of(value) == 3
    assert count() == 1 and is_first() and not anybody(False) and anybody(True)
    norm = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    assert type(synchronised(norm)[0]) is torch.nn.BatchNorm2d
