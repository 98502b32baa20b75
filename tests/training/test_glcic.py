"""GLCIC's training: its three phases, what they change, and that a killed one goes on as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgefill.errors import InputError
from edgefill.networks.config import GlcicConfig
from edgefill.training import glcic
from edgefill.training.config import GlcicTraining, TrainingConfig
from edgefill.training.data import Pictures
from edgefill.training.glcic import GlcicTrainer
from edgefill.training.log import STATS
from edgefill.training.one_pass import train_in_one_pass
from edgefill.training.run import read_config
from tests.training.killing import assert_it_goes_on

CPU = torch.device("cpu")
TINY = GlcicTraining(
    network=GlcicConfig(channels=1, size=32, filters=2), batch=4, completion_steps=3, discriminator_steps=2,
    joint_steps=4, checkpoint_every=2, precision="fp32",
)  # fmt: skip
RECORDED_C = [0.55662, 0.62289, 0.63768, 0.65669, 0.47956, 0.51544, 0.48895]
RECORDED_D = [1.38356, 1.29538, 1.2429, 1.23362, 1.3484, 1.21631]


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    rng = np.random.default_rng(1)
    return Pictures(rng.integers(0, 256, (10, 1, 32, 32), np.uint8))


@pytest.fixture(scope="module")
def straight(tmp_path_factory, pictures) -> Path:
    """A run that nothing stopped."""
    run = tmp_path_factory.mktemp("straight")
    assert train_in_one_pass(run, TINY, pictures, CPU) == 9
    return run


@pytest.mark.parametrize("last", [2, 5, 8])
def test_a_training_that_was_killed_in_any_phase_goes_on_bit_for_bit(tmp_path, straight, pictures, last):
    assert_it_goes_on(straight, tmp_path, TINY, pictures, last)


def test_a_seed_trains_what_it_always_did(straight):
    """Losses as they were recorded; a machine rounds in its own way."""
    lines = [json.loads(line) for line in (straight / STATS).read_text().splitlines()]
    assert [line["loss_C"] for line in lines if "loss_C" in line] == pytest.approx(RECORDED_C, rel=1e-3)
    assert [line["loss_D"] for line in lines if "loss_D" in line] == pytest.approx(RECORDED_D, rel=1e-3)


def test_each_phase_trains_what_it_is_about(pictures):
    trainer = GlcicTrainer(TINY, pictures, CPU)
    changed, named = [], []
    for _ in range(trainer.total_steps):
        before = {
            name: [p.clone() for p in network.parameters()] for name, network in trainer._networks().items()
        }
        named.append(set(trainer.advance(pictures.values[:4])))
        changed.append(
            {
                name
                for name in "CD"
                if any(
                    not torch.equal(*pair)
                    for pair in zip(before[name], trainer._networks()[name].parameters(), strict=True)
                )
            }
        )
    assert changed == named == [{"C"}] * 3 + [{"D"}] * 2 + [{"C", "D"}] * 4


def test_it_learns_to_continue_what_surrounds_the_hole():
    """Pictures of one grey each: what is missing is as what is known, which the mean colour is not."""
    rng = np.random.default_rng(0)
    greys = rng.integers(20, 236, (64, 1, 1, 1)) * np.ones((1, 1, 32, 32), np.int64)
    pictures = Pictures(greys.astype(np.uint8))
    config = replace(TINY, batch=16, completion_steps=60, discriminator_steps=0, joint_steps=0, lr=3e-3)
    trainer = GlcicTrainer(replace(config, network=replace(config.network, filters=8)), pictures, CPU)
    losses = [trainer.advance(pictures.values[rng.integers(64, size=16)])["C"] for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.5 * np.var(pictures.values / 127.5), "the mean colour has the variance"


def test_alpha_weighs_the_verdict_in_the_last_phase_only(pictures):
    def after(alpha, steps):
        trainer = GlcicTrainer(replace(TINY, alpha=alpha), pictures, CPU)
        return [trainer.advance(pictures.values[:4]) for _ in range(steps)][-1]["C"]

    assert after(0.0, 3) == after(1.0, 3)
    assert after(0.0, 6) != after(1.0, 6)


def test_a_patch_lies_around_its_hole_and_inside_the_picture():
    holes = np.zeros((4, 32, 32), bool)
    holes[0, 12:20, 10:18] = True  # its middle is 15.5, 13.5
    holes[1, :4, :4] = True
    holes[2, 28:, 28:] = True
    begins = glcic._around(holes)  # the last has no hole
    assert begins.tolist() == [[8, 6], [0, 0], [16, 16], [0, 0]]
    numbered = torch.arange(4 * 32 * 32).reshape(4, 1, 32, 32)
    patches = glcic._patches(numbered, begins)
    assert patches.shape == (4, 1, 16, 16)
    assert torch.equal(patches[0, 0], numbered[0, 0, 8:24, 6:22])
    assert torch.equal(patches[2, 0], numbered[2, 0, 16:, 16:])


def test_a_run_of_another_kind_is_not_resumed(tmp_path, pictures):
    train_in_one_pass(tmp_path, replace(TINY, joint_steps=0), pictures, CPU)
    with pytest.raises(Exception, match="of the kind 'glcic', expected 'dcgan'"):
        read_config(tmp_path, TrainingConfig)
    with pytest.raises(InputError, match="cannot resume with another alpha"):
        train_in_one_pass(tmp_path, replace(TINY, alpha=1.0), pictures, CPU, resume=True)
