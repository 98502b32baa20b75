"""Anybody's generator and discriminator to a proven bundle."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

from edgefill import __version__
from edgefill.errors import InputError, ModelError
from edgefill.export import onnx_passes
from edgefill.export.gradient import OPSET, forward_graph, gradient_graph
from edgefill.export.halves import CONVOLUTIONS, PRODUCTS, networks_in_half
from edgefill.export.modules import prepared, rounded_to
from edgefill.export.objective import Completion, DiscriminatorOutput
from edgefill.export.plain_forms import as_written
from edgefill.export.proof import prove, prove_encoder
from edgefill.export.refusals import BranchOnValues
from edgefill.methods.latent.latents import Prior
from edgefill.model.bundle import write_bundle
from edgefill.model.manifest import (
    ENCODER,
    FIT,
    GRAPHS,
    HALF,
    HALF_GRAPHS,
    PRIORS,
    WITHOUT_D,
    Latent,
    Manifest,
    graph_signatures,
)

PRECISIONS = ("fp32", "fp16", "both")
WEIGHTS = ("fp32", "fp16")
_PIXEL_FORMATS = {"L": "Gray8", "RGB": "Rgb8", "BGR": "Bgr8"}
_PIXEL_RANGES = {"-1..1": "Normalized_1_1", "0..1": "Normalized_0_1", "0..255": "NominalRange_0_255"}
_PREPARATION_TOLERANCE = {"fp32": 1e-3, "fp16": 0.05}  # By what the weights are stored in.
_ALSO_CALLED = {"gaussian": "normal"}
# Pictures whose range is checked. A G that leaves it in one picture of twenty is caught 96 times in 100
# (0.95 to the power of 64 is 0.04); more would keep an export of large pictures waiting.
_DRAWS = 64
_DRAWS_AT_ONCE = 8
_OVERSHOOT = 1e-3  # beyond [-1, 1], of rounding


def silent(_: str) -> None:
    """Where nobody wants to know."""


@as_written()
def export_bundle(
    generator: nn.Module,
    discriminator: nn.Module | None,
    path: str | Path,
    *,
    z_dim: int,
    encoder: nn.Module | None = None,
    name: str | None = None,
    precision: str = "fp32",
    weights: str | None = None,
    spatial_z: bool = False,
    discriminator_output: DiscriminatorOutput = "logit",
    prior: str = "uniform",
    picture_range: tuple[float, float] | None = None,
    licence: str = "unknown",
    origin: str = "unknown",
    progress: Callable[[str], None] = silent,
) -> Manifest:
    """Writes G, D and the completion step with its gradient as one bundle, and returns its manifest.

    The networks may be anybody's: G takes z [N, Z] (or [N, Z, 1, 1] with ``spatial_z``) and returns pictures
    [N, C, H, W] in [-1, 1] with one or three channels; D takes such pictures and returns one logit each, [N]
    or [N, 1] (or a probability with ``discriminator_output="sigmoid"``). Both are used in eval mode and left
    as they were. With None for D the model searches without it: it has no perceptual loss.

    Args:
        path: with a suffix a zip, without one a folder.
        encoder: finds a first z; takes what is seen of pictures [N, C, H, W], in [-1, 1] and 0 where nothing
            is known, and the share of each pixel that is known [N, 1, H, W]; returns z [N, Z] in [-1, 1].
        precision: what the graphs compute in: "fp32", "fp16" or "both", which puts fp16 forms of G and the
            step beside the fp32 graphs. Inputs and outputs are float32 either way. In fp16 the loss head and
            every reduction stay fp32, and all but the products where fp16 is too coarse for a network.
        weights: what the weights of fp32 graphs are stored in, fp32 unless given; fp16 halves the file.
        prior: the distribution of z in training, "uniform" on [-1, 1] or "normal".
        picture_range: what black and white are in G's pictures, and in those that D takes, where that is not
            -1 and 1, such as (0, 1). An encoder sees [-1, 1] all the same.
        licence, origin: the terms of the weights and where they come from, for the manifest.
        progress: is told in a few words what begins, phase by phase.

    Raises:
        ModelError: a network cannot be exported, or the exported model is not what PyTorch computes. Nothing
            is written then.
        InputError: an argument is not one of its values.
        OutputError: ``path`` cannot be written.
    """
    weights = weights or precision.replace("both", "fp32")
    for key, value, known in (("precision", precision, PRECISIONS), ("weights", weights, WEIGHTS)):
        if value not in known:
            raise InputError(f"{key} is {value!r}; expected one of {known}")
    _check_prior(prior)
    original = Completion(
        generator,
        discriminator,
        spatial_z=spatial_z,
        discriminator_output=discriminator_output,
        picture_range=_checked_range(picture_range),
    )
    reference = _prepared(original, Prior(prior, z_dim))
    if "fp16" in (weights, precision):
        for network in reference.networks:
            rounded_to(network, torch.float16)
    channels, height, width = _picture_shape(reference, Prior(prior, z_dim), told=picture_range is not None)
    block = math.gcd(8, math.gcd(height, width))
    reference = replace(reference, block=block)
    own_precision = "fp16" if precision == "fp16" else "fp32"
    manifest = Manifest(
        name=name or Path(path).stem, latent=Latent(z_dim, channels, height, width, block, prior),
        family="dcgan", precision=own_precision, weights=weights, opset=OPSET, licence=licence, origin=origin,
        edgefill=__version__,
    )  # fmt: skip
    own, halves = (GRAPHS, HALF_GRAPHS) if discriminator is not None else (WITHOUT_D, WITHOUT_D)
    if own_precision == "fp16":
        graphs, proven = _in_half(reference, manifest, own, {}, progress)
    else:
        graphs = _graphs(reference, manifest, own, progress)
        progress("comparing the graphs with PyTorch")
        proven = prove(graphs, reference, manifest)
    proof = {"preparation": _preparation_error(original, reference, manifest), **proven}
    if encoder is not None:
        progress("tracing the encoder")
        graphs[ENCODER] = _encoder_graph(encoder, manifest)
        exact = copy.deepcopy(encoder).eval().cpu().float()
        proof["encoder"] = prove_encoder(graphs[ENCODER], exact, manifest)
    if precision == "both":
        half = replace(manifest, precision="fp16", weights="fp16")
        half_graphs, proven = _in_half(reference, half, halves, graphs, progress)
        proof |= {f"fp16 {quantity}": error for quantity, error in proven.items()}
        graphs |= {f"{graph}{HALF}": content for graph, content in half_graphs.items()}
    return write_bundle(path, replace(manifest, proof=proof), graphs)


def _prepared(original: Completion, prior: Prior) -> Completion:
    """Both networks ready for export; see ``prepared``."""
    latents = torch.from_numpy(prior.latents(range(2)))
    z = latents[:, :, None, None] if original.spatial_z else latents
    generator = prepared(original.generator, "the generator", z)
    try:
        with torch.no_grad():
            pictures = generator(z)
    except Exception:  # noqa: BLE001 - foreign code; what is wrong with it is said where its shape is asked for
        pictures = None
    discriminator = original.discriminator
    if discriminator is not None:
        discriminator = prepared(discriminator, "the discriminator", pictures)
    networks = replace(original, generator=generator, discriminator=discriminator)
    if isinstance(pictures, Tensor):
        _check_alone("G's picture", networks.generate, latents)
        if discriminator is not None:
            _check_alone("D's logit", networks.logit, _noise(pictures.shape))
    return networks


def _noise(shape: torch.Size) -> Tensor:
    """Pictures in [-1, 1] that differ as much as pictures can; those of an untrained G hardly do."""
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))


def _check_alone(what: str, network: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    """Raises ModelError where ``network`` makes something else of a row when others are beside it."""
    try:
        with torch.no_grad():
            together, again = network(rows), network(rows)
            alone = torch.cat([network(row) for row in rows.split(1)])
    except Exception:  # noqa: BLE001 - foreign code; what is wrong with it is said where its shape is asked for
        return
    if not torch.allclose(together, again, rtol=1e-4, atol=1e-4):  # twice the same rounds in its own way
        return  # random numbers, which are refused by the call that draws them
    if not torch.allclose(together, alone, rtol=1e-4, atol=1e-4):
        _refuse_branches(network, rows)
        raise ModelError(
            f"{what} depends on what else is in its batch, as a minibatch standard deviation makes it; "
            "a search takes each picture alone. Put a constant in the place of that layer, such as its mean "
            "in training; without D, given as None, a model searches too"
        )


def _refuse_branches(network: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    """Raises ModelError that names the line, where ``network`` goes another way for other rows."""
    try:
        forward_graph(lambda rows: network(rows), {"rows": rows}, "made")
    except BranchOnValues:
        raise
    except ModelError:
        return


def _check_prior(prior: str) -> None:
    """Raises InputError for what no model can be searched with."""
    if prior in PRIORS:
        return
    near = difflib.get_close_matches(str(prior).lower(), [*PRIORS, *_ALSO_CALLED], n=1)
    guess = f"; did you mean {_ALSO_CALLED.get(near[0], near[0])!r}?" if near else ""
    raise InputError(f"prior is {prior!r}; expected one of {PRIORS}{guess}")


def _checked_range(wanted: tuple[float, float] | None) -> tuple[float, float]:
    """What black and white are. Raises InputError where that is no range."""
    try:
        black, white = (-1.0, 1.0) if wanted is None else map(float, wanted)
    except (TypeError, ValueError):
        black = white = math.nan
    if not (math.isfinite(black) and math.isfinite(white) and black < white):
        raise InputError(f"picture_range is {wanted!r}; expected what black and white are, such as (0, 1)")
    return black, white


def _picture_shape(networks: Completion, prior: Prior, *, told: bool) -> tuple[int, int, int]:
    """(C, H, W) of G's pictures, with everything about G and D that can be wrong said in one sentence.

    ``told`` says whether the range of the pictures was.
    """
    z = torch.from_numpy(prior.latents(range(_DRAWS)))
    try:
        with torch.no_grad():
            pictures = networks.generate(z[:2])
            logits = networks.logit(pictures) if networks.discriminator is not None else torch.zeros(2)
    except ModelError:
        raise
    except Exception as error:  # the networks are foreign code
        raise ModelError(
            f"the networks do not run on z of shape [2, {prior.z_dim}]: {type(error).__name__}: {error}; "
            "is z_dim right, does G want z as N×Z×1×1 (spatial_z), does D take G's pictures?"
        ) from error
    if pictures.dim() != 4 or pictures.shape[1] not in (1, 3):
        raise ModelError(f"G returned the shape {list(pictures.shape)}; expected [N, 1 or 3, H, W]")
    if logits.shape != (2,):
        raise ModelError(f"D returned {logits.numel() // 2} numbers per picture; expected one")
    _check_range(networks, z, prior, told=told)
    return int(pictures.shape[1]), int(pictures.shape[2]), int(pictures.shape[3])


def _check_range(networks: Completion, z: Tensor, prior: Prior, *, told: bool) -> None:
    """Raises ModelError where what G draws is beyond its range, or has none of the darker half of it.

    The latter is what pictures in [0, 1] look like in [-1, 1], where nobody ``told`` which it is.
    """
    black, white = networks.picture_range
    with torch.no_grad():
        pairs = [torch.stack(networks.generate(rows).aminmax()) for rows in z.split(_DRAWS_AT_ONCE)]
    drawn = torch.stack(pairs)
    least, most = float(drawn[:, 0].min()), float(drawn[:, 1].max())  # NaN where any is
    farthest = least if not abs(most) > abs(least) else most
    there = f"in {len(z)} pictures of z drawn from the {prior.name} prior"
    if not abs(farthest) <= 1.0 + _OVERSHOOT:
        value = (farthest + 1) * (white - black) / 2 + black
        raise ModelError(
            f"G returned the value {value:.3g} {there}; expected [{black:g}, {white:g}]"
            f"{', as after a tanh' * (not told)}; where black and white are other numbers, say which: "
            "picture_range=(0, 1), picture_range=(0, 255)"
        )
    if not told and least >= 0:
        raise ModelError(
            f"G returned values from {least:.3g} to {most:.3g} {there}: in [-1, 1] nothing of that is darker "
            "than a medium grey; if its pictures are in [0, 1], say picture_range=(0, 1), else "
            "picture_range=(-1, 1)"
        )


def _graphs(
    reference: Completion,
    manifest: Manifest,
    names: Sequence[str],
    progress: Callable[[str], None],
) -> dict[str, bytes]:
    networks = reference
    if manifest.precision == "fp16":
        networks = reference.in_type(torch.float16)
    examples = {
        graph: {key: torch.zeros(1, *shape[1:]) for key, shape in inputs.items()}
        for graph, (inputs, _) in graph_signatures(manifest).items()
        if graph in names
    }

    def generate(z: Tensor) -> Tensor:
        return networks.generate(z)

    def logit(picture: Tensor) -> Tensor:
        return networks.logit(picture)

    models = {
        "generator": lambda: forward_graph(generate, examples["generator"], "generated"),
        "discriminator": lambda: forward_graph(logit, examples["discriminator"], "logit"),
        "step": lambda: gradient_graph(
            networks.objective, examples["step"], wrt="z", also=["fit"], check=False
        ),  # the bundle has a proof of its own
        FIT: lambda: gradient_graph(networks.fit, examples[FIT], wrt="z", check=False),
    }
    graphs = {}
    for graph in names:
        progress(f"tracing the {graph} in {manifest.precision}")
        graphs[graph] = finished(models[graph](), graph, manifest)
    return graphs


def _in_half(
    reference: Completion,
    manifest: Manifest,
    names: Sequence[str],
    whole: Mapping[str, bytes],
    progress: Callable[[str], None],
) -> tuple[dict[str, bytes], dict[str, float]]:
    """The graphs in fp16 and their proof; ``whole`` are those in fp32, if they are there.

    Where networks in fp16 are refused, or too far off, they are made of the graphs in fp32, of which the
    products, or convolutions, alone are in fp16. Raises ModelError where that is too far off as well.
    """
    try:
        graphs = _graphs(reference, manifest, names, progress)
        progress("comparing the fp16 graphs with PyTorch")
        return graphs, prove({**whole, **graphs}, reference, manifest)
    except ModelError:  # where it is no matter of the type, fp32 is refused as well
        pass
    if not whole:
        whole = _graphs(reference, replace(manifest, precision="fp32", weights="fp32"), names, progress)
    progress("keeping in fp32 what does not multiply")
    for multiplying in (PRODUCTS, CONVOLUTIONS):
        graphs = {graph: halved(whole[graph], graph, manifest, multiplying) for graph in names}
        try:
            return graphs, prove({**whole, **graphs}, reference, manifest)
        except ModelError as error:
            refusal = error
    raise refusal


def halved(content: bytes, graph: str, manifest: Manifest, multiplying: Set[str] = PRODUCTS) -> bytes:
    """A ``graph`` in fp32 with what is ``multiplying`` in fp16."""
    model: ModelProto = networks_in_half(onnx.load_from_string(content), multiplying)
    onnx_passes.strip_traces(model)
    onnx_passes.check_standard(model)
    return finished(model, graph, manifest)


def _encoder_graph(encoder: nn.Module, manifest: Manifest) -> bytes:
    """The encoder in the manifest's precision; like all graphs it takes and returns float32."""
    network = prepared(encoder, "the encoder")
    if manifest.weights == "fp16":
        rounded_to(network, torch.float16)
    dtype = torch.float16 if manifest.precision == "fp16" else torch.float32
    network = network.to(dtype)

    def encode(picture: Tensor, known: Tensor) -> Tensor:
        z: Tensor = network(picture.to(dtype), known.to(dtype))
        return z.float()

    inputs, _ = graph_signatures(manifest)[ENCODER]
    examples = {key: torch.zeros(1, *shape[1:]) for key, shape in inputs.items()}
    return finished(forward_graph(encode, examples, "z"), ENCODER, manifest)


def finished(model: ModelProto, graph: str, manifest: Manifest) -> bytes:
    """The bytes of ``model`` with its weights as the manifest says, and what it is in its metadata."""
    if manifest.weights == "fp16":
        onnx_passes.store_weights_in_half(model)
    onnx_passes.write_metadata(
        model,
        {
            **_of_pictures(manifest),
            "edgefill.version": manifest.edgefill,
            "edgefill.graph": graph,
            "edgefill.method": manifest.method,
            "edgefill.name": manifest.name,
            "edgefill.precision": manifest.precision,
            "edgefill.licence": manifest.licence,
            **_of_latent(manifest),
        },
    )
    return bytes(model.SerializeToString(deterministic=True))


def _of_pictures(manifest: Manifest) -> dict[str, str]:
    """What ONNX's metadata for images have words for."""
    interface = manifest.interface
    order = interface.order if interface else "L" if manifest.channels == 1 else "RGB"
    values = {"Image.BitmapPixelFormat": _PIXEL_FORMATS[order], "Image.ColorSpaceGamma": "SRGB"}
    pixels = _PIXEL_RANGES.get(str(interface.range) if interface else "-1..1")
    return {**values, "Image.NominalPixelRange": pixels} if pixels else values


def _of_latent(manifest: Manifest) -> dict[str, str]:
    latent = manifest.latent
    if latent is None:
        return {}
    values = {"z_dim": latent.z_dim, "block": latent.block, "prior": latent.prior}
    return {f"edgefill.{key}": str(value) for key, value in values.items()}


def _preparation_error(original: Completion, reference: Completion, manifest: Manifest) -> float:
    """How far folding and rounding the weights moved G(z): the largest difference on [-1, 1]."""
    source = copy.deepcopy(original.generator).eval().cpu().float()
    z = torch.from_numpy(Prior.of(manifest).latents(range(16)))
    with torch.no_grad():
        moved = float((replace(original, generator=source).generate(z) - reference.generate(z)).abs().max())
    limit = _PREPARATION_TOLERANCE[manifest.weights]
    if not moved <= limit:
        raise ModelError(
            f"folding batch norms and rounding weights to {manifest.weights} moves G(z) by {moved:.3g}; "
            f"expected at most {limit}; nothing was written. Export with the weights in fp32"
        )
    return float(f"{moved:.3g}")
