"""G and D from files of weights to a bundle: read, derived, proven and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from edgefill.errors import InputError, ModelError
from edgefill.export.bundle import PRECISIONS, export_bundle, silent
from edgefill.export.weights.dcgan import Shape, build_discriminator, build_generator
from edgefill.export.weights.formats import TENSORFLOW, format_of
from edgefill.export.weights.layers import Layer
from edgefill.export.weights.picking import picked
from edgefill.export.weights.reading import State, read_states
from edgefill.export.weights.statistics import Assumption, assumed
from edgefill.export.weights.tensorflow import DISCRIMINATOR
from edgefill.model.manifest import PRIORS, Manifest

_ODD = 1.0  # the misfit from which statistics are of another network
_GENERATOR, _DISCRIMINATOR = "the generator of a DCGAN", "the discriminator of a DCGAN"


@dataclass(frozen=True)
class Found:
    """Networks in eval mode as PyTorch runs them, and sentences on what they are."""

    generator: nn.Module
    discriminator: nn.Module | None
    z_dim: int
    spatial_z: bool
    prior: str
    found: tuple[str, ...]


def examine_generator(
    file: str | Path, discriminator: str | Path | None = None, *, prior: str | None = None
) -> Found:
    """The G in ``file`` and the D in ``discriminator``, or beside G in the same file; nothing is written.

    ``prior`` is what z was drawn from in training, where that is told. Raises ModelError for files that
    cannot be read or hold other networks, InputError for another prior than PRIORS.
    """
    if prior is not None and prior not in PRIORS:
        raise InputError(f"prior is {prior!r}; expected one of {', '.join(PRIORS)}")
    return _of_states(Path(file), None if discriminator is None else Path(discriminator), prior)


def import_generator(
    file: str | Path,
    path: str | Path,
    *,
    discriminator: str | Path | None = None,
    prior: str | None = None,
    picture_range: tuple[float, float] | None = None,
    name: str | None = None,
    precision: str = "fp32",
    licence: str = "unknown",
    origin: str | None = None,
    report: Callable[[str], None] = silent,
) -> Manifest:
    """Writes a G that exists, and its D, as a bundle that searches, and returns its manifest.

    As ``examine_generator`` and ``export_bundle``, which say the rest. ``report`` is given sentences on what
    is found and what begins.
    """
    check_precision(precision)
    found = examine_generator(file, discriminator, prior=prior)
    for line in found.found:
        report(line)
    return write_generator(
        found, path, picture_range=picture_range, name=name, precision=precision, licence=licence,
        origin=origin or Path(file).name, report=report,
    )  # fmt: skip


def write_generator(
    found: Found,
    path: str | Path,
    *,
    picture_range: tuple[float, float] | None = None,
    name: str | None = None,
    precision: str = "fp32",
    licence: str = "unknown",
    origin: str = "unknown",
    report: Callable[[str], None] = silent,
) -> Manifest:
    """Writes what ``examine_generator`` found as a bundle; as ``import_generator``."""
    return export_bundle(
        found.generator, found.discriminator, path, z_dim=found.z_dim, name=name, precision=precision,
        spatial_z=found.spatial_z, prior=found.prior, picture_range=picture_range, licence=licence,
        origin=origin, progress=report,
    )  # fmt: skip


def check_precision(precision: str) -> None:
    """Raises InputError where a search has no such precision."""
    if precision not in PRECISIONS:
        raise InputError(
            f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)} for a generator, whose "
            "search needs gradients"
        )


def _of_states(file: Path, other: Path | None, prior: str | None) -> Found:
    states = read_states(file)
    build = partial(_generator, prior=prior, same=_is_same(file))
    (generator, shape, assumption), where = picked(states, build, file.name, _GENERATOR)
    judge = partial(_discriminator, shape=shape, same=_is_same(other or file))
    judged: nn.Module | None = None
    why = ""
    if other is not None:
        judged, _ = picked(read_states(other), judge, other.name, _DISCRIMINATOR)
    elif where or len(states) > 1:
        judged, why = _beside(states, judge, file.name)
    said = [f"G{f' is {where} in {file.name}' * bool(where)}: {shape}", *_about(assumption, prior)]
    said.append(f"D has {_count(judged)} convolutions" if judged else _without_d(other is None, why))
    return Found(generator, judged, shape.z_dim, shape.spatial_z, assumption.prior, tuple(said))


def _is_same(file: Path) -> bool:
    """Whether the maps of a network in ``file`` have TensorFlow's borders."""
    return format_of(file) == TENSORFLOW


def _generator(
    layers: list[Layer], where: str, *, prior: str | None, same: bool
) -> tuple[nn.Module, Shape, Assumption]:
    network, shape = build_generator(layers, where, same=same)
    if same:  # the programs that write these checkpoints say it
        return network, shape, Assumption(prior or "uniform", 0.0, known=True)
    assumption = assumed(layers, where, prior)
    return *build_generator(layers, where, assumption.slope), assumption


def _discriminator(layers: list[Layer], where: str, *, shape: Shape, same: bool) -> nn.Module:
    return build_discriminator(layers, shape, where, same=same)


def _beside(
    states: dict[str, State], judge: Callable[[list[Layer], str], nn.Module], file: str
) -> tuple[nn.Module | None, str]:
    """The D in the file of G, if there is one, and what keeps one that is called so from being it."""
    called = {name: state for name, state in states.items() if name == DISCRIMINATOR}
    why = ""
    for each in (states, called):
        try:
            return picked(each, judge, file, _DISCRIMINATOR)[0], ""
        except ModelError as error:
            why = str(error)
    return None, why if called else ""


def _about(assumption: Assumption, prior: str | None) -> list[str]:
    """Where the prior and the activations come from."""
    what = f"z from the {assumption.prior} prior, {_activation(assumption.slope)} in G"
    if assumption.known:
        return [f"as the programs have it that write such checkpoints: {what}"]
    if assumption.misfit is None:
        hint = "" if prior else "; where z was drawn from another, import with --prior"
        return [f"taken as usual, since its batch norms remember nothing: {what}{hint}"]
    said = [f"as its batch norms remember it: {what}"]
    if assumption.misfit > _ODD:
        said.append(
            "its batch norms remember quite other values than its layers give "
            f"({assumption.misfit:.1f}; usual is below {_ODD:g}): look at its samples before you use it"
        )
    return said


def _activation(slope: float) -> str:
    return f"LeakyReLU of {slope:g}" if slope else "ReLU"


def _count(network: nn.Module) -> int:
    return sum(isinstance(each, nn.Conv2d) for each in network.modules())


def _without_d(hint: bool, why: str) -> str:
    brings = "; --discriminator FILE brings one" * hint
    return f"no D: the search has no perceptual loss{brings}{f' ({why})' * bool(why)}"
