"""Gated convolutions with contextual attention: any multiple of 8, and what attention takes from where."""

from __future__ import annotations

import pytest
import torch

from edgefill.networks.config import CompletionConfig
from edgefill.networks.gated import ContextualAttention, Gated, GatedNetwork, PatchCritic

SMALL = CompletionConfig(channels=1, size=32, filters=2)


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (24, 40)])
def test_any_multiple_of_eight_goes_in_and_what_lies_in_the_hole_does_not_matter(size):
    network = GatedNetwork(SMALL).eval()
    picture, known = torch.rand(2, 1, *size) * 2 - 1, torch.ones(2, 1, *size)
    known[:, :, 2:6, 3:7] = 0
    completed = network(picture, known)
    assert completed.shape == picture.shape and completed.abs().max() <= 1
    assert torch.equal(network(picture.where(known > 0, torch.nan), known), completed)


def test_a_gate_that_is_shut_lets_nothing_through():
    layer = Gated(1, 2)
    with torch.no_grad():
        layer.both.bias[2:] = -1e4
    assert (layer(torch.rand(1, 1, 8, 8)) == 0).all()


def test_attention_takes_a_missing_block_from_where_it_looks_alike_and_never_from_what_is_missing():
    """Two blocks have the same surroundings; one of them is missing, and marked in one more channel."""
    features = torch.randn(1, 6, 24, 24, generator=torch.Generator().manual_seed(0))
    features[..., 14:20, 14:20] = features[..., 4:10, 4:10]
    features[:, 5] = 0
    features[:, 5, 16:18, 16:18] = 0.1  # hardly changes the likeness
    known = torch.ones(1, 1, 96, 96)
    known[..., 64:72, 64:72] = 0
    taken = ContextualAttention(6)(40 * features, known)[0, :, 16:18, 16:18]
    torch.testing.assert_close(taken[:5], 40 * features[0, :5, 6:8, 6:8], atol=0.4 * 40, rtol=0)
    assert taken[5].abs().max() < 1e-6


def test_where_nothing_is_known_attention_is_the_mean_of_all():
    features = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(ContextualAttention(2)(features, torch.zeros(1, 1, 32, 32)), features)


def test_the_critic_gives_patches_logits_and_its_layers_have_a_norm_of_one():
    D = PatchCritic(SMALL).train()
    for _ in range(30):
        logits = D(torch.rand(2, 1, 64, 64), torch.ones(2, 1, 64, 64))
    assert logits.shape == (2, 8, 2, 2)
    for layer in list(D.layers)[::2]:
        assert abs(torch.linalg.matrix_norm(layer.weight.flatten(1), 2) - 1) < 0.02
