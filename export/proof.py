"""The proof that an exported model computes what PyTorch computes, made before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgefill.errors import ModelError
from edgefill.export.inpainter import Inpainter
from edgefill.export.objective import Completion
from edgefill.methods.latent.latents import Prior
from edgefill.model.interface import Interface
from edgefill.model.manifest import FIT, Manifest

SAMPLES = 6
_ROWS = 3  # pictures that a completion network is given at once
_MORE = (0, 0), (1, 3), (5, 2)  # height and width of them beyond the smallest, in the sizes' multiple
_LEVEL = 2 / 255  # by which whole numbers may differ, on [-1, 1]
_DIRECTIONS = 5
_DISTANCE = 1e-5  # Half the interval of the central differences, in float64.
_KINK = 1e-3  # |G(z) − y| has no gradient at 0: the proof keeps its pictures this far from G(z).


@dataclass(frozen=True)
class Tolerance:
    """The largest error that passes, per quantity of ``prove``; ``cosine`` is a smallest value."""

    generated: float = 1e-4  # largest absolute difference, on [-1, 1]
    logit: float = 1e-4  # largest difference, relative to 1 + |logit|
    loss: float = 1e-5  # largest relative difference
    gradient: float = 1e-4  # largest relative difference of a sample's gradient, in norm
    encoder: float = 1e-4  # largest absolute difference of z
    cosine: float = 0.99999
    central_differences: float = 1e-2  # relative difference over all samples and directions, in norm


_DEPENDS = "Is the module deterministic, and does each sample depend on itself only?"
_COARSE = "Where it is in fp32, fp16 has too few digits for it: export it in fp32"
_JUDGED_AS = {"batch": "gradient", "fit": "loss", "fit_gradient": "gradient"}
TOLERANCES = {
    "fp32": Tolerance(),
    "fp16": Tolerance(
        generated=0.05,
        logit=0.05,
        loss=0.02,
        gradient=0.05,
        encoder=0.05,
        cosine=0.999,
        central_differences=0.05,
    ),
}


def prove(graphs: Mapping[str, bytes], reference: Completion, manifest: Manifest) -> dict[str, float]:
    """How far the graphs are from PyTorch on random latents, pictures and masks; see ``Tolerance``.

    ``reference`` holds the same networks in float32. Raises ModelError that names the first quantity above
    its tolerance for ``manifest.precision``.
    """
    z, rest = random_case(reference.generate, manifest)
    if reference.discriminator is None:
        del rest["lam"]
    inputs = {"z": z, **rest}
    expected = _autograd(reference, z, rest)
    found, alone = evaluated(graphs, inputs), run_graph(graphs[_step_of(graphs)], _first_row(inputs))
    measured = differences(found, expected) | {"batch": _relative(alone["grad_z"], found["grad_z"][:1])}
    # Rounding to a codebook, or any gradient that is not the slope, disagrees with them in PyTorch too.
    slopes = _central_differences(reference, z, rest)
    if slopes and _off(expected["grad_z"], *slopes) <= TOLERANCES["fp32"].central_differences:
        measured["central_differences"] = _off(found["grad_z"], *slopes)
    return judged(measured, manifest.precision)


def _step_of(graphs: Mapping[str, bytes]) -> str:
    return "step" if "step" in graphs else FIT


def _first_row(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor[:1] for name, tensor in inputs.items()}


def evaluated(graphs: Mapping[str, bytes], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the graphs of a search make of ``inputs``: the step's outputs, ``G(z)`` and, with a D, ``logit``.

    Raises ModelError where that is not finite.
    """
    found = run_graph(graphs[_step_of(graphs)], inputs)
    found["G(z)"] = run_graph(graphs["generator"], {"z": inputs["z"]})["generated"]
    if "discriminator" in graphs:
        found["logit"] = run_graph(graphs["discriminator"], {"picture": found["G(z)"]})["logit"]
    _check_finite(found)
    return found


def differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, float]:
    """How far what graphs ``evaluated`` is from what is ``expected``, by the quantities of ``Tolerance``."""
    measured = {
        "generated": max(_largest(found[name], expected["generated"]) for name in ("generated", "G(z)")),
        "loss": _largest(found["loss"], expected["loss"], expected["loss"].abs()),
        "gradient": _relative(found["grad_z"], expected["grad_z"]),
        "cosine": float(F.cosine_similarity(found["grad_z"], expected["grad_z"]).min()),
    }
    if "fit" in expected:
        measured["fit"] = _largest(found["fit"], expected["fit"], expected["fit"].abs())
        measured["fit_gradient"] = _relative(found["grad_z_fit"], expected["grad_z_fit"])
    if "logit" in found:
        measured["logit"] = _largest(found["logit"], expected["logit"], 1 + expected["logit"].abs())
    return measured


def prove_encoder(graph: bytes, encoder: Callable[[Tensor, Tensor], Tensor], manifest: Manifest) -> float:
    """How far the encoder's graph is from ``encoder`` in fp32 on random pictures. Raises ModelError."""
    channels, height, width = manifest.picture_shape
    random = torch.Generator().manual_seed(3)
    known = (torch.rand(SAMPLES, 1, height, width, generator=random) < 0.7).float()
    picture = (torch.rand(SAMPLES, channels, height, width, generator=random) * 2 - 1) * known
    expected = _called(encoder, picture, known)
    if expected.shape != (SAMPLES, manifest.z_dim):
        raise ModelError(f"the encoder returned {list(expected.shape)}; expected [N, {manifest.z_dim}]")
    found = run_graph(graph, {"picture": picture, "known": known})["z"]
    _check_finite({"the encoder's z": found})
    error = _largest(found, expected)
    tolerance = TOLERANCES["fp16" if "fp16" in (manifest.precision, manifest.weights) else "fp32"]
    _judge({"encoder": error}, tolerance, manifest.precision)
    return float(f"{error:.3g}")


def _called(encoder: Callable[[Tensor, Tensor], Tensor], picture: Tensor, known: Tensor) -> Tensor:
    """What ``encoder`` makes of them. Raises ModelError, as it is foreign code."""
    try:
        with torch.no_grad():
            result: Tensor = encoder(picture, known)
    except Exception as error:  # foreign code may raise anything
        raise ModelError(
            f"the encoder does not run on pictures {list(picture.shape)} and what is known of them "
            f"{list(known.shape)}: {type(error).__name__}: {error}"
        ) from error
    return result


def prove_completion(graph: bytes, inpainter: Inpainter, manifest: Manifest) -> dict[str, float]:
    """How far the graph of a completion network is from PyTorch, on [-1, 1]; see ``prove``.

    At every size if it takes one, else at the smallest, at the trained one and at two that are no squares.
    """
    interface, tolerance = manifest.passed, TOLERANCES[manifest.precision]
    if interface.output.dtype == "uint8":
        tolerance = replace(tolerance, generated=tolerance.generated + _LEVEL)
    scale = 2 * max(interface.output.range.deviation)
    random = torch.Generator().manual_seed(4)
    completed, batch = 0.0, 0.0
    for height, width in _proof_sizes(interface):
        known = (torch.rand(_ROWS, 1, height, width, generator=random) < 0.7).float()
        picture = torch.rand(_ROWS, interface.channels, height, width, generator=random) * 2 - 1
        expected = inpainter(picture, known).float()
        _check_finite({"what PyTorch computes": expected})
        found = _drawn(graph, interface, picture, known)
        alone = _drawn(graph, interface, picture[:1], known[:1])
        completed = max(completed, _largest(found, expected) * scale)
        batch = max(batch, _largest(found[:1], alone) * scale)
    _judge({"generated": completed, "batch": batch}, tolerance, manifest.precision)
    return {"completed": float(f"{completed:.3g}")}


def _proof_sizes(interface: Interface) -> list[tuple[int, int]]:
    sizes, side = interface.sizes, interface.trained_side
    if sizes.fixed:
        return [sizes.fixed]
    least, unit = sizes.smallest, sizes.multiple
    return [(side, side), *((least + down * unit, least + right * unit) for down, right in _MORE)]


def _drawn(graph: bytes, interface: Interface, picture: Tensor, known: Tensor) -> Tensor:
    """What the graph draws, [N, C, H, W] in the range and the order of channels of its output."""
    drawn = run_graph(graph, interface.feeds(picture, known, torch))[interface.output.name]
    _check_finite({interface.output.name: drawn})
    return interface.output.standard(drawn, torch).float()


def judged(measured: Mapping[str, float], precision: str) -> dict[str, float]:
    """``measured``, rounded. Raises ModelError that names the first quantity above its tolerance."""
    _judge(measured, TOLERANCES[precision], precision)
    return {name: float(f"{value:.3g}") for name, value in measured.items()}


def _judge(measured: Mapping[str, float], tolerance: Tolerance, precision: str) -> None:
    for name, value in measured.items():
        limit = getattr(tolerance, _JUDGED_AS.get(name, name))
        passes = value >= limit if name == "cosine" else value <= limit
        if not passes:
            raise ModelError(
                f"the exported {precision} model is not what PyTorch computes: {name} is {value:.3g}, "
                f"expected {'at least' if name == 'cosine' else 'at most'} {limit:g}; nothing was written. "
                f"{_COARSE if precision == 'fp16' and name != 'batch' else _DEPENDS}"
            )


def random_case(generate: Callable[[Tensor], Tensor], manifest: Manifest) -> tuple[Tensor, dict[str, Tensor]]:
    """Latents of the prior, and the step's other inputs: random pictures and masks, powers, several λ.

    ``generate`` is G, from which the pictures keep a distance.
    """
    random = torch.Generator().manual_seed(0)
    channels, height, width = manifest.picture_shape
    z, anchor = torch.from_numpy(Prior.of(manifest).latents(range(2 * SAMPLES))).split(SAMPLES)
    target = torch.rand(SAMPLES, channels, height, width, generator=random) * 2 - 1
    with torch.no_grad():
        generated = generate(z)
    near = (generated - target).abs() < _KINK
    block = manifest.searched.block
    blocks = (height // block, width // block)
    only_blocks = (torch.arange(SAMPLES) % 3 == 2).float()[:, None, None, None]
    return z, {
        "target": torch.where(near, generated + 2 * _KINK, target),
        "weight": (torch.rand(SAMPLES, 1, height, width, generator=random) < 0.7).float() * (1 - only_blocks),
        "block_weight": torch.ones(SAMPLES, 1, *blocks) * only_blocks,
        "power": 1.0 + (torch.arange(SAMPLES) % 2).float(),
        "lam": torch.linspace(0.0, 1.0, SAMPLES),
        "anchor": anchor,
        "pull": torch.linspace(0.0, 30.0, SAMPLES),
    }


def _autograd(reference: Completion, z: Tensor, rest: Mapping[str, Tensor]) -> dict[str, Tensor]:
    z = z.clone().requires_grad_(True)
    loss, parts = reference.searched(z, **rest)
    found = {"loss": loss, "generated": parts["generated"]}
    (found["grad_z"],) = torch.autograd.grad(loss.sum(), z, retain_graph=True)
    if reference.discriminator is not None:
        found["fit"] = parts["fit"]
        (found["grad_z_fit"],) = torch.autograd.grad(parts["fit"].sum(), z, retain_graph=True)
        with torch.no_grad():
            found["logit"] = reference.logit(parts["generated"])
    return {name: tensor.detach() for name, tensor in found.items()}


def _central_differences(
    reference: Completion, z: Tensor, rest: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor] | None:
    """(f(z + hu) − f(z − hu)) / 2h in float64, [D, N], and its random directions u, [D, N, Z].

    None where a network runs in float32 alone.
    """
    exact = reference.in_type(torch.float64)
    inputs = {name: tensor.double() for name, tensor in rest.items()}
    random = torch.Generator().manual_seed(1)
    shape = (_DIRECTIONS, *z.shape)
    directions = F.normalize(torch.randn(shape, generator=random, dtype=torch.float64), dim=2)
    measured = []
    try:
        with torch.no_grad():
            for u in directions:
                ahead, _ = exact.searched(z.double() + _DISTANCE * u, **inputs)
                behind, _ = exact.searched(z.double() - _DISTANCE * u, **inputs)
                measured.append((ahead - behind) / (2 * _DISTANCE))
    except RuntimeError:  # of foreign code that makes tensors of float32, as torch.zeros does
        return None
    return torch.stack(measured), directions


def _off(gradient: Tensor, slopes: Tensor, directions: Tensor) -> float:
    """How far ``gradient`` [N, Z] is from the ``slopes`` over all samples and directions, in norm."""
    claimed = (gradient.double() * directions).sum(2)
    return _relative(claimed[None].flatten(1), slopes[None].flatten(1))


def run_graph(graph: bytes, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every output of ``graph`` for ``inputs``, on the CPU. Raises ModelError where ONNX Runtime does."""
    import onnxruntime

    feeds = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in inputs.items()}
    try:
        session: Any = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        values = session.run(None, feeds)
    except Exception as error:  # ONNX Runtime has a class for every failure, and no base of them
        raise ModelError(f"ONNX Runtime does not run the exported graph: {error}") from error
    return {
        output.name: torch.from_numpy(value)
        for output, value in zip(session.get_outputs(), values, strict=True)
    }


def _check_finite(values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        if not torch.isfinite(value).all():
            raise ModelError(
                f"the exported model returns NaN or Inf in {name}; nothing was written. "
                "In fp16 the networks' values may exceed 65504: export with --precision fp32"
            )


def _largest(found: Tensor, expected: Tensor, scale: Tensor | float = 1.0) -> float:
    return float(((found - expected).abs() / scale).max())


def _relative(found: Tensor, expected: Tensor) -> float:
    """The largest relative difference of a row, in norm; rows are compared whole."""
    difference = torch.linalg.vector_norm(found - expected, dim=1)
    return float((difference / torch.linalg.vector_norm(expected, dim=1).clamp_min(1e-30)).max())
