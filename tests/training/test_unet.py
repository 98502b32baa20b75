"""The training of the U-Net for photographs: its phases, and that a killed one goes on as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgefill.errors import InputError
from edgefill.networks.config import UNetConfig
from edgefill.training import unet
from edgefill.training.config import UNetTraining
from edgefill.training.data import Pictures
from edgefill.training.log import STATS
from edgefill.training.one_pass import train_in_one_pass
from edgefill.training.unet import UNetTrainer
from tests.training.features import save_features
from tests.training.killing import assert_it_goes_on

CPU = torch.device("cpu")
RECORDED = [0.60571, 0.60064, 0.59861, 0.59317, 0.61037, 0.60005]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> UNetTraining:
    features = save_features(tmp_path_factory.mktemp("features") / "features.npz")
    return UNetTraining(
        network=UNetConfig(size=128, filters=2), batch=2, completion_steps=3, joint_steps=3, crop=64,
        joint_crop=96, checkpoint_every=2, precision="fp32", features=str(features),
    )  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return Pictures(np.random.default_rng(0).integers(0, 256, (6, 3, 128, 128), np.uint8))


@pytest.fixture(autouse=True)
def few_holes(monkeypatch):
    monkeypatch.setattr(unet, "_POOL", 32)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, tiny, pictures) -> Path:
    """A run that nothing stopped."""
    run = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unet, "_POOL", 32)
        assert train_in_one_pass(run, tiny, pictures, CPU) == 6
    return run


@pytest.mark.parametrize("last", [2, 4])
def test_a_training_that_was_killed_in_any_phase_goes_on_bit_for_bit(
    tmp_path, straight, tiny, pictures, last
):
    assert_it_goes_on(straight, tmp_path, tiny, pictures, last)


def test_a_seed_trains_what_it_always_did(straight):
    """Losses as they were recorded; a machine rounds in its own way."""
    lines = [json.loads(line) for line in (straight / STATS).read_text().splitlines()]
    assert [line["loss_RMS"] for line in lines] == pytest.approx(RECORDED, rel=1e-3)


def test_each_phase_trains_what_it_is_about(tiny, pictures):
    trainer = UNetTrainer(tiny, pictures, CPU)
    changed, named = [], []
    for _ in range(trainer.total_steps):
        before = {
            name: [p.clone() for p in network.parameters()] for name, network in trainer._networks().items()
        }
        named.append(set(trainer.advance(pictures.values[:2])))
        changed.append(
            {
                name
                for name in ("C", "D")
                if any(
                    not torch.equal(*pair)
                    for pair in zip(before[name], trainer._networks()[name].parameters(), strict=True)
                )
            }
        )
    assert changed == [{"C"}] * 3 + [{"C", "D"}] * 3
    assert named == [{"RMS", "LPIPS", "repetition"}] * 3 + [{"RMS", "LPIPS", "repetition", "D"}] * 3


def test_it_learns_what_is_asked_of_it(tiny, pictures):
    """To draw one colour into the holes of pictures of stripes, whatever surrounds them."""
    stripes = np.zeros((4, 3, 64, 64), np.uint8)
    stripes[:, :, :, ::2] = 255
    config = replace(
        tiny, network=UNetConfig(size=64, filters=2), joint_crop=64, batch=4, completion_steps=20,
        joint_steps=0, perceptual=0.0, lr=3e-3,
    )  # fmt: skip
    trainer = UNetTrainer(config, Pictures(stripes), CPU)
    losses = [trainer.advance(stripes)["RMS"] for _ in range(20)]
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


@pytest.mark.parametrize(("weight", "steps"), [("perceptual", 2), ("adversarial", 5)])
def test_each_weight_counts_where_it_has_a_say(tiny, pictures, weight, steps):
    def after(value, count):
        trainer = UNetTrainer(replace(tiny, **{weight: value}), pictures, CPU)
        return [trainer.advance(pictures.values[:2]) for _ in range(count)][-1]["RMS"]

    assert after(0.0, steps) != after(1.0, steps)
    if weight == "adversarial":
        assert after(0.0, 3) == after(1.0, 3)


def test_a_teacher_has_its_say(tiny, pictures):
    """In the difference by its weight, in LPIPS alone."""

    def losses(**taught):
        return UNetTrainer(replace(tiny, **taught), pictures, CPU).advance(pictures.values[:2])

    alone, little, much = (losses(), *(losses(teacher="photos", teaching=each) for each in (0.0, 1.0)))
    assert alone["RMS"] == little["RMS"] != much["RMS"]
    assert alone["LPIPS"] != little["LPIPS"] == much["LPIPS"]


def test_without_features_there_is_no_training(tiny, pictures):
    with pytest.raises(InputError, match="--features"):
        UNetTrainer(replace(tiny, features=""), pictures, CPU)


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": 100},
        {"joint_crop": 160},
        {"crop": 128},
        {"perceptual": -1.0},
        {"lr": 0.0},
        {"teaching": 1.5},
        {"frame": 100},
    ],
)
def test_a_recipe_that_is_none_is_refused(tiny, changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))}|joint_crop"):
        replace(tiny, **changes)
