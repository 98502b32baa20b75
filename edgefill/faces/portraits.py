"""The faces of which something is missing: what a model sees of each, and where its drawings belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgefill.errors import InputError
from edgefill.faces.eyes import Eyes
from edgefill.faces.finding import find_faces
from edgefill.faces.pose import Pose
from edgefill.holes.scaling import as_channels
from edgefill.holes.smooth import smooth_drawing
from edgefill.holes.thin import with_neighbours
from edgefill.model.manifest import Alignment, Manifest
from edgefill.pictures.images import from_unit, to_unit

_NOBODY = -1


@dataclass(frozen=True, eq=False)
class Portraits:
    """The ``poses`` of faces, and whose each pixel in and beside the hole is: -1 is nobody's."""

    poses: tuple[Pose, ...]
    owners: np.ndarray  # [H, W] int16

    @property
    def eyes(self) -> tuple[Eyes, ...]:
        return tuple(pose.eyes for pose in self.poses)

    def seen(self, values: np.ndarray, known: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """What is known of each face in the frame of the model, [N, C, h, w] and its share [N, 1, h, w]."""
        parts = [pose.seen(values, known) for pose in self.poses]
        means = [as_channels(mean.transpose(1, 2, 0), channels).transpose(2, 0, 1) for mean, _ in parts]
        return np.stack(means), np.stack([share for _, share in parts])[:, None]

    def drawn(self, generated: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """What fills the hole, [H, W, C] in [-1, 1]: of each face what was ``generated [N, C, h, w]``.

        What belongs to no face goes on smoothly from that and from what is ``known`` of ``values [H, W, .]``.
        Beside the hole, where blending looks too, stands what was drawn, or what is known.
        """
        drawn = self.mapped(generated)
        nobody = self.owners == _NOBODY
        rest = ~known & nobody
        if rest.any():
            target = from_unit(as_channels(to_unit(values), drawn.shape[2]), values.dtype)
            own = ~known & ~rest
            target[own] = from_unit(drawn[own], values.dtype)
            drawn[rest] = smooth_drawing(target, ~rest)[rest]
            beside = with_neighbours(rest) & known & nobody
            drawn[beside] = to_unit(target[beside])
        return drawn

    def mapped(self, generated: np.ndarray, beyond: float = 0.0) -> np.ndarray:
        """``generated [N, C, h, w]`` at the pixels of each face, [H, W, C]; ``beyond`` them that."""
        drawn = np.full((*self.owners.shape, generated.shape[1]), np.float32(beyond))
        for number, (pose, own) in enumerate(zip(self.poses, generated, strict=True)):
            rows, columns = np.nonzero(self.owners == number)
            drawn[rows, columns] = pose.drawn(own, rows, columns)
        return drawn

    def without(self, pixels: np.ndarray) -> Portraits:
        """The same, where no face draws ``pixels [H, W]``."""
        return replace(self, owners=np.where(pixels, np.int16(_NOBODY), self.owners))

    def reduced(self, rows: np.ndarray, columns: np.ndarray, share: float) -> Portraits:
        """Of the picture made smaller by ``share``, of which these ``rows`` and ``columns`` stay."""
        return Portraits(tuple(pose.scaled(share) for pose in self.poses), self.owners[rows][:, columns])


def check_alignment(align: bool, given: Sequence[Eyes], model: Manifest) -> None:
    """Raises InputError where ``model`` cannot align faces, BackendUnavailable where none can be found."""
    if not align:
        return
    if model.alignment is None:
        raise InputError(
            f"cannot align faces for {model.name}: its manifest does not say where it expects the eyes; "
            "expected a model of faces, such as faces64-glcic, or leave --align and --eyes out"
        )
    if not given:
        from edgefill.faces.finding import check_detector

        check_detector()


def portraits_of(
    values: np.ndarray, known: np.ndarray, given: Sequence[Eyes], model: Manifest, name: str
) -> tuple[Portraits, list[str]]:
    """The faces in which something of a picture's ``values [H, W, C]`` is not ``known``, and notices.

    Their eyes are ``given``, or found in the picture with its hole filled smoothly: what lies under the hole
    has no part in anything. Raises InputError where there is no face, or none that has a hole.
    """
    alignment = model.alignment
    assert alignment is not None
    eyes = given or find_faces(_without_hole(values, known))
    if not eyes:
        raise InputError(
            f"cannot complete {name!r}: no face was found in it; expected one of 20 pixels or more, of which "
            "the hole leaves enough; say where the eyes are (--eyes x,y,x,y), or complete it without --align"
        )
    portraits = _assigned(known, eyes, alignment, (model.height, model.width))
    if not portraits.poses:
        places = "; ".join(",".join(f"{number:.0f}" for number in pair) for pair in eyes)
        raise InputError(
            f"cannot complete {name!r}: what is missing lies in none of its {len(eyes)} faces, whose eyes "
            f"are at {places}; expected a hole in a face; say where the eyes are (--eyes x,y,x,y), or "
            "complete it without --align"
        )
    beyond = int((~known & (portraits.owners == _NOBODY)).sum())
    notices = []
    if beyond:
        notices.append(f"{beyond} missing pixels lie in no face: they are filled smoothly, without the model")
    return portraits, notices


def _without_hole(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    filled: np.ndarray = values.copy()
    filled[~known] = from_unit(smooth_drawing(values, known)[~known], values.dtype)
    return filled


def _assigned(
    known: np.ndarray, eyes: Sequence[Eyes], alignment: Alignment, cells: tuple[int, int]
) -> Portraits:
    """Each missing pixel to the face in the middle of whose frame it lies most, with what is beside the hole.

    Faces without any are left out.
    """
    hole = ~known
    rows, columns = np.nonzero(with_neighbours(hole))
    nearest = np.full(len(rows), np.inf)
    numbers = np.full(len(rows), _NOBODY, np.int16)
    poses = [Pose.of(pair, alignment, cells) for pair in sorted(eyes)]
    for number, pose in enumerate(poses):
        away = pose.away(rows, columns)
        numbers[away < nearest] = number
        nearest = np.minimum(nearest, away)
    kept = sorted(set(numbers[hole[rows, columns]]) - {_NOBODY})
    owners = np.full(known.shape, _NOBODY, np.int16)
    for place, number in enumerate(kept):
        own = numbers == number
        owners[rows[own], columns[own]] = place
    return Portraits(tuple(poses[number] for number in kept), owners)
