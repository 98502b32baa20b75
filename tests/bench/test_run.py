from __future__ import annotations

from dataclasses import replace

import pytest

from edgefill.bench import Rule, bench, run
from edgefill.completion import SearchSettings
from edgefill.errors import InputError
from edgefill.model.bundle import Bundle
from tests.bench.fakes import MODEL, TimedRuntime

SETTINGS, QUICK = SearchSettings("adam", steps=2), Rule(warm_up=0.0, seconds=1e-6, iterations=1)


@pytest.fixture
def opened(monkeypatch):
    """Backends that are opened are scripted ones; the list of what was asked for and given."""
    asked = []

    def open_backend(name, bundle, **options):
        asked.append((name, options, TimedRuntime()))
        return asked[-1][-1]

    monkeypatch.setattr(run, "open_backend", open_backend)
    return asked


def bundle_of(precision: str = "fp32") -> Bundle:
    """A bundle whose graphs nobody asks for."""
    manifest = replace(MODEL, precision=precision, files={"step.onnx": {"sha256": "ab12"}})
    return Bundle(manifest, "nowhere", {})


def measure(bundle=None, backend="fake", batches=(1,), **options):
    return bench(bundle or bundle_of(), backend, batches, settings=SETTINGS, rule=QUICK, say=print, **options)


def test_each_size_is_measured_once_and_the_largest_last(opened):
    report = measure(batches=[4, 1, 4, 2])
    assert [figures.batch for figures in report.figures] == [1, 2, 4]


def test_each_size_has_a_backend_of_its_own_that_is_closed(opened):
    measure(batches=[1, 2], graph=False, threads=3, precision="fp32")
    *sizes, reference = opened
    assert len(sizes) == 2 and all(backend.closed for _, _, backend in opened)
    for _, options, _ in sizes:
        assert options["graph"] is False and options["threads"] == 3 and options["precision"] == "fp32"
    assert reference[0] == "cpu" and reference[1]["precision"] == "fp32"


def test_auto_chooses_once(opened):
    measure(backend="auto", batches=[1, 2, 3])
    assert [name for name, _, _ in opened] == ["auto", "fake", "fake", "fake", "cpu"]
    assert all(backend.closed for _, _, backend in opened)


def test_without_fp32_graphs_nothing_is_compared(opened):
    (figures,) = measure(bundle_of("fp16")).figures
    assert figures.loss_difference is figures.gradient_difference is None
    assert [name for name, _, _ in opened] == ["fake"]
    assert measure().figures[0].loss_difference == 0.0


def test_a_backend_is_closed_where_measuring_fails(opened, monkeypatch):
    def fail(self, graph, feeds):
        raise InputError("no room")

    monkeypatch.setattr(TimedRuntime, "run", fail)
    with pytest.raises(InputError, match="no room"):
        measure()
    assert opened[0][-1].closed


def test_phases_are_named_by_their_batch(opened):
    phases = []
    measure(batches=[2], progress=lambda phase, share: phases.append(phase))
    assert list(dict.fromkeys(phases)) == ["batch 2: steps", "batch 2: pictures", "comparing with fp32"]


@pytest.mark.parametrize("batches", [[], [0], [1, -2]])
def test_sizes_that_are_none_are_refused(batches):
    with pytest.raises(InputError, match="1 or more"):
        measure(batches=batches)
