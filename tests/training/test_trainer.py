from dataclasses import replace

import numpy as np
import pytest
import torch

from edgefill.errors import ModelError
from edgefill.training import trainer as module
from edgefill.training.trainer import Trainer, load_weights

CPU = torch.device("cpu")
REAL = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), np.uint8)


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_a_step_updates_d_once_and_g_as_often_as_told(tiny):
    for updates in (1, 2, 3):
        trainer = Trainer(replace(tiny, generator_updates=updates), 10, CPU)
        trainer.advance(REAL)
        counts = {
            name: {int(state["step"]) for state in optimiser.state.values()}
            for name, optimiser in trainer.optimisers.items()
        }
        assert counts == {"D": {1}, "G": {updates}}
        assert trainer.step == 1


def test_adam_has_the_learning_rate_and_betas_of_the_config(tiny):
    trainer = Trainer(replace(tiny, lr=0.003, beta1=0.3, beta2=0.9), 10, CPU)
    before = weights(trainer.D)
    trainer.advance(REAL)
    # Adam's first step is the learning rate, whatever the gradient's size.
    assert abs((weights(trainer.D) - before).abs().max() - 0.003) < 1e-5
    assert trainer.optimisers["G"].param_groups[0]["betas"] == (0.3, 0.9)


def test_the_learning_rate_falls_linearly_to_nothing_in_the_last_share(tiny):
    trainer = Trainer(replace(tiny, lr=1.0, lr_decay=0.5), 8, CPU)
    rates = []
    for trainer.step in range(8):
        rates.append(trainer._learning_rate())
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert Trainer(replace(tiny, lr=1.0), 8, CPU)._learning_rate() == 1


def test_the_same_seed_trains_the_same_and_another_does_not(tiny):
    def trained(seed):
        trainer = Trainer(replace(tiny, seed=seed), 10, CPU)
        torch.rand(3)  # The global generator must not matter.
        return trainer.advance(REAL), weights(trainer.G)

    (losses, first), (again, second), (_, other) = trained(1), trained(1), trained(2)
    assert losses == again and torch.equal(first, second) and not torch.equal(first, other)


def test_tensors_loaded_elsewhere_go_on_bit_for_bit(tiny):
    straight = Trainer(tiny, 10, CPU)
    for _ in range(3):
        straight.advance(REAL)
    copied = Trainer(replace(tiny, seed=99), 10, CPU)
    copied.load_tensors({name: t.clone() for name, t in straight.tensors().items()}, straight.step)
    for _ in range(2):
        assert straight.advance(REAL) == copied.advance(REAL)
    expected = straight.tensors()
    assert expected.keys() == copied.tensors().keys()
    assert all(torch.equal(expected[name], tensor) for name, tensor in copied.tensors().items())


def test_mixed_precision_is_what_the_config_says(tiny):
    seen = []
    for precision in ("bf16", "fp32"):
        trainer = Trainer(replace(tiny, precision=precision), 10, CPU)
        trainer.D[-1].register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
        trainer.advance(REAL)
        assert weights(trainer.G).dtype == torch.float32
    assert set(seen[:4]) == {torch.bfloat16} and set(seen[4:]) == {torch.float32}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_with_the_step(tiny, monkeypatch, value):
    trainer = Trainer(tiny, 10, CPU)
    trainer.advance(REAL)
    monkeypatch.setattr(module, "discriminator_loss", lambda real, fake: (real.sum() + fake.sum()) * value)
    with pytest.raises(ModelError, match=r"broke at step 1: the loss of D is (nan|-?inf)"):
        trainer.advance(REAL)


def test_weights_of_another_network_are_refused_by_name(tiny):
    trainer = Trainer(tiny, 10, CPU)
    with pytest.raises(ModelError, match=r"do not fit the Generator: Missing key"):
        load_weights(trainer.G, trainer.D.state_dict())


def test_training_learns_the_colour_of_the_pictures(tiny):
    trainer = Trainer(replace(tiny, lr=0.01), 200, CPU)
    for _ in range(60):
        trainer.advance(np.full((16, 1, 8, 8), 230, np.uint8))
    with torch.no_grad():
        assert trainer.G(torch.zeros(8, 4).uniform_(-1, 1)).mean() > 0.4


def test_augmented_pictures_are_all_that_d_sees_and_a_resumed_training_draws_the_same(tiny, monkeypatch):
    config = replace(tiny, augment=True)
    seen = []
    monkeypatch.setattr(module, "augmented", lambda pictures, random: seen.append(pictures) or pictures)
    Trainer(replace(config, generator_updates=1), 10, CPU).advance(REAL)
    assert len(seen) == 3  # real, generated for D, generated for G
    monkeypatch.undo()
    straight, other = Trainer(config, 10, CPU), Trainer(config, 10, CPU)
    straight.advance(REAL)
    other.load_tensors(straight.tensors(), 1)
    assert straight.advance(REAL) == other.advance(REAL)
    assert torch.equal(weights(straight.G), weights(other.G))
    assert not torch.equal(weights(straight.G), weights(Trainer(tiny, 10, CPU).G))
