"""Every row of the table goes the whole way: trained, exported with proof, completing, built.

GLCIC goes it by the commands, in tests/cli/test_one_pass.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch

from edgefill import Completer
from edgefill.export.run import export_run
from edgefill.model.bundle import Bundle
from edgefill.networks.config import CompletionConfig, UNetConfig
from edgefill.runtimes import open_backend
from edgefill.training import unet
from edgefill.training.architectures import ARCHITECTURES
from edgefill.training.config import OnePassTraining
from edgefill.training.data import Pictures
from edgefill.training.one_pass import load_completion_network, train_in_one_pass
from tests.export.building import build_completion
from tests.training.features import save_features

CPU = torch.device("cpu")
SHORT = {"batch": 2, "completion_steps": 1, "joint_steps": 1, "precision": "fp32"}
SMALL = CompletionConfig(channels=1, size=32, filters=2)


class Made(NamedTuple):
    """What came of a run of two steps."""

    recipe: OnePassTraining
    loaded: tuple[torch.nn.Module, OnePassTraining]
    bundle: Bundle


@pytest.fixture(scope="module", params=[kind for kind in ARCHITECTURES if kind != "glcic"])
def made(request, tmp_path_factory) -> Iterator[Made]:
    folder, kind = tmp_path_factory.mktemp("run"), request.param
    recipe = ARCHITECTURES[kind].recipe
    config = recipe(SMALL, **SHORT) if kind != "unet" else recipe(
        UNetConfig(channels=1, size=64, filters=2), crop=64, joint_crop=64,
        features=str(save_features(folder / "features.npz")), **SHORT,
    )  # fmt: skip
    side = config.network.size
    noise = np.random.default_rng(0).integers(0, 256, (4, 1, side, side), np.uint8)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(unet, "_POOL", 16)
        assert train_in_one_pass(folder, config, Pictures(noise), CPU) == 2
    export_run(folder, folder / "model.edgefill")
    yield Made(config, load_completion_network(folder), Bundle.open(folder / "model.edgefill"))


def test_it_is_exported_with_proof_and_the_manifest_says_what_it_is(made):
    manifest, kind = made.bundle.manifest, made.recipe.kind
    network, config = made.loaded
    assert config == made.recipe and not network.training
    assert (manifest.family, manifest.origin) == (kind, f"edgefill train --model {kind}")
    assert manifest.proof["completed"] < 1e-4
    sizes = manifest.passed.sizes
    assert manifest.passed.trained_side == config.side
    expected = {"context-encoder": ((32, 32), 1), "gated": (None, 8), "unet": (None, 32)}
    assert (sizes.fixed, sizes.multiple) == expected[kind]
    assert manifest.passed.reach is None, "it sees all that it is shown"


def test_it_completes_a_picture_of_another_size_and_keeps_what_is_known(made):
    picture = np.random.default_rng(1).integers(0, 256, (50, 70), np.uint8)
    hole = np.zeros((50, 70), bool)
    hole[10:40, 20:50] = True
    with Completer(made.bundle.manifest, open_backend("cpu", made.bundle)) as completer:
        drawn = completer.complete(picture, hole).picture.values
    assert drawn.shape[:2] == (50, 70)
    known = drawn.reshape(50, 70, -1)[..., 0]
    np.testing.assert_array_equal(known[~hole], picture[~hole])
    assert (known[hole] != picture[hole]).any()


def test_its_engine_builds(made):
    assert len(build_completion(made.bundle.graph("completion"), made.bundle.manifest.passed)) > 5_000
