"""What a network of any size takes and sees, measured by running it: sizes, reach, and how many at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import ModelProto

from edgefill.errors import ModelError
from edgefill.export.importing.declaring import declared
from edgefill.export.importing.network import Network
from edgefill.export.importing.scene import scene
from edgefill.model.interface import Interface, Sizes

_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
_ABOUT = 96  # pixels of the sides by which multiples are told
_LARGEST = 1024  # pixels of a side at which the reach is looked for; beyond, it is the whole picture
_ACROSS = 64  # pixels of the shorter side of what is looked at
_SHARES = (0.0, 0.5, 0.9)  # of the pixels that are known, as other paths may lead from holes
_SHIFTED = 1e-4  # by how much a shifted picture may be drawn otherwise, on [-1, 1]
_FELT = 1e-6  # a change of what is drawn, on [-1, 1]
_ROWS = 1e-4  # by how much a picture may differ for the others in its batch, on [-1, 1]


def with_sizes(network: Network, interface: Interface) -> Interface:
    """``interface`` with the multiple and the smallest side that go through. Raises ModelError."""
    if interface.sizes.fixed:
        return interface
    multiple = next((each for each in _MULTIPLES if _takes(network, interface, *_sides(each))), None)
    if multiple is None:
        raise ModelError(
            f"{network.name} declares pictures of any size and takes none of sides "
            f"{', '.join(str(_sides(each)[0]) for each in _MULTIPLES)}; expected one to go through; "
            "export it for one fixed size"
        )
    smallest = next(side for side in _doublings(multiple) if _takes(network, interface, side, side))
    return replace(interface, sizes=Sizes(multiple, smallest))


def _sides(multiple: int) -> tuple[int, int]:
    """A height and a width of about _ABOUT that are multiples of ``multiple`` and of nothing larger."""
    side = multiple * (2 * round(_ABOUT / multiple / 2) + 1)
    return side, side + 2 * multiple


def _doublings(multiple: int) -> list[int]:
    """Sides to try from the least on; the last is one that goes through."""
    largest = _sides(multiple)[0]
    return [*(side for power in range(8) if (side := multiple << power) < largest), largest]


def _takes(network: Network, interface: Interface, height: int, width: int) -> bool:
    picture, known = _rows_of(interface, *scene(height, width, interface.channels))
    try:
        network.drawn(interface, picture, known)
    except ModelError:
        return False
    return True


def _rows_of(interface: Interface, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.repeat(each, interface.batch or 1, 0) for each in arrays)


def with_reach(network: Network, interface: Interface) -> Interface:
    """``interface`` with how far an output sees, and with the multiple by which pictures may be cut.

    The reach is None, the whole picture, for one fixed size, for a network that sees as far as was looked,
    and for one that draws by where in the picture it is.
    """
    if interface.sizes.fixed:
        return replace(interface, reach=None)
    periods = [_period(network, interface, axis) for axis in (2, 3)]
    if None in periods:
        return replace(interface, reach=None)
    multiple = max(each for each in periods if each)
    smallest = -(-interface.sizes.smallest // multiple) * multiple
    cut = replace(interface, sizes=Sizes(multiple, smallest))
    reaches = [_reach(network, cut, axis) for axis in (2, 3)]
    if None in reaches:
        return replace(interface, reach=None)
    return replace(cut, reach=max(each for each in reaches if each is not None))


def _period(network: Network, interface: Interface, axis: int) -> int | None:
    """By how many pixels a picture may be shifted to be drawn as before, but shifted; None: by no number."""
    longest = _MULTIPLES[-1]
    for length in (4, 8, 16):  # times longest, until the ends are not seen in the middle
        sides = list(_strip(interface, length * longest, axis))
        long = [side + longest * (place == axis - 2) for place, side in enumerate(sides)]
        picture, known = _noise(interface, tuple(long), 0.8, np.random.default_rng(3))
        start = (length - 1) * longest // 2
        before = _drawn_part(network, interface, picture, known, axis, 0, length * longest)
        shift = interface.sizes.multiple
        while shift <= longest:
            after = _drawn_part(network, interface, picture, known, axis, shift, length * longest)
            moved = _along(axis, start + shift, start + shift + longest)
            if np.abs(before[moved] - after[_along(axis, start, start + longest)]).max() <= _SHIFTED:
                return shift
            shift *= 2
    return None


def _drawn_part(
    network: Network,
    interface: Interface,
    picture: np.ndarray,
    known: np.ndarray,
    axis: int,
    start: int,
    length: int,
) -> np.ndarray:
    """What is drawn of the part from ``start`` on along ``axis``."""
    part = _along(axis, start, start + length)
    drawn: np.ndarray = network.drawn(interface, *_rows_of(interface, picture[part], known[part]))
    return drawn[:1]


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if each == axis else slice(None) for each in range(4))


def _strip(interface: Interface, length: int, axis: int) -> tuple[int, int]:
    """Height and width of a picture that is long along ``axis`` and no wider than it has to be."""
    multiple = interface.sizes.multiple
    across = max(interface.sizes.smallest, -(-_ACROSS // multiple) * multiple)
    length = max(interface.sizes.smallest, -(-length // multiple) * multiple)
    return (length, across) if axis == 2 else (across, length)


def _noise(
    interface: Interface, size: tuple[int, ...], share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture of noise, and ``share`` of it is known."""
    picture = rng.uniform(-1, 1, (1, interface.channels, *size)).astype(np.float32)
    return picture, (rng.random((1, 1, *size)) < share).astype(np.float32)


def _reach(network: Network, interface: Interface, axis: int) -> int | None:
    """How far beyond the middle a change of all before it is felt, along ``axis``; None: everywhere.

    The side is doubled until the change ends before the picture does.
    """
    multiple = interface.sizes.multiple
    side = 2 * _ACROSS
    while side <= _LARGEST:
        far = max(_felt(network, interface, side, axis, share) for share in _SHARES)
        if far < side // 2 - multiple:
            # where a change begins within a cell of the network's grid is chance
            return -(-(far + multiple) // multiple) * multiple
        side *= 2
    return None


def _felt(network: Network, interface: Interface, side: int, axis: int, share: float) -> int:
    """How many pixels beyond the middle of a picture of ``side`` change with all before the middle."""
    rng = np.random.default_rng(1)
    sides = _strip(interface, side, axis)
    middle = sides[axis - 2] // 2
    before = _along(axis, 0, middle)
    picture, known = _noise(interface, sides, share, rng)
    drawn = [network.drawn(interface, *_rows_of(interface, picture, known))[:1]]
    other, weight = _noise(interface, sides, share, rng)
    picture[before] = np.abs(other[before])  # brighter on the whole
    known[before] = weight[before]
    drawn.append(network.drawn(interface, *_rows_of(interface, picture, known))[:1])
    changed = (np.abs(drawn[0] - drawn[1]) > _FELT).any(tuple({0, 1, 2, 3} - {axis}))
    felt = np.flatnonzero(changed)
    return int(max(felt[-1] + 1 - middle, 0)) if felt.size else 0


def with_any_batch(model: ModelProto, interface: Interface, name: str) -> Interface:
    """``interface`` for any number of pictures at once, where ``model`` can take it whatever it declares."""
    if any("N" not in layout for layout in interface.layouts.values()):
        return replace(interface, batch=1)
    free = replace(interface, batch=None)
    size = interface.sizes.fixed or (interface.sizes.smallest,) * 2
    picture, known = scene(*size, interface.channels)
    pair = np.concatenate([picture, picture[..., ::-1]]), np.concatenate([known, known[..., ::-1]])
    try:
        network = Network(declared(model, free), name)
        together = network.drawn(free, *pair)
        alone = [network.drawn(free, *(each[row : row + 1] for each in pair)) for row in range(2)]
    except ModelError:
        return replace(interface, batch=interface.batch or 1)
    same = np.abs(together - np.concatenate(alone)).max() <= _ROWS
    return free if same else replace(interface, batch=1)
