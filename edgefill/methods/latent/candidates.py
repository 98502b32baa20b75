"""More than one answer: completions of a picture, as unlike each other as they come, and how sure they are.

The objective has many basins, and a hole often has many fillings that fit. Searches from random starts end in
some of them; the best of these are chosen one by one, each as far from those before it as can be. Where the
searches agree, what is known determines the filling; where they do not, the model has made it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgefill.jobs.job import Order
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Candidate, Request, Result
from edgefill.methods.latent.batch import Found, Search
from edgefill.methods.latent.drawing import is_finite
from edgefill.methods.latent.graphs import evaluate
from edgefill.methods.latent.kind import trust
from edgefill.methods.latent.recording import Recording
from edgefill.methods.latent.search import FAILED, Task
from edgefill.methods.latent.settings import suited_settings
from edgefill.runtimes import Runtime

_SEARCHES = 16  # from random starts, or more where many candidates are asked for
_SEARCHES_A_CANDIDATE = 4
_GOOD = 1.5  # times the least contextual loss of them all: what fits worse is no answer
_VISIBLE = 0.06  # of [-1, 1], root mean square in the hole: two that differ by less look alike
_UNSURE = 0.5  # standard deviation of [-1, 1] at which nothing is known of a pixel


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Searches from random starts beside that of an order, and what is made of them."""

    request: Request
    photograph: Photograph
    searches: list[Search]

    @classmethod
    def of(cls, order: Order, photograph: Photograph, runtime: Runtime) -> Alternatives:
        """Those of ``order``, which begin when they get their places."""
        request, settings = order.request, suited_settings("random", "adam")
        count = max(_SEARCHES, _SEARCHES_A_CANDIDATE * request.candidates)
        plain = Request(settings=settings)
        searches = [
            Search(order, photograph.evidence, settings, (request.seed, number), Recording(plain, runtime))
            for number in range(count)
        ]
        return cls(request, photograph, searches)

    def contextual(self, z: np.ndarray, runtime: Runtime) -> float:
        """How well G(z) fits what is known, as these searches weigh it, whatever the search for z did."""
        own = Task.of(self.photograph.evidence, self.searches[0].settings, np.zeros_like(z[None]))
        return float(evaluate(runtime, z[None], own).contextual[0])

    def added_to(self, result: Result, contextual: float, of_z: float) -> Result:
        """``result`` with its alternatives, fewer than asked for where they look alike, and its confidence.

        ``contextual`` is what it has itself, ``of_z`` what its z has where that alone is moved.
        """
        if result.generated is None:
            return result
        found = _Good.of([search.found for search in self.searches if search.found], of_z, self.photograph)
        candidates = [Candidate(result.picture, contextual, result.generated)]
        for row in _unlike(found, _shown(self.photograph, result.generated), self.request.candidates - 1):
            drawn = found.generated[row]
            picture = self.photograph.finished(drawn, self.request.blend)
            candidates.append(Candidate(picture, float(found.contextual[row]), drawn))
        first, *others = candidates
        ranked = (first, *sorted(others, key=lambda candidate: candidate.contextual))
        return replace(
            result,
            candidates=ranked if self.request.candidates > 1 else (),
            confidence=self._confidence(found, result) if self.request.confidence else None,
        )

    def _confidence(self, found: _Good, result: Result) -> np.ndarray:
        """How much the searches agree, less where the picture is none of the model's kind."""
        share = trust(result.misfit, self.photograph.model.usual_misfit)
        return _confidence(self.photograph, found, share)


@dataclass(frozen=True, eq=False)
class _Good:
    """What those searches found that fit almost as well as the best."""

    generated: np.ndarray  # [N, C, H, W]
    shown: np.ndarray  # [N, values in the hole]
    contextual: np.ndarray  # [N]
    any_searched: bool = True  # whether there was time for any search at all

    @classmethod
    def of(cls, found: Sequence[Found], contextual: float, photograph: Photograph) -> _Good:
        usable = [each for each in found if each.status != FAILED and each.steps]
        least = min([contextual, *(each.contextual for each in usable)])
        good = [
            each for each in usable if each.contextual <= _GOOD * least and is_finite(each.generated[None])
        ]
        if not good:
            return cls(np.zeros((0, 1, 1, 1)), np.zeros((0, 1)), np.zeros(0), bool(usable))
        return cls(
            np.stack([each.generated for each in good]),
            np.array([_shown(photograph, each.generated) for each in good]),
            np.array([each.contextual for each in good]),
        )


def _shown(photograph: Photograph, generated: np.ndarray) -> np.ndarray:
    """What fills the hole, as one vector at the size of the model."""
    missing = photograph.evidence.weight[0, 0] < 1
    shown: np.ndarray = generated[:, missing].ravel()
    return shown


def _unlike(found: _Good, first: np.ndarray, count: int) -> list[int]:
    """The rows, at most ``count``, that are each the farthest from ``first`` and those before."""
    chosen: list[int] = []
    if not len(found.shown):
        return chosen
    nearest = _distance(found.shown, first)
    while len(chosen) < count and nearest.max() >= _VISIBLE:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distance(found.shown, found.shown[chosen[-1]]))
    return chosen


def _distance(shown: np.ndarray, other: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.sqrt(np.square(shown - other).mean(1))
    return distance


def _confidence(photograph: Photograph, found: _Good, share: float) -> np.ndarray:
    """How much the searches agree, times ``share``, uint8 [H, W] of the picture; 255 where it is known.

    Where there was no time to search, nothing is sure.
    """
    box = photograph.box
    sure = np.full((box.height, box.width), float(found.any_searched))
    if len(found.generated) > 1:
        spread = found.generated.std(0).mean(0)  # over the searches, then the channels
        sure = 1 - np.clip(photograph.mapped(spread, _UNSURE) / _UNSURE, 0, 1)
    whole = np.full(photograph.picture.size, 255, np.uint8)
    box.cut(whole)[~photograph.known] = np.rint(255 * share * sure).astype(np.uint8)[~photograph.known]
    return whole
