"""AlexNet's features and LPIPS: the file they come from, and the distance that they make."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgefill.errors import InputError
from edgefill.networks.alexnet import CHANNELS, load_alexnet
from tests.training.features import save_features


def test_each_layer_gives_unit_vectors_and_no_weight_learns(tmp_path):
    network = load_alexnet(save_features(tmp_path / "features.npz"))
    seen = network(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert [each.shape[:2] for each in seen] == [(2, channels) for channels in CHANNELS]
    lengths = seen[0].square().sum(1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_picture_has_no_distance_from_itself_and_more_from_others_the_more_they_differ(tmp_path):
    network = load_alexnet(save_features(tmp_path / "features.npz"))
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen, near, far = (network(picture + by * picture.flip(2)) for by in (0, 0.1, 1))
    distances = [network.distance(seen, other).item() for other in (seen, near, far)]
    assert distances[0] == 0 < distances[1] < distances[2]


@pytest.mark.parametrize("damage", ["missing", "no archive", "another shape", "no key"])
def test_a_file_that_holds_no_features_is_refused(tmp_path, damage):
    path = save_features(tmp_path / "features.npz")
    arrays = dict(np.load(path))
    if damage == "another shape":
        arrays["conv2.weight"] = arrays["conv2.weight"][:, :5]
    if damage == "no key":
        del arrays["lin4.weight"]
    np.savez(path, **arrays)
    if damage == "no archive":
        path.write_bytes(b"nothing")
    if damage == "missing":
        path.unlink()
    with pytest.raises(InputError, match="with AlexNet's"):
        load_alexnet(path)
