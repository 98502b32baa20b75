"""What a training is told, as frozen dataclasses and as config.json; torch-free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from edgefill.errors import InputError, ModelError
from edgefill.limits import check
from edgefill.networks.config import UNET_MULTIPLE, CompletionConfig, GlcicConfig, NetworkConfig, UNetConfig

if TYPE_CHECKING:
    from typing_extensions import Self  # Python 3.10 has none of its own

CONFIG = "config.json"  # in the folder of a run
PRECISIONS = ("bf16", "fp32")
CHANGEABLE = (
    "epochs",
    "steps",
    "completion_steps",
    "joint_steps",
    "features",
    "teacher",
    "checkpoint_every",
)  # What a resumed training may be told anew.


@dataclass(frozen=True)
class Recipe:
    """What every training has; the keys of config.json, beside its kind. Raises InputError."""

    kind: ClassVar[str]
    network: NetworkConfig | CompletionConfig = field(default_factory=NetworkConfig)
    batch: int = 64
    ema_decay: float = 0.999  # Of the average of the weights, per step.
    mirror: bool = True  # Show half of the pictures mirrored, drawn anew in each epoch.
    precision: str = "bf16"
    seed: int = 0
    checkpoint_every: int = 500  # Steps; the training of G and D has one after each epoch too.

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(f"precision cannot be {self.precision!r}; expected one of {PRECISIONS}")
        check("batch", self.batch)
        check("checkpoint_every", self.checkpoint_every, "steps")
        check("ema_decay", self.ema_decay, "decay")
        check("seed", self.seed)

    @property
    def side(self) -> int:
        """Pixels of a side of the pictures that the network is to be shown."""
        return self.network.size

    def to_json(self) -> str:
        """As the text of config.json."""
        return json.dumps({"kind": self.kind, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The config in the text of a config.json.

        Raises ModelError for text that is no JSON object, for another kind of training, for a key that is
        unknown or missing, and for a value of another type.
        """
        try:
            values = json.loads(text)
            if not isinstance(values, dict):
                raise ValueError(f"found {type(values).__name__}, expected an object")
            found, shape = values.pop("kind", None), type(cls().network)
            if found != cls.kind:
                raise ValueError(f"it is of the kind {found!r}, expected {cls.kind!r}")
            values["network"] = shape(**_checked(shape, values["network"], "network."))
            return cls(**_checked(cls, values))
        except (ValueError, TypeError, KeyError, RecursionError, InputError) as error:
            raise ModelError(f"cannot read the config of the training: {_reason(error)}") from error


@dataclass(frozen=True)
class TrainingConfig(Recipe):
    """Of G and D; the defaults are those of the source documents."""

    kind = "dcgan"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    epochs: int = 25
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    lr_decay: float = 0.0  # The last share of all steps, in which the learning rate falls linearly to 0.
    generator_updates: int = 2  # Updates of G for one of D.
    augment: bool = False  # Show D changed pictures only: for folders of few pictures.

    def __post_init__(self) -> None:
        super().__post_init__()
        check("epochs", self.epochs)
        check("generator_updates", self.generator_updates, "updates")
        for name in ("beta1", "beta2"):
            check(name, getattr(self, name), "decay")
        check("lr", self.lr)
        check("lr_decay", self.lr_decay, "share")


@dataclass(frozen=True)
class EncoderConfig(Recipe):
    """Of the encoder that finds a first z for a trained G; ``network`` is the G's."""

    kind = "encoder"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    generator_step: int = 0  # of the G that it is for, as its checkpoint counts
    steps: int = 6000
    width: int = 32  # Channels of the encoder's largest feature maps.
    lr: float = 2e-3  # Of AdamW at its highest; it rises for some steps, then falls linearly to 0.
    known: float = 0.1  # Weight of a known pixel where a missing one has 1.
    generated: float = 0.25  # Share of the pictures that G draws itself.
    prior: float = 0.0  # Weight of the mean of z².

    def __post_init__(self) -> None:
        super().__post_init__()
        check("generator_step", self.generator_step, "phase")
        check("steps", self.steps)
        check("width", self.width)
        check("lr", self.lr)
        check("known", self.known, "weight")
        check("generated", self.generated, "share")
        check("prior", self.prior, "weight")


@dataclass(frozen=True)
class OnePassTraining(Recipe):
    """Of a network that completes in one pass: without what judges it, then with a verdict."""

    network: CompletionConfig = field(default_factory=CompletionConfig)
    batch: int = 32
    completion_steps: int = 10_000  # The completion network alone.
    joint_steps: int = 40_000  # With a discriminator, or what else judges.
    lr: float = 1e-3  # Of Adam, for all networks; it falls linearly to 0 over the last share of all steps.
    lr_decay: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("completion_steps", "joint_steps"):
            check(name, getattr(self, name), "phase")
        check("lr", self.lr)
        check("lr_decay", self.lr_decay, "share")

    @property
    def total_steps(self) -> int:
        """Of all phases."""
        return self.completion_steps + self.joint_steps


@dataclass(frozen=True)
class AdversarialTraining(OnePassTraining):
    """Towards the picture, and then also to what a critic takes for one."""

    adversarial: float = 0.001  # Weight of the critic's verdict against the difference.

    def __post_init__(self) -> None:
        super().__post_init__()
        check("adversarial", self.adversarial, "weight")


@dataclass(frozen=True)
class GlcicTraining(OnePassTraining):
    """Of a completion network and its discriminators; steps in the paper's proportions, α is its own."""

    kind = "glcic"
    network: GlcicConfig = field(default_factory=GlcicConfig)
    completion_steps: int = 18_000  # The completion network alone, on the mean square over the hole.
    discriminator_steps: int = 2_000  # The discriminators alone.
    joint_steps: int = 80_000  # Both.
    alpha: float = 0.0004  # Weight of the discriminators' verdict against the mean square.

    def __post_init__(self) -> None:
        super().__post_init__()
        check("discriminator_steps", self.discriminator_steps, "phase")
        check("alpha", self.alpha, "weight")

    @property
    def total_steps(self) -> int:
        return super().total_steps + self.discriminator_steps


@dataclass(frozen=True)
class UNetTraining(OnePassTraining):
    """Of a U-Net for photographs, which sees crops of the pictures."""

    kind = "unet"
    network: UNetConfig = field(default_factory=UNetConfig)
    batch: int = 8
    completion_steps: int = 1_500  # On the mean difference in the hole and LPIPS.
    joint_steps: int = 10_000  # With the critic too.
    lr: float = 4e-4
    lr_decay: float = 0.4
    crop: int = 128  # Pixels of a side, in the first phase.
    joint_crop: int = 160  # The same in the second, where holes may take most of it.
    frame: int = 224  # The same of what the model is shown, where holes take half: as wide, with more around.
    features: str = ""  # The file of AlexNet's and LPIPS's weights.
    perceptual: float = 0.04  # Weight of LPIPS against the mean difference.
    adversarial: float = 0.05  # Weight of the critic's verdict.
    repetition: float = 0.3  # Weight of how much what is drawn repeats itself from tile to tile.
    teacher: str = ""  # A model from which it learns to complete; without one it learns from the pictures.
    teaching: float = 0.7  # Weight of what the teacher draws; the rest, and the critic, is for the pictures.

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("perceptual", "adversarial", "repetition"):
            check(name, getattr(self, name), "weight")
        check("teaching", self.teaching, "share")
        if self.frame <= 0 or self.frame % UNET_MULTIPLE:
            raise InputError(f"frame cannot be {self.frame}; expected a multiple of {UNET_MULTIPLE}")
        for name in ("crop", "joint_crop"):
            value = getattr(self, name)
            if not 0 < value <= self.network.size or value % UNET_MULTIPLE:
                raise InputError(
                    f"{name} cannot be {value}; expected a multiple of {UNET_MULTIPLE}, the pictures' "
                    f"{self.network.size} at most"
                )
        if self.joint_crop < self.crop:
            raise InputError(
                f"joint_crop cannot be {self.joint_crop}; expected the crop of {self.crop} or more"
            )

    @property
    def side(self) -> int:
        return self.frame


def kind_in(text: str | bytes, where: str) -> str:
    """What a run trains by its config.json: "dcgan", "encoder", or an architecture of one pass.

    Raises ModelError.
    """
    try:
        return str(json.loads(text)["kind"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"{where!r} does not say what kind of training it is of") from error


def differences(old: Recipe, new: Recipe) -> dict[str, tuple[Any, Any]]:
    """Each key whose value differs, with its old and new value; ``network.size`` for a key of the network."""
    before, after = _flat(asdict(old)), _flat(asdict(new))
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    network = {f"network.{key}": value for key, value in values["network"].items()}
    return network | {key: value for key, value in values.items() if key != "network"}


def _checked(kind: type, values: Any, prefix: str = "") -> dict[str, Any]:
    """``values`` if they are exactly the fields of ``kind`` with their types; raises ValueError."""
    if not isinstance(values, dict):
        raise ValueError(f"found {type(values).__name__}, expected an object with the keys of a config")
    expected = {entry.name: type(getattr(kind(), entry.name)) for entry in fields(kind)}
    for key in [*values, *expected]:
        if key not in expected:
            raise ValueError(f"unknown key {prefix + key!r}; expected {', '.join(expected)}")
        if key not in values:
            raise ValueError(f"{prefix + key!r} is missing")
        number = expected[key] is float and type(values[key]) is int
        if not number and type(values[key]) is not expected[key]:
            raise ValueError(
                f"{prefix + key!r} is {values[key]!r}, expected a value of type {expected[key].__name__}"
            )
    return values


def _reason(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
