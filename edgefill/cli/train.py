"""``edgefill train``: a folder of pictures becomes a run, which ``edgefill export`` makes a model of."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from edgefill.cli.app import app
from edgefill.cli.console import path_option, print_json, progress_bar, require, say
from edgefill.cli.examples import examples
from edgefill.cli.stopping import StopRequest
from edgefill.errors import BackendUnavailable, InputError
from edgefill.files import write_atomically
from edgefill.model.catalogue import find
from edgefill.training.architectures import ARCHITECTURES
from edgefill.training.config import EncoderConfig, Recipe, TrainingConfig

if TYPE_CHECKING:
    import torch

    from edgefill.training.data import Pictures
    from edgefill.training.stage import Progress

_MODELS = ("dcgan", *ARCHITECTURES)
_STAGES = ("gan", "encoder")
_DEVICES = ("auto", "cpu", "cuda")
_DEFAULTS = {recipe.kind: recipe for recipe in (
    TrainingConfig(), EncoderConfig(), *(row.recipe() for row in ARCHITECTURES.values()),
)}  # fmt: skip
_Config = TypeVar("_Config", bound=Recipe)
_SILENCE = 30  # seconds after which a line says how far it is, where there is no bar
_PICTURES = "pictures.txt"  # in a run: the folder that it was trained on


def _option(name: str, help: str) -> Any:
    """An option that is None where it is not given, so that a resumed run keeps its own value.

    Its help names the kinds of training that have it, where not all do, and the default of each.
    """
    shown: dict[Any, str] = {}  # value → the first kind that has it
    for kind in _kinds_with(name):
        shown.setdefault(_default(kind, name), "" if not shown else f"{kind}: ")
    default = "; ".join(f"{kind}{value}" for value, kind in shown.items() if value != "")
    return typer.Option(help=_whose(name) + help, show_default=default or False)


def _whose(name: str) -> str:
    kinds = _kinds_with(name)
    if len(kinds) >= len(_DEFAULTS) - 1:  # an encoder has the network of its run
        return ""
    return "Of a network of one pass. " if kinds == [*ARCHITECTURES] else f"Of {', '.join(kinds)}. "


def _kinds_with(name: str) -> list[str]:
    return [kind for kind in _DEFAULTS if name in _options_of(kind)]


def _default(kind: str, name: str) -> Any:
    recipe = _DEFAULTS[kind]
    return getattr(recipe if hasattr(recipe, name) else recipe.network, name)


@app.command(epilog=examples("train"))
def train(
    folder: Annotated[
        Path, typer.Argument(help="Folder of pictures, searched recursively; for an encoder, of the run.")
    ],
    out: Annotated[
        Path | None, path_option("Folder of the run: checkpoints, log, samples.", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option(
            help="; ".join(["dcgan, whose z is searched for", *(f"{name}, {row.what}"
                           for name, row in ARCHITECTURES.items())]) + "."
        )
    ] = "dcgan",
    stage: Annotated[
        str, typer.Option(help="Of a dcgan: gan, or encoder: a first z for the G of a run, as it is now.")
    ] = "gan",
    pictures: Annotated[
        Path | None,
        typer.Option(help="Of the encoder, if the run's own have moved.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    epochs: Annotated[int | None, _option("epochs", "How often each picture is seen.")] = None,
    size: Annotated[int | None, _option("size", "Pixels of a side: 8, 16, 32, 64, 128 or 256.")] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 grey, 3 RGB.", show_default="grey if all pictures are, else RGB")
    ] = None,
    filters: Annotated[int | None, _option("filters", "Channels of the largest feature maps.")] = None,
    z_dim: Annotated[int | None, _option("z_dim", "Numbers in a latent.")] = None,
    batch: Annotated[int | None, _option("batch", "Pictures in a step.")] = None,
    lr: Annotated[float | None, _option("lr", "Learning rate of Adam, for G and D.")] = None,
    beta1: Annotated[float | None, _option("beta1", "Adam's decay of the gradient's mean.")] = None,
    beta2: Annotated[float | None, _option("beta2", "Adam's decay of its square.")] = None,
    lr_decay: Annotated[
        float | None, _option("lr_decay", "Last share of the steps in which the learning rate falls to 0.")
    ] = None,
    generator_updates: Annotated[
        int | None, _option("generator_updates", "Updates of G for one of D.")
    ] = None,
    ema_decay: Annotated[float | None, _option("ema_decay", "Of the average of G, per step.")] = None,
    mirror: Annotated[
        bool | None, typer.Option("--mirror/--no-mirror", help="Show half of the pictures mirrored.",
                                  show_default="mirror")
    ] = None,
    augment: Annotated[
        bool | None, typer.Option("--augment/--no-augment", help="Show D changed pictures only, so that it "
                                  "cannot learn them by heart: for fewer than some thousand pictures.",
                                  show_default="no-augment")
    ] = None,
    precision: Annotated[str | None, _option("precision", "bf16 (mixed, half the time) or fp32.")] = None,
    seed: Annotated[int | None, _option("seed", "Of weights, latents, order and mirroring.")] = None,
    steps: Annotated[int | None, _option("steps", "Its updates.")] = None,
    width: Annotated[int | None, _option("width", "Channels of its largest feature maps.")] = None,
    completion_steps: Annotated[
        int | None, _option("completion_steps", "Steps without a discriminator.")
    ] = None,
    discriminator_steps: Annotated[
        int | None, _option("discriminator_steps", "Steps of the discriminators alone, after that.")
    ] = None,
    joint_steps: Annotated[
        int | None, _option("joint_steps", "Steps with one, after that.")
    ] = None,
    alpha: Annotated[
        float | None, _option("alpha", "Weight of the discriminators' verdict.")
    ] = None,
    crop: Annotated[int | None, _option("crop", "Pixels of a side that it is shown.")] = None,
    joint_crop: Annotated[
        int | None, _option("joint_crop", "The same in the joint steps.")
    ] = None,
    frame: Annotated[int | None, _option("frame", "The same of what the model is shown.")] = None,
    features: Annotated[
        Path | None,
        _option("features", "The .npz with AlexNet's and LPIPS's weights."),
    ] = None,
    perceptual: Annotated[float | None, _option("perceptual", "Weight of LPIPS.")] = None,
    adversarial: Annotated[
        float | None, _option("adversarial", "Weight of the critic's verdict.")
    ] = None,
    repetition: Annotated[
        float | None, _option("repetition", "Weight of repeating itself from tile to tile.")
    ] = None,
    teacher: Annotated[
        str | None, _option("teacher", "A model of one pass from which it learns to complete.")
    ] = None,
    teaching: Annotated[float | None, _option("teaching", "Weight of what that draws.")] = None,
    checkpoint_every: Annotated[
        int | None, _option("checkpoint_every", "Steps between two checkpoints.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:  # fmt: skip
    """Train a network on a folder of pictures; for a DCGAN, then an encoder for its G: --stage encoder."""
    given = {key: value for key, value in locals().items() if value is not None}
    for value, name, known in ((model, "model", _MODELS), (stage, "stage", _STAGES)):
        if value not in known:
            raise InputError(f"there is no {name} {value!r}; expected {' or '.join(known)}")
    if stage == "encoder" and model != "dcgan":
        raise InputError(
            f"--stage encoder does not go with --model {model}, which has no latent; leave it out"
        )
    if features is not None:
        given["features"] = str(features.resolve())
    if teacher:
        given["teacher"] = str(find(teacher).resolve())
    kind = "encoder" if stage == "encoder" else model
    _check_options(kind, given)
    _with_given(
        _DEFAULTS[kind], given
    )  # what cannot be asked is said before torch is loaded, which takes seconds
    if device not in _DEVICES:
        raise InputError(f"there is no device {device!r}; expected auto, cpu or cuda")
    if not folder.is_dir():
        raise InputError(f"cannot train on {str(folder)!r}: no such folder; expected a folder of pictures")
    require("train", "safetensors.torch", "torch.utils.tensorboard")
    place = _device(device)
    from edgefill.training.together import is_first, joined

    started = time.monotonic()
    with StopRequest() as stop, joined(place) as place:
        if device == "auto":
            _tell(f"device: {place.type}")
        start = _train_encoder if kind == "encoder" else _train_network
        with _out_of_memory():
            run, config, read, done = start(kind, given, place, stop)
        first = is_first()
    if json and first:
        print_json({
            "run": str(run), "kind": kind, "device": place.type,
            "pictures": len(read), "skipped": len(read.skipped),
            "steps": done, **{key: vars(config)[key] for key in ("epochs",) if key in vars(config)},
            "stopped": stop(), "seconds": time.monotonic() - started,
        })  # fmt: skip
    if stop():
        if first:
            say(f"stopped and saved at step {done}; go on with --resume")
        raise typer.Exit(128 + stop.signal)
    trained = shlex.quote(str(folder if kind == "encoder" else run))
    if first:
        say(f"wrote {run}\nnext: edgefill export {trained} --out NAME.edgefill")


def _train_network(
    kind: str, given: dict[str, Any], place: torch.device, stop: StopRequest
) -> tuple[Path, Recipe, Pictures, int]:
    from edgefill.training.loop import train as train_dcgan
    from edgefill.training.one_pass import train_in_one_pass
    from edgefill.training.run import claim_folder, resumed_config
    from edgefill.training.together import is_first

    folder, out, resume = given["folder"], given["out"], given["resume"]
    default = _DEFAULTS[kind]
    before = resumed_config(out, type(default), _tell) if resume else default
    wanted, stored = _with_given(before, given), before.batch
    if not resume and is_first():
        claim_folder(out)
    channels = wanted.network.channels if resume else given.get("channels")
    pictures = _read(folder, wanted.network.size, channels, out)
    if not resume and is_first():
        write_atomically(out / _PICTURES, f"{folder.resolve()}\n")
    config = _with_given(wanted, {"channels": pictures.values.shape[1]})
    if not (resume and config.batch == stored):
        config = replace(config, batch=_batch(config.batch, len(pictures)))
    with _reporting(config, len(pictures)) as report:
        run_training: Callable[..., int] = train_in_one_pass if kind in ARCHITECTURES else train_dcgan
        steps = run_training(
            out, config, pictures, place, resume=resume, on_step=report, stopping=stop, warn=_tell
        )
    if resume and is_first():  # these are the pictures that it began with: others it would have refused
        write_atomically(out / _PICTURES, f"{folder.resolve()}\n")
    return out, config, pictures, steps


def _train_encoder(
    kind: str, given: dict[str, Any], place: torch.device, stop: StopRequest
) -> tuple[Path, Recipe, Pictures, int]:
    from edgefill.training.encoder import FOLDER, train_encoder
    from edgefill.training.run import claim_folder, read_config, resumed_config
    from edgefill.training.together import is_first

    run, resume = given["folder"], given["resume"]
    network, out = read_config(run).network, run / FOLDER
    folder = given.get("pictures") or _pictures_of(run)
    wanted = resumed_config(out, EncoderConfig, _tell) if resume else EncoderConfig()
    config, stored = _with_given(wanted, given), wanted.batch
    if not resume and is_first():
        claim_folder(out)
    pictures = _read(folder, network.size, network.channels, out)
    if not (resume and config.batch == stored):
        config = replace(config, batch=_batch(config.batch, len(pictures)))
    with _reporting(config, len(pictures)) as report:
        steps = train_encoder(
            run, config, pictures, place, resume=resume, on_step=report, stopping=stop, warn=_tell
        )
    return out, config, pictures, steps


def _pictures_of(run: Path) -> Path:
    """The folder that ``run`` was trained on. Raises InputError where that is not known."""
    try:
        return Path((run / _PICTURES).read_text().strip())
    except OSError as error:
        raise InputError(
            f"{str(run)!r} does not say which pictures it was trained on; name them with --pictures"
        ) from error


def _check_options(kind: str, given: dict[str, Any]) -> None:
    """Raises InputError for an option that this kind of training does not have, or lacks."""
    others = {name for other in _DEFAULTS for name in _options_of(other)}
    strange = [name for name in given if name in others - _options_of(kind)]
    if strange:
        raise InputError(
            f"--{strange[0].replace('_', '-')} does not belong to the training of a {kind}; leave it out"
        )
    if kind != "encoder" and "out" not in given:
        raise InputError("there is no --out; expected the folder of the run")


def _options_of(kind: str) -> set[str]:
    """An encoder lies in the folder of its run, and its network is the run's."""
    recipe = _DEFAULTS[kind]
    own = {entry.name for entry in fields(recipe)}
    return own | ({"pictures"} if kind == "encoder" else {"out", *vars(recipe.network)})


def _with_given(config: _Config, given: dict[str, Any]) -> _Config:
    """``config`` with what the command line names."""
    network = {name: given[name] for name in vars(config.network) if name in given}
    recipe = {entry.name: given[entry.name] for entry in fields(config) if entry.name in given}
    return replace(config, network=replace(config.network, **network), **recipe)


def _device(name: str) -> torch.device:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailable(
            f"cannot train on cuda: PyTorch {torch.__version__} finds no CUDA device; choose --device cpu"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _read(folder: Path, size: int, channels: int | None, out: Path) -> Pictures:
    from edgefill.training.data import load_pictures
    from edgefill.training.together import is_first

    with progress_bar(enabled=is_first()) as bar:

        def track(files: list[Path]) -> Iterable[Path]:
            return bar.track(files, task_id=bar.add_task("reading", note="", total=len(files)))

        pictures = load_pictures(folder, size, channels, track=track)
    _tell(f"pictures: {len(pictures)}, {'grey' if pictures.values.shape[1] == 1 else 'RGB'}, {size}×{size}")
    if pictures.skipped and is_first():
        lines = [f"{file}\t{reason}\n" for file, reason in pictures.skipped]
        write_atomically(out / "skipped.txt", "".join(lines))
        say(f"skipped: {len(lines)} files, see {out / 'skipped.txt'}")
    return pictures


def _batch(wanted: int, pictures: int) -> int:
    """No larger than there are pictures."""
    if pictures < wanted:
        _tell(f"fewer pictures than a batch of {wanted}: batches of {pictures}")
    return min(wanted, pictures)


def _tell(message: str) -> None:
    """Says it once, where several processes train together."""
    from edgefill.training.together import is_first

    if is_first():
        say(message)


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


@contextmanager
def _out_of_memory() -> Iterator[None]:
    """Says what to do where PyTorch gets no more memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        words = str(error).split("\n")[0]
        if isinstance(error, RuntimeError) and "memory" not in words.lower():
            raise
        raise InputError(
            f"the training needs more memory than there is ({words or 'none is left'}); choose a smaller "
            "--batch, --filters, --z-dim or --size"
        ) from error


@contextmanager
def _reporting(config: Recipe, pictures: int) -> Iterator[Callable[[Progress], None]]:
    """A bar with losses and time left on a terminal, a line per epoch in a pipe."""
    began = clock = spoken = time.monotonic()
    first: int | None = None  # step that was done here
    epochs = f"/{config.epochs}" if isinstance(config, TrainingConfig) else ""
    from edgefill.training.together import is_first

    with progress_bar(enabled=is_first()) as bar:
        task = bar.add_task("training", note="", total=None)

        def report(progress: Progress) -> None:
            nonlocal clock, spoken, first
            now = time.monotonic()
            first = progress.step if first is None else first
            losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
            note = f"epoch {progress.epoch}{epochs}  {losses}"
            bar.update(task, completed=progress.step, total=progress.total_steps, note=note)
            if progress.epoch_ended and bar.disable:
                say(f"{note}  {now - clock:.1f} s")
                clock = spoken = now
            elif bar.disable and now - spoken >= _SILENCE:
                pace = (now - began) / max(progress.step - first, 1)
                left = _duration((progress.total_steps - progress.step) * pace)
                say(f"step {progress.step} of {progress.total_steps}  {note}  about {left} left")
                spoken = now

        yield report
