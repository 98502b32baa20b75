"""What rows of a search have found, put together to what was ordered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from edgefill.errors import EdgefillError
from edgefill.jobs.job import Order, Progress
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Result
from edgefill.methods.latent.batch import Found, Search
from edgefill.methods.latent.candidates import Alternatives
from edgefill.methods.latent.drawing import check_drawn
from edgefill.methods.latent.kind import misfit, worst
from edgefill.methods.latent.search import CONVERGED, FAILED, OUT_OF_TIME, REACHED, search_failed
from edgefill.model.manifest import Manifest
from edgefill.runtimes import Runtime

_ENDS = {REACHED: "goal", CONVERGED: "plateau", OUT_OF_TIME: "time"}


@dataclass(eq=False)
class Answer:
    """An order and the rows that search for it."""

    order: Order
    own: list[Search]
    model: Manifest
    runtime: Runtime

    @property
    def rows(self) -> list[Search]:
        """Everything that is searched for."""
        return self.own

    @property
    def has_ended(self) -> bool:
        """Whether every row has found what it could."""
        return all(row.found for row in self.rows)

    def finishing(self) -> Callable[[], Any]:
        """What finishes it, in any thread; what the runtime is needed for is done now."""
        try:
            return self._finishing()
        except EdgefillError as error:
            return partial(_raise, error)

    def report(self, steps: int) -> None:
        """Lets who watches know that its first row has taken ``steps``."""
        self.order.tell(Progress(steps / self.own[0].settings.steps, steps))

    def _finishing(self) -> Callable[[], Any]:
        raise NotImplementedError


@dataclass(eq=False)
class PictureAnswer(Answer):
    """A Result: its own row's, and with it the alternatives if they are asked for."""

    photograph: Photograph
    others: Alternatives | None = None
    _shown: np.ndarray | None = None  # the frame that was reported last

    @property
    def rows(self) -> list[Search]:
        return [*self.own, *(self.others.searches if self.others else [])]

    def report(self, steps: int) -> None:
        """With the newest frame, once."""
        search = self.own[0]
        frame = search.recording.last_frame
        is_new, self._shown = frame is not self._shown, frame
        share = steps / search.settings.steps
        self.order.tell(Progress(share, steps, self.photograph, frame if is_new else None))

    def _finishing(self) -> Callable[[], Result]:
        found = [row.found for row in self.own if row.found]
        name = self.photograph.picture.name or "the picture"
        for each in found:
            if each.status == FAILED:
                raise search_failed(name, each.steps)
        contextual = self.others.contextual(found[0].z, self.runtime) if self.others else math.inf
        of_z = contextual
        if self.others and len(found[0].z) > self.model.z_dim:  # others move z alone
            of_z = self.others.contextual(found[0].z[: self.model.z_dim], self.runtime)

        def finish() -> Result:
            result = self._result(found, name)
            return self.others.added_to(result, contextual, of_z) if self.others else result

        return finish

    def _result(self, found: list[Found], name: str) -> Result:
        """That of one row; or of several faces, whose losses are added up, without z and G(z)."""
        search, recording = self.own[0], self.own[0].recording
        generated, frames = np.stack([each.generated for each in found]), recording.frames()
        check_drawn(np.stack([*generated, *frames]), self.model, name)
        picture = self.photograph.finished(generated, self.order.request.blend)
        trace = recording.trace()
        searched, is_one = all(each.steps for each in found), len(found) == 1
        return Result(
            self.order.source,
            self.photograph,
            picture,
            loss=sum(each.loss for each in found) if searched else None,
            contextual=sum(each.contextual for each in found) if searched else None,
            perceptual=sum(each.perceptual for each in found) if searched and search.settings.lam else None,
            prior=sum(each.prior for each in found) if searched else None,
            steps=max(each.steps for each in found),
            ended=_ENDS.get(max(each.status for each in found), "steps"),
            seconds=sum(row.seconds for row in self.own),
            z=found[0].z[: self.model.z_dim] if is_one else None,
            generated=found[0].generated if is_one else None,
            trace=trace and replace(trace, z=trace.z[:, : self.model.z_dim]),
            frames=frames,
            misfit=worst(
                [misfit(row.evidence, each.expected) for row, each in zip(self.own, found, strict=True)]
            ),
        )


@dataclass(eq=False)
class ArraysAnswer(Answer):
    """An array of pictures: each row's, composed where the model runs."""

    target: np.ndarray  # [N, C, H, W]
    known: np.ndarray  # [N, H, W]

    def _finishing(self) -> Callable[[], np.ndarray]:
        found = [row.found for row in self.own if row.found]
        for number, each in enumerate(found):
            if each.status == FAILED:
                raise search_failed(f"picture {number}", each.steps)
        # The generator may fail where the step did not, and composes bytes.
        check_drawn(np.stack([each.generated for each in found]), self.model)
        composed = self.runtime.compose(np.stack([each.z for each in found]), self.target, self.known)
        return lambda: composed


def _raise(error: EdgefillError) -> Any:
    raise error
