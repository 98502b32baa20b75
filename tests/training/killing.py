"""A training that is killed and resumed, against one that nothing stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgefill.training.checkpoint import load_checkpoint
from edgefill.training.config import OnePassTraining
from edgefill.training.data import Pictures
from edgefill.training.one_pass import train_in_one_pass
from edgefill.training.run import read_config

CPU = torch.device("cpu")


class _Killed(BaseException):
    pass


def assert_it_goes_on(straight: Path, run: Path, recipe: OnePassTraining, pictures: Pictures, last: int):
    """Killed in ``run`` after the step ``last`` and resumed, it is to the bit what is in ``straight``."""

    def kill(progress):
        if progress.step == last:
            raise _Killed

    with pytest.raises(_Killed):
        train_in_one_pass(run, recipe, pictures, CPU, on_step=kill)
    assert train_in_one_pass(run, recipe, pictures, CPU, resume=True) == recipe.total_steps > last
    expected, resumed = (load_checkpoint(each)[0] for each in (straight, run))
    assert resumed.state == expected.state and resumed.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(tensor, expected.tensors[name]) for name, tensor in resumed.tensors.items())
    assert read_config(run, type(recipe)) == recipe
