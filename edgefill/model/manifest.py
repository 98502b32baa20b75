"""What a model on disk says of itself: its way to complete a picture, its graphs, and where it comes from."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from edgefill.errors import ModelError
from edgefill.limits import shown
from edgefill.methods import FEED_FORWARD, LATENT_SEARCH, SMOOTH
from edgefill.model.interface import Input, Interface, Output, Sizes
from edgefill.model.onnx_file import OPSETS, Shape
from edgefill.model.reading import one_of, read_dataclass

# What a bundle is written in. At least the next two releases read it too.
FORMAT = 5  # A seal, by which a manifest that was changed is noticed.
WITHOUT_SEAL = 4
_ONE_KIND = 3  # One kind of network for each method, and its name for both.
WITHOUT_FIT = 2  # The step's file does not give the fit's outputs.
FORMATS = range(WITHOUT_FIT, FORMAT + 1)
GRAPHS = ("generator", "discriminator", "step")
COMPLETION = "completion"  # All of a model that completes in one pass.
ENCODER = "encoder"  # A model may have one, in the manifest's precision.
FIT = "fit"  # The step without D: a part of the step's file, or where there is no D in its place.
WITHOUT_D = ("generator", FIT)  # The graphs of a search where there is no D.
# The same of a latent that reaches behind G's first layer; made of the fit where its G begins with a matrix.
WIDE = {FIT: "wide_fit", "generator": "wide_generator"}
HALF = ".fp16"  # Ends the name of a graph that computes in fp16 beside its fp32 form.
INT8 = "int8"  # What only a network of one pass is exported in.
HALF_GRAPHS = ("generator", "step")  # What a search needs; the whole of D is there for people who look.
PRIORS = ("uniform", "normal")  # on [-1, 1]; with a deviation of 1
ENCODER_FILE = f"{ENCODER}.onnx"
# Of the models that came without a seal: digest of the graph → sha256 of the manifest.
_WITHOUT_SEALS = {
    "aa2f197240541ae6d67360fe5979f5da091cfc4c9ec1bc6f09becfc8aa0acac8": (
        "c29aab1598e8824cc19d69b945a162847ae09ca3d0f7dd1d7750c155d92ca720"
    ),
    "0fe4e2d34a27940097e35c0fc1b26a83d10f859b680a99e2c0c5a8ccd0531e50": (
        "277cc8993211e72bc846e2d2fff79b948566ebe1ea89ec1c773215e57890fe7a"
    ),
    "2f74c4519916e19294e6abc8f6cacbdead35cc9b702e641c93bc581bc6af14a2": (
        "e80eb2632b4b7fdd55f345ba99fde362fd5911d23ba344dcea96cad5970ca62a"
    ),
    "5f63a4c577e234c6ec722ff0bf3caf4e3e36d6e42a9a7d0289d27170faed0a2d": (
        "198ba7e1868018c70adb7fd5dc21557e2dc5491805d3cacd5de700f1fafffce2"
    ),
}
_LONGEST_TEXT = 2000  # of a name, a licence, an origin


@dataclass(frozen=True)
class Latent:
    """The space of a generator, and the pictures that it draws."""

    z_dim: int
    channels: int
    height: int
    width: int
    block: int = 8  # Side of the pixel blocks whose means lowres completion fits.
    prior: str = one_of(PRIORS, "uniform")  # Distribution of z in training.


@dataclass(frozen=True)
class Alignment:
    """Where the pictures that a model was trained on have a face."""

    # The middles of its eyes, x, y, x, y, as shares of the width and the height; the left one first.
    eyes: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        left_x, _, right_x, _ = self.eyes
        if not all(0 <= share <= 1 for share in self.eyes) or left_x >= right_x:
            raise ModelError(
                f"an alignment has eyes at {self.eyes}; expected x, y, x, y from 0 to 1, the left one first"
            )


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself; ``files`` is filled in when it is written.

    A model has a ``latent``, whose z is searched for, or an ``interface``, by which a network completes in
    one pass. Without either it is no bundle but the filling without a network.
    """

    name: str
    latent: Latent | None = None
    interface: Interface | None = None
    family: str = "unknown"  # What people call such networks; nothing depends on it.
    # Type the graphs compute in; their inputs and outputs are float32 in either case.
    precision: str = one_of(("fp32", "fp16", INT8), "fp32")
    weights: str = one_of(("fp32", "fp16", INT8), "fp32")  # Type the weights are stored in.
    opset: int = 18
    licence: str = "unknown"
    origin: str = "unknown"
    alignment: Alignment | None = None  # Of models of faces.
    # The ``misfit`` (of the latent search) that nearly all pictures of the kind that it was trained on stay
    # below; what has more is of another kind.
    usual_misfit: float | None = None
    proof: dict[str, float] = field(default_factory=dict)
    edgefill: str = ""
    format: int = FORMAT
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    seal: str = ""  # The sha256 of all else.

    def __post_init__(self) -> None:
        if self.latent and self.interface:
            raise ModelError(
                f"the manifest of {self.name} has a latent and an interface; expected one of them"
            )

    @property
    def method(self) -> str:
        """How it completes: LATENT_SEARCH, FEED_FORWARD or SMOOTH."""
        return LATENT_SEARCH if self.latent else FEED_FORWARD if self.interface else SMOOTH

    @property
    def is_sealed(self) -> bool:
        """Whether a change of it would be noticed; those of older formats have no seal."""
        return bool(self.seal)

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder finds a first z."""
        return ENCODER_FILE in self.files

    @property
    def has_discriminator(self) -> bool:
        """Whether a search may ask D, with the weight λ."""
        return f"{FIT}.onnx" not in self.files

    @property
    def graphs(self) -> tuple[str, ...]:
        """The graphs that completing runs, of those of ``graph_signatures``."""
        if self.interface:
            return (COMPLETION,)
        steps = (FIT, "step") if self.has_discriminator else (FIT,)
        return (*steps, "generator", *[ENCODER] * self.has_encoder)

    @property
    def is_imported(self) -> bool:
        """Whether it was a foreign file, which was tried on a picture."""
        return "hole" in self.proof

    @property
    def digest(self) -> str:
        """The sha256 of the graph that completes, which names the weights."""
        steps = "step" if self.has_discriminator else FIT
        main = steps if self.latent else COMPLETION
        return str(self.files.get(f"{main}.onnx", {}).get("sha256", ""))

    @property
    def searched(self) -> Latent:
        """Its latent. Raises ModelError where it has none."""
        self.check_latent("search with")
        assert self.latent is not None
        return self.latent

    @property
    def passed(self) -> Interface:
        """Its interface. Raises ModelError where it has none."""
        if self.interface is None:
            raise ModelError(
                f"{self.name} completes by {self.method}; expected a network that completes in one pass"
            )
        return self.interface

    def check_latent(self, doing: str) -> None:
        """Raises ModelError where there is no latent for ``doing`` something, such as "draw samples from"."""
        if not self.latent:
            raise ModelError(
                f"cannot {doing} {self.name}: it completes in one pass and has no latent; expected a model "
                "that searches, such as faces64; `edgefill models` lists what is here"
            )

    @property
    def z_dim(self) -> int:
        """Numbers of a latent; 0 where there is none."""
        return self.latent.z_dim if self.latent else 0

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the pictures that G draws, or that a network is shown."""
        if self.latent:
            return self.latent.channels, self.latent.height, self.latent.width
        return (self.passed.channels, *self.passed.cells)

    @property
    def channels(self) -> int:
        return self.picture_shape[0]

    @property
    def height(self) -> int:
        return self.picture_shape[1]

    @property
    def width(self) -> int:
        return self.picture_shape[2]

    def sealed(self) -> Manifest:
        """The same with its seal."""
        return dataclasses.replace(self, seal=seal_of(json.loads(self.to_json())))

    def to_json(self) -> str:
        document = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        return json.dumps(document, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: bytes, where: str) -> Manifest:
        """The manifest in ``text``. Raises ModelError that names the first key that is wrong."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(
                f"the manifest of {where} is no JSON: {error}; export the model again"
            ) from error
        if not isinstance(values, dict):
            raise ModelError(f"the manifest of {where} is a {type(values).__name__}; expected an object")
        _check_format(values.get("format"), where)
        manifest = f"the manifest of {where}"
        must_be_sealed = values["format"] > WITHOUT_SEAL or "seal" in values
        if must_be_sealed and values.get("seal") != seal_of(values):
            raise ModelError(
                f"{manifest} was changed after the model was written; get the model as it was, or export it "
                "again (--licence and --origin say what it is to say)"
            )
        if values["format"] <= _ONE_KIND:
            values = _of_one_kind(values, manifest)
        found = read_dataclass(cls, values, manifest)
        for name in ("name", "family", "licence", "origin", "edgefill"):
            line = getattr(found, name)
            if not line.isprintable() or len(line) > _LONGEST_TEXT:
                raise ModelError(f"{name} of {manifest} is {shown(ascii(line))}; expected a line of text")
        if found.opset not in OPSETS:
            raise ModelError(f"{manifest} has the opset {found.opset}; expected {OPSETS[0]} to {OPSETS[-1]}")
        if found.method == SMOOTH:
            raise ModelError(f"{manifest} has no latent and no interface; expected one of them")
        if found.interface:
            found.interface.check(f"the interface of {where}")
        if found.latent and not all((found.z_dim, *found.picture_shape, found.latent.block)):
            raise ModelError(f"{manifest} has {found.latent}; expected positive numbers")
        return found


def check_known(manifest: Manifest, text: bytes, where: str) -> None:
    """Raises ModelError where it is a model that came with the package before there were seals, changed."""
    written = _WITHOUT_SEALS.get(manifest.digest)
    if written is not None and manifest.format <= WITHOUT_SEAL and sha256(text).hexdigest() != written:
        raise ModelError(
            f"the manifest of {where} is not the one that came with this model: it was changed; get the "
            "model as it was"
        )


def seal_of(values: dict[str, Any]) -> str:
    """The sha256 of a manifest's ``values`` but for its seal."""
    plain = {key: value for key, value in values.items() if key != "seal"}
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _check_format(found: Any, where: str) -> None:
    is_number = isinstance(found, int) and not isinstance(found, bool)
    if is_number and found > FORMAT:
        raise ModelError(
            f"{where} has bundle format {shown(found)}, of a newer edgefill; this one reads {FORMATS[0]} to "
            f"{FORMAT}; update edgefill"
        )
    if not is_number or found not in FORMATS:
        raise ModelError(
            f"{where} has bundle format {shown(found)}; this edgefill reads {FORMATS[0]} to {FORMAT}; export "
            "the model again with this version"
        )


def _of_one_kind(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The manifest of format 2 or 3 as later ones have it."""
    values = dict(values)
    kind = values.pop("kind", None)
    pictures = {key: values.pop(key, None) for key in ("channels", "height", "width")}
    latent = {key: values.pop(key, None) for key in ("z_dim", "block", "prior")}
    if values.pop("picture_range", None) != [-1.0, 1.0]:
        raise ModelError(f"{where} has another picture_range than [-1.0, 1.0]")
    if kind == "dcgan":
        return {**values, "family": kind, "latent": {**latent, **pictures}}
    if kind != "glcic" or pictures["channels"] not in (1, 3) or pictures["height"] != pictures["width"]:
        raise ModelError(
            f"{where} is of the kind {kind!r} with pictures of {pictures}; expected dcgan or glcic"
        )
    interface = completion_interface(
        pictures["channels"], trained_side=pictures["height"], sizes=Sizes(multiple=4), reach=156
    )
    return {**values, "family": kind, "interface": json.loads(json.dumps(interface.to_json()))}


def completion_interface(channels: int, *, trained_side: int, sizes: Sizes, reach: int | None) -> Interface:
    """The interface of networks that are exported here: ``picture`` and ``known`` to ``completed``."""
    return Interface(
        inputs=(Input("picture", ("picture",)), Input("known", ("mask",))),
        output=Output("completed"),
        trained_side=trained_side,
        order="L" if channels == 1 else "RGB",
        sizes=sizes,
        reach=reach,
    )


def wide_form(manifest: Manifest, graph: str, width: int) -> str:
    """``graph``, or its form among WIDE where a latent of ``width`` numbers is more than z."""
    return WIDE.get(graph, graph) if width > manifest.z_dim else graph


def graph_signatures(
    manifest: Manifest, features: int = 0
) -> dict[str, tuple[dict[str, Shape], dict[str, Shape]]]:
    """Inputs and outputs of each graph of a bundle: names and shapes, "N" for the batch.

    A network of one pass may leave "H" and "W" open too. The graphs WIDE are those of a latent that has
    ``features`` numbers beside z; without such there are none.
    """
    if manifest.latent is None:
        return {COMPLETION: manifest.passed.signature}
    latent = manifest.latent
    z: Shape = ("N", latent.z_dim)
    picture: Shape = ("N", *manifest.picture_shape)
    weight: Shape = ("N", 1, latent.height, latent.width)
    blocks: Shape = ("N", 1, latent.height // latent.block, latent.width // latent.block)
    one: Shape = ("N",)
    step_inputs = {
        "z": z, "target": picture, "weight": weight, "block_weight": blocks, "power": one, "lam": one,
        "anchor": z, "pull": one,
    }  # fmt: skip
    step_outputs = {"loss": one, "grad_z": z, "generated": picture, "contextual": one, "perceptual": one}
    fit_inputs = {name: shape for name, shape in step_inputs.items() if name != "lam"}
    fit_outputs = {name: shape for name, shape in step_outputs.items() if name != "perceptual"}
    signatures = {
        "generator": ({"z": z}, {"generated": picture}),
        "discriminator": ({"picture": picture}, {"logit": one}),
        "step": (step_inputs, step_outputs),
        FIT: (fit_inputs, fit_outputs),
        ENCODER: ({"picture": picture, "known": weight}, {"z": z}),
    }
    if features:
        width: Shape = ("N", latent.z_dim + features)
        wider = dict.fromkeys(("z", "anchor", "grad_z"), width)
        for plain, wide in WIDE.items():
            inputs, outputs = signatures[plain]
            signatures[wide] = _changed(inputs, wider), _changed(outputs, wider)
    return signatures


def _changed(shapes: dict[str, Shape], others: dict[str, Shape]) -> dict[str, Shape]:
    """``shapes`` with those of ``others`` in the place of theirs."""
    return {name: others.get(name, shape) for name, shape in shapes.items()}


def graph_dtypes(manifest: Manifest, graph: str) -> dict[str, str]:
    """The type of each input and output of ``graph``."""
    if manifest.interface:
        return manifest.interface.dtypes
    inputs, outputs = graph_signatures(manifest, features=1)[graph]
    return dict.fromkeys((*inputs, *outputs), "float32")
