"""G and D from files of weights, or from ONNX files, to a bundle: read, derived, proven and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from edgefill.errors import InputError, ModelError
from edgefill.export.bundle import PRECISIONS, export_bundle, silent
from edgefill.export.weights.dcgan import Shape, build_discriminator, build_generator
from edgefill.export.weights.formats import OTHER, TENSORFLOW, format_of
from edgefill.export.weights.layers import Layer
from edgefill.export.weights.onnx_files import Picture, read_discriminator, read_generator
from edgefill.export.weights.picking import picked
from edgefill.export.weights.reading import State, read_states
from edgefill.export.weights.statistics import USUAL, Assumption, assumed
from edgefill.export.weights.tensorflow import DISCRIMINATOR
from edgefill.model.manifest import PRIORS, Manifest

_ODD = 1.0  # the misfit from which statistics are of another network
_RANGE_BY_LAST = {
    "Tanh": (None, "pictures in -1..1"),
    "Sigmoid": ((0.0, 1.0), "pictures in 0..1"),
}
_NO_RANGE = "pictures in -1..1 are expected; where they are in another range, import with --output-range"
_HINT = "; where z was drawn from another, import with --prior"
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
    picture_range: tuple[float, float] | None = None  # where G's last operator tells


def examine_generator(
    file: str | Path, discriminator: str | Path | None = None, *, prior: str | None = None
) -> Found:
    """The G in ``file`` and the D in ``discriminator``, or beside G in the same file; nothing is written.

    Each is a state dict of a DCGAN or an ONNX file, which is converted and compared with ONNX Runtime.
    ``prior`` is what z was drawn from in training, where that is told. Raises ModelError for files that
    cannot be read or hold other networks, InputError for another prior than PRIORS.
    """
    if prior is not None and prior not in PRIORS:
        raise InputError(f"prior is {prior!r}; expected one of {', '.join(PRIORS)}")
    file, other = Path(file), None if discriminator is None else Path(discriminator)
    return _of_onnx(file, other, prior) if format_of(file) == OTHER else _of_states(file, other, prior)


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
        spatial_z=found.spatial_z, prior=found.prior, licence=licence, origin=origin,
        picture_range=found.picture_range if picture_range is None else picture_range, progress=report,
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
    picture = (shape.channels, shape.side, shape.side)
    judged, about = None, _without_d(other is None)
    if other is not None:
        judged, about = _judged_by(other, picture)
    elif where or len(states) > 1:
        judge = partial(_discriminator, picture=picture, same=_is_same(file))
        judged, why = _beside(states, judge, file.name)
        about = _convolutions(judged) if judged else _without_d(True, why)
    said = [f"G{f' is {where} in {file.name}' * bool(where)}: {shape}", *_about(assumption, prior), about]
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


def _of_onnx(file: Path, other: Path | None, prior: str | None) -> Found:
    G = read_generator(file)
    channels, height, width = G.picture
    drawn = f"z of {G.z_dim} numbers, pictures of {height}×{width}, {channels} channel(s)"
    taken, about_range = _RANGE_BY_LAST.get(G.last, (None, _NO_RANGE))
    judged, about_d = (None, _without_d(hint=True)) if other is None else _judged_by(other, G.picture)
    said = (
        f"G is an ONNX network, as PyTorch within {G.moved:.0e} of ONNX Runtime: {drawn}",
        f"taken as {'told' if prior else 'usual'}: z from the {prior or USUAL} prior{_HINT * (not prior)}",
        f"its last operator is {G.last}: {about_range}",
        about_d,
    )
    return Found(G.network, judged, G.z_dim, G.spatial_z, prior or USUAL, said, picture_range=taken)


def _judged_by(path: Path, picture: Picture) -> tuple[nn.Module, str]:
    """The D in ``path``, and a sentence on it."""
    if format_of(path) == OTHER:
        D = read_discriminator(path, picture)
        cut = "; its sigmoid is cut off" if D.last == "Sigmoid" else ""
        return D.network, f"D is an ONNX network, within {D.moved:.0e} of ONNX Runtime{cut}"
    judge = partial(_discriminator, picture=picture, same=_is_same(path))
    judged, _ = picked(read_states(path), judge, path.name, _DISCRIMINATOR)
    return judged, _convolutions(judged)


def _discriminator(layers: list[Layer], where: str, *, picture: Picture, same: bool) -> nn.Module:
    channels, height, width = picture
    if height != width:
        raise ModelError(
            f"{where} holds weights alone, which are read for square pictures; G draws {height}×{width}; "
            "expected the D as an ONNX file"
        )
    return build_discriminator(layers, channels, height, where, same=same)


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
        return [f"taken as usual, since its batch norms remember nothing: {what}{_HINT * (not prior)}"]
    said = [f"as its batch norms remember it: {what}"]
    if assumption.misfit > _ODD:
        said.append(
            "its batch norms remember quite other values than its layers give "
            f"({assumption.misfit:.1f}; usual is below {_ODD:g}): look at its samples before you use it"
        )
    return said


def _activation(slope: float) -> str:
    return f"LeakyReLU of {slope:g}" if slope else "ReLU"


def _convolutions(network: nn.Module) -> str:
    count = sum(isinstance(each, nn.Conv2d) for each in network.modules())
    return f"D has {count} convolutions"


def _without_d(hint: bool, why: str = "") -> str:
    brings = "; --discriminator FILE brings one" * hint
    return f"no D: the search has no perceptual loss{brings}{f' ({why})' * bool(why)}"
