import copy

import torch

from edgefill.networks.config import NetworkConfig
from edgefill.networks.dcgan import Generator, draw_latents, initialise
from edgefill.training.ema import fit_batch_norms, update_average

CONFIG = NetworkConfig(z_dim=8, filters=4, channels=1, size=16)


def generator():
    G = Generator(CONFIG)
    initialise(G, torch.Generator().manual_seed(0))
    return G


def test_the_average_moves_by_one_minus_decay_and_faster_at_first():
    G, G_ema = generator(), generator()
    with torch.no_grad():
        G[0].weight.fill_(1.0)
        G_ema[0].weight.zero_()
    early = copy.deepcopy(G_ema)
    update_average(early, G, 0.999, step=0)
    update_average(G_ema, G, 0.999, step=10**6)
    torch.testing.assert_close(early[0].weight, torch.full_like(G[0].weight, 0.9))
    torch.testing.assert_close(G_ema[0].weight, torch.full_like(G[0].weight, 0.001))


def test_fitted_statistics_make_eval_mode_what_train_mode_gives():
    G = generator()
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(5)
    z = draw_latents(512, 8, torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = copy.deepcopy(G).train()(z)
        unfitted = G.eval()(z)
        fit_batch_norms(G, 8, batch=64)
        fitted = G(z)
    assert not G.training
    assert (fitted - expected).abs().mean() < 0.05 * (unfitted - expected).abs().mean()


def test_fitting_twice_changes_nothing_and_leaves_global_randomness_alone():
    G = generator()
    before = torch.get_rng_state()
    fit_batch_norms(G, 8, batch=16)
    first = copy.deepcopy(G.state_dict())
    fit_batch_norms(G, 8, batch=16)
    assert all(torch.equal(first[name], tensor) for name, tensor in G.state_dict().items())
    assert torch.equal(before, torch.get_rng_state())
    assert [layer.momentum for layer in G if isinstance(layer, torch.nn.BatchNorm2d)] == [0.1, 0.1]
