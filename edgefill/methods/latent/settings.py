"""How the latent z of a picture is searched for, and the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from edgefill.errors import InputError
from edgefill.kernels.solvers import LBFGS, Adam, Momentum, Solver, solver_of
from edgefill.limits import LIMITS, shown, whole_number
from edgefill.model.manifest import FIT, WIDE

STARTS = ("random", "encoder")
T = TypeVar("T")
_MAX_STEPS = int(LIMITS["search_steps"].most)


def _remembering(kind: type[T]) -> type[T]:
    """The dataclass ``kind``, whose objects know which of their fields were given, as ``_given``."""
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    begin: Any = kind.__init__

    @wraps(begin)
    def init(self: Any, *values: Any, **named: Any) -> None:
        object.__setattr__(self, "_given", {*names[: len(values)], *named})
        begin(self, *values, **named)

    setattr(kind, "__init__", init)  # noqa: B010  what a type checker knows of it stays true
    return kind


class SolverOrName:
    """A field of a solver, which may be given by its name."""

    def __get__(self, settings: object | None, kind: type) -> Solver:
        chosen: Solver = vars(settings)["solver"] if settings is not None else Adam()
        return chosen

    def __set__(self, settings: object, value: Solver | str) -> None:
        vars(settings)["solver"] = solver_of(value)


@_remembering
@dataclass(frozen=True)
class SearchSettings:
    """A solver and its objective. A step is one evaluation of the loss and its gradient.

    Where no ``solver`` is named a model takes its default search, with what is given here changed:
    ``SearchSettings(steps=20)`` is that search made shorter. Where one is named, what is not given is as it
    is written here. Raises InputError for values that no search can run with.
    """

    solver: SolverOrName = SolverOrName()  # with its own numbers, or by name with those that it has of itself
    start: str = "random"  # a draw from the prior; or "encoder"
    starts: int = 1  # random: draws from the prior, of which the one with the least loss is taken
    steps: int = 100
    lr: float = 0.1  # L-BFGS: the most that z's numbers move in a step, as the root of their mean square
    lr_falls: bool = False  # linearly, from lr at the first step towards 0 after the last
    lam: float = 0.1  # weight of the perceptual loss
    # Weight of |z − anchor|². The anchor is the mean of the prior, or the encoder's z where the search starts
    # there; the weight is then multiplied by the number of channels and by the fourth power of how many
    # pixels what is missing lies from the known.
    pull: float = 0.0
    power: int = 1  # the contextual loss sums |G(z) − y|^power: 1 (L1) or 2 (L2)
    importance: int = 0  # side of the window of Yeh et al. 2017; 0 weighs all known pixels alike
    milliseconds: float | None = None  # a picture's search ends after this time
    goal: float | None = None  # or at this loss
    patience: int = 0  # or where its loss has not fallen within so many steps; 0 is never
    tolerance: float = 0.01  # by this share of itself
    # Whether what G's first layer makes of z is moved too, where that can be: from the encoder's z, by
    # L-BFGS, without D. It begins as that layer has it, and is pulled there with the same weight.
    features: bool = True

    def __post_init__(self) -> None:
        for name, is_right, expected in _RULES:
            value = getattr(self, name)
            if not _holds(is_right, value):
                raise InputError(f"cannot search with {name} {shown(value)}: expected {expected}")

    def suited(self, *, encoder: bool) -> SearchSettings:
        """These settings for a model with or without an ``encoder``; see above."""
        given: set[str] = getattr(self, "_given", set())
        if "solver" in given:
            return self
        start = self.start if "start" in given else "encoder" if encoder else "random"
        default = default_settings(encoder=start == "encoder")
        return replace(default, **{name: getattr(self, name) for name in given})

    def changed(self, **changes: Any) -> SearchSettings:
        """These settings with ``changes``, of the search and of its solver. Raises InputError.

        Where no solver was named none is by that, unless it or its numbers are among the changes.
        """
        own = {each.name for each in fields(self.solver)}
        unknown = changes.keys() - own - {each.name for each in fields(self)}
        if unknown:
            raise InputError(
                f"cannot search with {', '.join(sorted(unknown))}: expected settings of the search, or of "
                f"{self.solver.name}, which has {', '.join(sorted(own)) or 'none'}"
            )
        numbers = {name: changes.pop(name) for name in own & changes.keys()}
        named = {"solver"} if numbers or "solver" in changes else set()
        chosen = solver_of(changes.pop("solver", self.solver))
        result = replace(self, solver=replace(chosen, **numbers), **changes)
        given: set[str] = getattr(self, "_given", set())
        object.__setattr__(result, "_given", given | changes.keys() | named)
        return result

    def document(self) -> dict[str, Any]:
        """As JSON values: the solver's name, its numbers, and the rest."""
        rest = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**rest, "solver": self.solver.name, **asdict(self.solver)}

    @property
    def stops(self) -> bool:
        """Whether a row may end before its steps are used up, at a goal or on a plateau."""
        return bool(self.patience) or self.goal is not None

    @property
    def moves_features(self) -> bool:
        """Whether it is a search that may move more than z."""
        return self.features and self.start == "encoder" and isinstance(self.solver, LBFGS) and not self.lam

    def graphs(self, features: int = 0) -> tuple[str, ...]:
        """The graphs of a bundle that such a search runs where it can move ``features`` beside z."""
        encoder = ("encoder",) * (self.start == "encoder")
        if features and self.moves_features:
            return (*WIDE.values(), *encoder)
        return ("step" if self.lam else FIT, "generator", *encoder)

    def rates(self, share: float = 1.0) -> np.ndarray:
        """What changes from step to step, [steps] of the solver's ``rate_struct``.

        ``share`` is that of z in what is moved: steps are as long as if z were moved alone.
        """
        t = np.arange(1, self.steps + 1, dtype=np.float64)
        rates = np.zeros(self.steps, self.solver.rate_struct().dtype)
        rates["lr"] = self.lr * (1 - (t - 1) / self.steps) if self.lr_falls else self.lr
        rates["lr"] *= np.sqrt(share)
        for name, values in self.solver.rates(t).items():
            rates[name] = values
        return rates


def _holds(is_right: Any, value: object) -> bool:
    """Whether a rule holds of ``value``, of whatever type."""
    try:
        return bool(is_right(value))
    except TypeError:
        return False


def _within(limits: str) -> tuple[Any, str]:
    """The rule of one of LIMITS, and the words for it."""
    return LIMITS[limits].hold, f"a number from {LIMITS[limits]}"


def _or_none(limits: str, what: str) -> tuple[Any, str]:
    """The same, or None."""
    return lambda value: value is None or LIMITS[limits].hold(value), f"{what} from {LIMITS[limits]}, or None"


_RULES: tuple[tuple[str, Any, str], ...] = (
    ("start", STARTS.__contains__, "random or encoder"),
    ("starts", *_within("starts")),
    ("steps", *_within("search_steps")),
    ("lr", *_within("lr")),
    ("lam", *_within("weight")),
    ("pull", *_within("weight")),
    ("features", (False, True).__contains__, "True or False"),
    ("power", (1, 2).__contains__, "1 (L1) or 2 (L2)"),
    (
        "importance",
        lambda value: LIMITS["window"].hold(value) and (value == 0 or value % 2 == 1),
        f"an odd window up to {LIMITS['window'].most:,}, or 0 for none",
    ),
    ("milliseconds", *_or_none("milliseconds", "a time")),
    ("goal", *_or_none("goal", "a loss")),
    ("patience", lambda value: 0 <= value <= _MAX_STEPS, f"a number from 0 (never) to {_MAX_STEPS:,}"),
    ("tolerance", *_within("decay")),
)

# What a search has by where it starts, where no preset but the default is asked for; each solver changes of
# it what suits it. Only known pixels near the hole count (importance), D is not asked (lam), and z is pulled
# to where it can be expected: from a random start to the mean of its prior, from the encoder's z to that.
# Near the encoder's z L-BFGS gets in ten steps where Adam is after forty; from a random start it does not.
_DEFAULT: dict[str, type[Solver]] = {"random": Adam, "encoder": LBFGS}
_RANDOM = SearchSettings(Adam(), lam=0.0, pull=0.5, importance=15)
_BASES = {
    "random": _RANDOM,
    "encoder": replace(
        _RANDOM, start="encoder", power=2, steps=64, pull=0.01, importance=11, patience=5, tolerance=0.005
    ),
}

# bamos/dcgan-completion.tensorflow: complete.py since May 2017, and as its article has it.
PRESETS = {
    "reference": SearchSettings(Adam(), steps=1000, lr=0.01),
    "article": SearchSettings(Momentum(), steps=1000, lr=0.01),
}
PRESET_NAMES = ("default", *PRESETS)

# On faces this ends a search of 300 steps after 77 on average, with 6 % more loss and the same PSNR.
_PATIENCE = 10
_ENOUGH = 1000  # steps for a search that ends by another rule


def default_settings(*, encoder: bool) -> SearchSettings:
    """What suits a model with or without an ``encoder``."""
    return suited_settings("encoder" if encoder else "random")


def suited_settings(start: str, solver: Solver | str | None = None) -> SearchSettings:
    """What suits a search from ``start``, "random" or "encoder", by ``solver`` or the default one."""
    kind = _DEFAULT[start] if solver is None else type(solver_of(solver))
    suited = kind.suited(start)
    chosen = solver if isinstance(solver, Solver) else suited.solver
    return replace(_BASES[start], solver=chosen, **suited.changes)


def search_settings(
    preset: str = "default",
    *,
    encoder: bool = False,
    solver: Solver | str | None = None,
    start: str | None = None,
    until: str = "",
    **changes: Any,
) -> SearchSettings:
    """The settings of ``preset``, with ``changes`` that are not None. Raises InputError.

    Args:
        encoder: whether the model has one; the default preset starts from it then.
        solver: another than the preset's takes what suits it (default), or its own numbers.
        changes: settings of the search, and of its solver.
        start: "encoder", "random", or "best-of:N" for the best of N random ones.
        until: when a picture's search ends before its steps are used up: "converged", "loss:X", "ms:T", or
            a number, which is that of the steps.
    """
    kind, starts = _start(start)
    if whole_number(until) is not None and changes.get("steps") is not None:
        raise InputError(
            f"until {until} and steps {changes['steps']} both say how many steps; expected one of the two"
        )
    rule = {**_stop_rule(until), **({} if starts is None else {"starts": starts})}
    changes = rule | {name: value for name, value in changes.items() if value is not None}
    if preset == "default":
        base = suited_settings(kind or ("encoder" if encoder else "random"), solver)
    elif preset in PRESETS:
        base = replace(PRESETS[preset], start=kind or "random")
        base = base if solver is None else replace(base, solver=solver_of(solver))
    else:
        raise InputError(f"there is no preset {preset!r}; expected one of {', '.join(PRESET_NAMES)}")
    return base.changed(**changes)


def _start(text: str | None) -> tuple[str | None, int | None]:
    """Where to start, and from the best of how many, if that is said."""
    if text is None or text in STARTS:
        return text, None
    name, _, count = text.partition(":")
    number = whole_number(count)
    if name == "best-of" and number is not None:
        return "random", number
    raise InputError(
        f"cannot start from {shown(text)!r}: expected encoder, random or best-of:N, as in best-of:16"
    )


def _stop_rule(until: str) -> dict[str, Any]:
    if not until:
        return {}
    steps = whole_number(until)
    if steps is not None:
        return {"steps": steps}
    if until == "converged":
        return {"patience": _PATIENCE, "steps": _ENOUGH}
    kind, _, value = until.partition(":")
    try:
        return {{"loss": "goal", "ms": "milliseconds"}[kind]: float(value), "steps": _ENOUGH}
    except (KeyError, ValueError):
        raise InputError(
            f"cannot search until {shown(until)!r}: expected converged, loss:X, ms:T or a number of steps, "
            "as in loss:250 or ms:16"
        ) from None
