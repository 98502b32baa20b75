"""A training that takes milliseconds: 20 blobs of 8×8, a network of 2 filters."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgefill.networks.config import NetworkConfig
from edgefill.training.config import TrainingConfig
from edgefill.training.data import Pictures
from edgefill.training.loop import train

TINY = TrainingConfig(
    network=NetworkConfig(z_dim=4, filters=2, channels=1, size=8), epochs=3, batch=4, checkpoint_every=2
)


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def blobs():
    random = np.random.default_rng(0)
    return Pictures(random.integers(0, 256, (20, 1, 8, 8), np.uint8))


@pytest.fixture
def run_tiny(blobs):
    """Trains in a folder; keywords change the config, or are those of ``train``."""

    def run(folder, pictures=blobs, **options):
        changes = {key: options.pop(key) for key in list(options) if hasattr(TINY, key)}
        folder.mkdir(exist_ok=True)
        return train(folder, replace(TINY, **changes), pictures, torch.device("cpu"), **options)

    return run
