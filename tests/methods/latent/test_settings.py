from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from edgefill.errors import InputError
from edgefill.kernels.solvers import HMC, LBFGS, Adam, Momentum
from edgefill.methods.latent.settings import (
    PRESETS,
    SearchSettings,
    default_settings,
    search_settings,
    suited_settings,
)


def test_the_reference_preset_is_the_reference_implementation_s_flags():
    preset = PRESETS["reference"]
    assert (preset.solver.name, preset.steps, preset.lr, preset.lam) == ("adam", 1000, 0.01, 0.1)
    assert (preset.solver.beta1, preset.solver.beta2, preset.solver.eps) == (0.9, 0.999, 1e-8)
    assert (preset.power, preset.importance, preset.lr_falls) == (1, 0, False)
    assert asdict(HMC()) == {"leapfrog": 100, "size": 0.001, "beta": 0.2, "anneal": 1}


def test_the_article_preset_is_plain_momentum():
    preset = PRESETS["article"]
    assert preset.solver == Momentum(momentum=0.9, normalise=False) and preset.lr == 0.01


def test_another_solver_takes_what_suits_it_and_a_preset_keeps_its_numbers():
    for encoder, start in ((False, "random"), (True, "encoder")):
        assert search_settings(solver="momentum", encoder=encoder) == suited_settings(start, "momentum")
        assert search_settings(lr=None, encoder=encoder) == default_settings(encoder=encoder)
        assert default_settings(encoder=encoder).start == start
    assert search_settings("reference", solver="hmc", steps=7).lr == 0.01
    assert search_settings("reference", solver="hmc", steps=7).steps == 7


def test_the_default_search_that_is_changed_stays_that():
    settings = SearchSettings(steps=20).changed(lr=0.02)
    for encoder in (False, True):
        expected = replace(default_settings(encoder=encoder), steps=20, lr=0.02)
        assert settings.suited(encoder=encoder) == expected
    for named in ({"solver": "adam"}, {"eps": 1e-3}):
        chosen = SearchSettings(steps=20).changed(**named)
        assert chosen.suited(encoder=True) == chosen and chosen.start == "random"


def test_a_start_that_is_asked_for_is_the_start():
    assert search_settings(start="random", encoder=True) == suited_settings("random", "adam")
    assert search_settings(start="encoder") == suited_settings("encoder", "lbfgs")
    best = search_settings(start="best-of:16", encoder=True)
    assert best == replace(suited_settings("random", "adam"), starts=16)
    reference = search_settings("reference", encoder=True)
    assert reference == PRESETS["reference"] and reference.start == "random"
    assert search_settings("reference", start="encoder").start == "encoder"
    assert {settings.start for settings in PRESETS.values()} == {"random"}


@pytest.mark.parametrize("start", ["best-of:", "best-of:0", "best-of:many", "best-of:99999", "", "there"])
def test_a_start_that_is_none_says_what_is(start):
    with pytest.raises(InputError, match=r"expected (encoder, random or best-of:N|a number from 1)"):
        search_settings(start=start)


def test_a_search_names_the_graphs_that_it_runs():
    assert search_settings().graphs() == ("fit", "generator")
    assert search_settings(encoder=True).graphs() == ("fit", "generator", "encoder")
    assert search_settings(encoder=True).graphs(features=64) == ("wide_fit", "wide_generator", "encoder")
    assert search_settings(encoder=True, features=False).graphs(64) == ("fit", "generator", "encoder")
    assert search_settings("reference").graphs(64) == ("step", "generator")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start", "there"), ("starts", 0), ("milliseconds", 0.0),
        ("solver", "sgd"), ("steps", 0), ("steps", 10**7), ("lr", 0.0), ("lr", float("nan")), ("lam", -1.0),
        ("lam", float("inf")), ("power", 3), ("importance", 4), ("importance", -1),
        ("features", "yes"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_with_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=rf"{name} .*: expected"):
        SearchSettings(**{name: value})


@pytest.mark.parametrize(
    ("solver", "name", "value"),
    [
        (Momentum, "momentum", 1.0), (Momentum, "normalise", "yes"), (Adam, "beta2", 1.0), (Adam, "eps", 0.0),
        (LBFGS, "memory", 33), (HMC, "leapfrog", 0), (HMC, "size", -1.0), (HMC, "anneal", 0.0),
    ],
)  # fmt: skip
def test_what_no_solver_can_do_is_refused_by_name(solver, name, value):
    for ask in (solver, SearchSettings(solver()).changed):
        with pytest.raises(InputError, match=rf"with {name} .* of {solver.name}: expected .* \(.+\)"):
            ask(**{name: value})


def test_a_solver_comes_by_name_or_with_its_numbers_and_is_part_of_the_document():
    assert SearchSettings("adam") == SearchSettings(Adam()) != SearchSettings(Adam(beta1=0.5))
    assert search_settings(solver=LBFGS(memory=9), encoder=True) == search_settings(encoder=True, memory=9)
    assert search_settings(encoder=True, memory=9, solver="lbfgs").solver == LBFGS(memory=9)
    assert (
        SearchSettings(LBFGS(memory=9), steps=3).document().items()
        >= {"solver": "lbfgs", "memory": 9}.items()
    )
    with pytest.raises(InputError, match=r"with beta1, size: expected .* of lbfgs, which has memory"):
        search_settings(encoder=True, beta1=0.5, size=2.0)


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(InputError, match="default, reference, article"):
        search_settings("fast")
    with pytest.raises(InputError, match="momentum, adam, lbfgs or hmc"):
        search_settings(solver="sgd")


def test_the_learning_rate_falls_linearly_if_it_falls():
    falling = SearchSettings(steps=4, lr=1.0, lr_falls=True)
    assert falling.rates()["lr"].tolist() == [1.0, 0.75, 0.5, 0.25]
    assert SearchSettings(steps=4, lr=1.0).rates()["lr"].tolist() == [1.0] * 4
    assert SearchSettings(steps=1, lr=1.0).rates(0.25)["lr"].tolist() == [0.5], "as long as those of z alone"


def test_a_stop_rule_ends_a_search_before_its_steps():
    assert search_settings(until="converged").patience > 0
    assert search_settings("reference", until="loss:250").goal == 250
    assert search_settings(until="ms:16").milliseconds == 16
    assert search_settings().goal is None and search_settings().milliseconds is None


def test_a_search_that_ends_by_a_rule_has_steps_enough_unless_told():
    for until in ("converged", "loss:1", "ms:5"):
        assert search_settings(until=until, encoder=True).steps == 1000
        assert search_settings(until=until, steps=7).steps == 7
    assert search_settings(until="33").steps == 33


@pytest.mark.parametrize(
    "until", ["loss:", "loss:nan", "loss", "ms:", "ms:0", "ms:nan", "ms:inf", "soon", "-3"]
)
def test_a_stop_rule_that_is_none_says_what_is(until):
    with pytest.raises(InputError, match=r"expected (converged, loss:X|a loss|a time)"):
        search_settings(until=until)
