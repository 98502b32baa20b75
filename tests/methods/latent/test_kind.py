"""How much of a picture its model can explain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgefill.completion import Completer
from edgefill.jobs.request import Request
from edgefill.methods.latent.kind import misfit, trust, worst
from edgefill.methods.latent.settings import search_settings
from edgefill.model.bundle import Bundle
from edgefill.pictures.evidence import Evidence
from edgefill.pictures.images import from_unit
from edgefill.runtimes.onnx_runtime import OnnxRuntime
from tests.bundles import tiny_bundle


def test_it_is_the_share_of_what_is_known_that_is_not_explained():
    rng = np.random.default_rng(0)
    target = rng.uniform(-1, 1, (1, 2, 8, 8)).astype(np.float32)
    weight = (rng.random((1, 1, 8, 8)) > 0.4).astype(np.float32)
    evidence = Evidence(target, weight, np.zeros((1, 1, 1, 1), np.float32))
    assert misfit(evidence, target[0]) == 0
    known = np.broadcast_to(weight, target.shape) > 0
    assert misfit(evidence, np.full((2, 8, 8), target[known].mean())) == pytest.approx(1, rel=1e-5)
    half = target[0] + 0.5 * (target[known].mean() - target[0])
    assert misfit(evidence, half) == pytest.approx(0.25, rel=1e-5)
    elsewhere = np.where(weight > 0, target, 9)
    assert misfit(evidence._replace(target=elsewhere), half) == pytest.approx(0.25, rel=1e-5)
    for nothing in (evidence._replace(weight=0 * weight), evidence._replace(target=0 * target)):
        assert misfit(nothing, half) is None


def test_trust_falls_from_the_usual_to_what_explains_nothing():
    assert [trust(value, 0.6) for value in (None, 0.1, 0.6, 0.8, 1, 3)] == pytest.approx(
        [1, 1, 1, 0.25, 0, 0]
    )
    assert (trust(2, None), trust(2, 1.1), worst([None, 0.2, 0.5]), worst([None])) == (1, 0, 0.5, None)


@pytest.mark.parametrize("start", ["encoder", "random"])
def test_a_picture_of_another_kind_is_said_to_be_one_and_nothing_in_it_is_sure(tmp_path, start):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_bundle(encoder=True))
    bundle = Bundle.open(tmp_path / "tiny.edgefill")
    runtime, rng = OnnxRuntime(bundle), np.random.default_rng(0)
    noise = from_unit(rng.uniform(-1, 1, (8, 8, 1)).astype(np.float32))
    settings = search_settings(encoder=True, start=start)
    found = {}
    for limit in (None, 1e9, 0.01):
        model = replace(bundle.manifest, usual_misfit=limit)
        with Completer(model, runtime) as completer:
            found[limit] = completer.complete(noise, "left", settings=settings, confidence=True)
    plain, usual, foreign = found.values()
    assert plain.misfit == usual.misfit == foreign.misfit > 0.01
    assert [result.is_foreign for result in found.values()] == [False, False, True]
    assert not usual.notices and "do not trust what fills it" in foreign.notices[-1]
    hole = ~plain.photograph.known
    share = trust(plain.misfit, 0.01)
    assert np.abs(foreign.confidence[hole] - share * usual.confidence[hole]).max() <= 1
    assert (foreign.confidence[~hole] == 255).all()
    batch = Completer(replace(bundle.manifest, usual_misfit=0.01), runtime)
    with batch:
        both = list(batch.complete_many([noise, noise], Request("left", settings=settings)))
    assert [each.misfit for each in both] == [plain.misfit] * 2
