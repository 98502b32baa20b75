"""The engines of one bundle: built when they are needed, kept for this user, never trusted unread.

Loading an engine executes what is in it, so they lie in folders that only their user may enter. Beside each
lies a sidecar that is compared with this machine and with the engine's bytes before TensorRT sees them.
"""

from __future__ import annotations

import hashlib
import shlex
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgefill import __version__, machine
from edgefill.errors import BackendUnavailable, EngineError, InputError, ModelError
from edgefill.export.engines.builder import Plan, build_plan
from edgefill.export.engines.folders import engines_folder, keep_private, make_folder
from edgefill.export.engines.library import open_library
from edgefill.export.engines.lock import locked
from edgefill.export.engines.progress import Progress, silent
from edgefill.export.engines.recipe import Batch, Recipe, input_shapes, static
from edgefill.export.engines.sidecar import Sidecar, beside, read_engine
from edgefill.files import write_atomically
from edgefill.model import catalogue
from edgefill.model.bundle import Bundle
from edgefill.model.onnx_file import check_compiles

SUFFIX = ".engine"
_WASTE = 8  # A static engine takes as long for one row as for all: so many times too large is too slow.


@dataclass(frozen=True)
class Entry:
    """An engine in its place; ``built`` is whether it was made now, ``complaints`` what TensorRT logged."""

    recipe: Recipe
    path: Path
    sidecar: Sidecar
    built: bool
    complaints: tuple[str, ...] = ()


class Engines:
    """The engines of ``bundle`` for ``library``, in the user's cache unless ``folder`` is given.

    ``precision`` is that of the graphs: fp16 where the bundle has it, else the bundle's own. ``say`` is told
    of every engine that is built. With ``rebuild=False`` one that is missing or does not fit is an error.
    """

    def __init__(
        self,
        bundle: Bundle,
        library: str,
        *,
        precision: str | None = None,
        say: Callable[[str], None] = warnings.warn,
        folder: Path | None = None,
        rebuild: bool = True,
    ) -> None:
        self._bundle, self._say, self._rebuild = bundle, say, rebuild
        self._library = open_library(library)
        self.precision = precision or ("fp16" if "fp16" in bundle.precisions else bundle.manifest.precision)
        self.build_seconds = 0.0  # spent on engines that were not there
        self._cached, self._folder = folder is None, folder or engines_folder(bundle)
        driver = machine.driver()
        self._gpu = driver.gpus[0].sm if driver.gpus else None
        self._driver = driver.release
        self._hashes: dict[str, str] = {}  # of the ONNX graphs

    def batches(self, graph: str = "step") -> list[Batch]:
        """Smallest, most likely and largest batch of each engine that fits this machine, smallest first."""
        return [recipe.batch for recipe in self._recipes(graph) if self._fitting(recipe, self._gpu)]

    def holds(self, graph: str, rows: int) -> bool:
        """Whether an engine is there that ``load`` would take for ``rows``, fit for this machine or not."""
        return any(_holds(recipe, rows) for recipe in self._recipes(graph))

    def kernels(self, recipe: Recipe) -> Path:
        """Where the kernels that were compiled for the engine of ``recipe`` are kept, beside it."""
        return self._path(recipe).with_suffix(".kernels")

    def load(self, graph: str, rows: int) -> tuple[bytes, Recipe]:
        """The plan of the smallest engine that holds ``rows``, and its recipe; it may be deserialised.

        Where there is none, or only one for many times as many, it is built, for ``rows`` rounded up to a
        power of two; where it does not fit this machine any more it is built again. Raises EngineError.
        """
        self._make_folder()
        keep_private(self._folder)
        holding = [recipe for recipe in self._recipes(graph) if _holds(recipe, rows)]
        recipe = holding[0] if holding else self._recipe(graph, static(1 << (rows - 1).bit_length()))
        try:
            return self._read(recipe, self._gpu)[0], recipe
        except EngineError as problem:
            if not self._rebuild:
                raise EngineError(f"{problem}; run: {self._command(recipe)}") from problem
            self._say(f"{problem}: building it now with {self._library.title}; it is kept")
        entry = self.build(graph, recipe.batch)
        self.build_seconds += entry.sidecar.build_seconds * entry.built
        return self._read(entry.recipe, self._gpu)[0], entry.recipe

    def build(
        self,
        graph: str,
        batch: Batch,
        *,
        sm: Sequence[int] = (),
        level: int | None = None,
        force: bool = False,
        progress: Progress = silent,
    ) -> Entry:
        """The engine of ``graph`` for ``batch``, built unless it is there or ``force`` is set.

        ``sm`` are the architectures to build for: the GPU that is here, or where none is the library's own
        choice, unless given. Raises EngineError with TensorRT's own lines, ModelError where no
        compiler takes the graph.
        """
        recipe = self._recipe(graph, batch, self._targets(sm))
        source, model = self._bundle.graph(graph, recipe.precision), self._bundle.manifest.name
        check_compiles(source, name=model, doing="build an engine of")
        self._make_folder()
        with locked(self._folder / ".lock"):
            kept = None if force else self._kept(recipe, level)
            return kept or self._build(recipe, level, progress)

    def check_targets(self, sm: Sequence[int]) -> None:
        """Raises BackendUnavailable where no GPU is here and ``sm`` names none to build for."""
        if self._gpu is not None or sm:
            return
        title, model = self._library.title, shlex.quote(self._model)
        if not self._library.names_targets:
            raise BackendUnavailable(
                f"{title} builds for the GPU that is here, and none is found; run it on the machine that has "
                "the GPU (`edgefill doctor` says what hides it), or build for RTX: --for rtx --sm 86,89"
            )
        known = self._library.targets()
        raise BackendUnavailable(
            f"{title} has to know which GPUs to build for: none is here, and --sm names none; expected some "
            f"of {', '.join(map(str, known))}; run: edgefill build {model} --for {self._library.name} "
            f"--sm {','.join(map(str, known[:2]))}"
        )

    def _build(self, recipe: Recipe, level: int | None, progress: Progress) -> Entry:
        source = self._bundle.graph(recipe.graph, recipe.precision)
        free, timings = machine.free_memory(), self._timings()
        features = self._bundle.features(recipe.precision)
        shapes = input_shapes(self._bundle.manifest, recipe.graph, recipe.batch, features)
        plan = build_plan(
            source, recipe, shapes=shapes, level=level, free=free, timings=timings, progress=progress
        )
        path, sidecar = self._path(recipe), self._describe(recipe, plan, level)
        write_atomically(path, plan.content)
        write_atomically(beside(path), sidecar.to_json())
        return Entry(recipe, path, sidecar, built=True, complaints=plan.complaints)

    def _kept(self, recipe: Recipe, level: int | None) -> Entry | None:
        """The engine of ``recipe`` where it is there as wanted, be it for another GPU than this one."""
        sidecar = self._fitting(recipe, None)
        if sidecar and sidecar.sm == recipe.sm and level in (None, sidecar.level):
            return Entry(recipe, self._path(recipe), sidecar, built=False)
        return None

    def _fitting(self, recipe: Recipe, gpu: int | None) -> Sidecar | None:
        try:
            return self._read(recipe, gpu)[1]
        except EngineError:
            return None

    def _read(self, recipe: Recipe, gpu: int | None) -> tuple[bytes, Sidecar]:
        """The engine's bytes and sidecar. Raises EngineError that says why it must not be used on ``gpu``."""
        found: tuple[bytes, Sidecar] = read_engine(self._path(recipe), self._wanted(recipe), gpu)
        return found

    def _wanted(self, recipe: Recipe) -> dict[str, Any]:
        """What a sidecar has to say here."""
        return {
            "library": self._library.name,
            "library_version": self._library.version,
            "graph": recipe.graph,
            "precision": recipe.precision,
            "batch": recipe.batch,
            "source_sha256": self._source_hash(recipe.graph),
        }

    def _describe(self, recipe: Recipe, plan: Plan, level: int | None) -> Sidecar:
        return Sidecar(
            **self._wanted(recipe),
            sha256=hashlib.sha256(plan.content).hexdigest(),
            size=len(plan.content),
            sm=recipe.sm,
            level=level,
            driver=self._driver,
            build_seconds=round(plan.seconds, 3),
            edgefill=__version__,
            created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _recipes(self, graph: str) -> list[Recipe]:
        """Those of the sidecars that can be read, smallest first."""
        found = []
        precision = self._bundle.precision_of(graph, self.precision)
        for path in self._folder.glob(f"{graph}-{self._library.name}-{precision}-*{SUFFIX}.json"):
            try:
                sidecar = Sidecar.from_json(path.read_bytes(), path.name)
            except EngineError:
                continue  # load says so where it is the one that is asked for
            smallest, likely, largest = sidecar.batch
            found.append(self._recipe(graph, (smallest, likely, largest), sidecar.sm))
        return sorted(found, key=lambda recipe: (recipe.batch[2], not recipe.static))

    def _recipe(self, graph: str, batch: Batch, sm: tuple[int, ...] = ()) -> Recipe:
        """The recipe at ``batch``, or at the rows that the graph takes where it takes no others."""
        precision = self._bundle.precision_of(graph, self.precision)
        interface = self._bundle.manifest.interface
        if interface and interface.rows:
            batch = static(interface.rows)
        return Recipe(graph, precision, self._library.name, batch, sm)

    def _targets(self, sm: Sequence[int]) -> tuple[int, ...]:
        """The architectures to build for, of those that are wanted and the one that is here."""
        here = () if self._gpu is None else (self._gpu,)
        if self._library.names_targets:
            return tuple(sm) or tuple(each for each in here if each in self._library.targets())
        if sm and tuple(sm) != here:
            raise InputError(
                f"{self._library.title} builds for the GPU that is here (sm {self._gpu}), not for sm "
                f"{', '.join(map(str, sm))}; build on the machine that has it, or use --for rtx"
            )
        return here

    def _source_hash(self, graph: str) -> str:
        if graph not in self._hashes:
            source = self._bundle.graph(graph, self.precision)
            self._hashes[graph] = hashlib.sha256(source).hexdigest()
        return self._hashes[graph]

    def _path(self, recipe: Recipe) -> Path:
        return self._folder / f"{recipe.name}{SUFFIX}"

    def _timings(self) -> Path:
        """Where measurements are kept: for all models of one GPU and version of the library."""
        folder = self._folder.parent if self._cached else self._folder
        return folder / f"timings-{self._library.version}-sm{self._gpu}.cache"

    def _make_folder(self) -> None:
        if self._cached:
            keep_private(self._folder.parent)
            keep_private(self._folder)
        else:
            make_folder(self._folder)

    @property
    def _model(self) -> str:
        """What a command calls the model: its name where that is enough, else its path."""
        name = self._bundle.manifest.name
        try:
            known = catalogue.find(name) == self._bundle.path
        except ModelError:
            known = False
        return name if known else str(self._bundle.path)

    def _command(self, recipe: Recipe) -> str:
        """The line that builds ``recipe``."""
        batch = ",".join(map(str, dict.fromkeys(recipe.batch))) + " --dynamic" * (not recipe.static)
        which = f"--for {recipe.library} --precision {recipe.precision}"
        return f"edgefill build {self._model} {which} --batch {batch}"


def _holds(recipe: Recipe, rows: int) -> bool:
    """Whether an engine of ``recipe`` may run ``rows``, alone or with rows that pad them."""
    smallest, _, largest = recipe.batch
    return bool(rows <= largest and smallest <= _WASTE * rows)
