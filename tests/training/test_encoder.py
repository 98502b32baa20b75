"""The encoder's training: what it sees, what it learns, and that a killed one goes on as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgefill.errors import InputError, ModelError
from edgefill.networks.config import NetworkConfig
from edgefill.training.checkpoint import load_checkpoint
from edgefill.training.config import EncoderConfig
from edgefill.training.data import Pictures
from edgefill.training.encoder import FOLDER, EncoderTrainer, load_encoder, train_encoder
from edgefill.training.holes import Holes
from edgefill.training.run import load_generator

CPU = torch.device("cpu")
NETWORK = NetworkConfig(z_dim=4, filters=2, channels=1, size=8)
TINY = EncoderConfig(NETWORK, steps=12, batch=4, width=4, checkpoint_every=5, precision="fp32")


@pytest.fixture
def run(tmp_path, run_tiny):
    run_tiny(tmp_path / "run")
    return tmp_path / "run"


def trained(run, pictures, **options):
    (run / FOLDER).mkdir(exist_ok=True)
    changes = {key: options.pop(key) for key in list(options) if hasattr(TINY, key)}
    return train_encoder(run, replace(TINY, **changes), pictures, CPU, **options)


class Killed(BaseException):
    pass


def test_a_killed_training_goes_on_bit_for_bit(run, blobs):
    trained(run, blobs)
    straight = load_checkpoint(run / FOLDER)[0]
    (run / FOLDER).rename(run / "straight")

    def kill(progress):
        if progress.step == 7:
            raise Killed

    with pytest.raises(Killed):
        trained(run, blobs, on_step=kill)
    assert trained(run, blobs, resume=True) == 12
    resumed = load_checkpoint(run / FOLDER)[0]
    assert resumed.state == straight.state
    assert all(torch.equal(tensor, straight.tensors[name]) for name, tensor in resumed.tensors.items())


def test_it_learns_to_find_the_z_of_pictures_that_g_draws(run):
    """G's own pictures, so that a z is there for each; seen with holes, and judged on others than learnt."""
    G = load_generator(run)
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(1.5)  # An untrained G draws almost the same for each z.
        drawn = G(torch.rand(600, 4) * 2 - 1).numpy()
    pictures = Pictures(np.rint((drawn + 1) * 127.5).astype(np.uint8))
    config = replace(TINY, steps=400, batch=32, generated=0.5)
    stage = EncoderTrainer(config, G, pictures, CPU)
    rng = np.random.default_rng(0)
    losses = [stage.advance(pictures.values[rng.integers(500, size=32)])["E"] for _ in range(400)]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    strips = stage.samples()
    assert strips.shape == (24, 1, 8, 24) and np.abs(strips).max() <= 1


def test_what_was_trained_is_what_is_loaded(run, blobs):
    assert load_encoder(run) is None
    trained(run, blobs)
    encoder, checkpoint = load_encoder(run), load_checkpoint(run / FOLDER)[0]
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, checkpoint.tensors[f"E_ema.{name}"])
    z = encoder(torch.zeros(3, 1, 8, 8), torch.zeros(3, 1, 8, 8))
    assert z.shape == (3, 4) and z.abs().max() < 1


def test_an_encoder_of_an_older_g_is_refused(run, blobs, run_tiny):
    trained(run, blobs)
    run_tiny(run, epochs=4, resume=True)
    with pytest.raises(ModelError, match=r"step 15, and G is at step 20.*--stage encoder"):
        load_encoder(run)


def test_another_recipe_is_not_resumed(run, blobs):
    trained(run, blobs)
    with pytest.raises(InputError, match="width"):
        trained(run, blobs, width=8, resume=True)


def test_a_loss_that_is_not_finite_names_the_step(run, blobs, monkeypatch):
    stage = EncoderTrainer(TINY, load_generator(run), blobs, CPU)
    monkeypatch.setattr(stage, "_learning_rate", lambda: 1e30)
    stage.advance(blobs.values[:4])
    with pytest.raises(ModelError, match="broke at step 1: the loss of E"):
        for _ in range(3):
            stage.advance(blobs.values[:4])


def test_holes_are_of_every_kind_and_the_same_for_a_seed():
    weight, blocks = Holes(16, 8, 0).draw(400, np.random.default_rng(1))
    again, _ = Holes(16, 8, 0).draw(400, np.random.default_rng(1))
    np.testing.assert_array_equal(weight, again)
    assert weight.shape == (400, 1, 16, 16) and blocks.shape == (400, 1, 2, 2)
    coarse = blocks[:, 0, 0, 0] == 1
    assert 0 < coarse.sum() < 60 and (weight[coarse] == 0).all()
    halves = [np.zeros((16, 16)) for _ in range(2)]
    halves[0][:, 8:], halves[1][8:] = 1, 1
    for half in halves:
        assert any((picture == half).all() for picture in weight[:, 0])
    assert (weight[~coarse].mean((1, 2, 3)) < 1).all()
