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
    """``interface`` with how far an output sees: None, the whole picture, for one fixed size."""
    if interface.sizes.fixed:
        return replace(interface, reach=None)
    reaches = [_reach(network, interface, axis) for axis in (2, 3)]
    if None in reaches:
        return replace(interface, reach=None)
    return replace(interface, reach=max(each for each in reaches if each is not None))


def _reach(network: Network, interface: Interface, axis: int) -> int | None:
    """How far beyond the middle a change of all before it is felt, along ``axis``; None: everywhere.

    The side is doubled until the change ends before the picture does.
    """
    multiple = interface.sizes.multiple
    side = max(interface.sizes.smallest, -(-128 // multiple) * multiple)
    while side <= _LARGEST:
        far = _felt(network, interface, side, axis)
        if far < side // 2 - multiple:
            return far + multiple  # where it begins within a cell of the network's grid is chance
        side *= 2
    return None


def _felt(network: Network, interface: Interface, side: int, axis: int) -> int:
    """How many pixels beyond the middle of a picture of ``side`` change with all before the middle."""
    multiple = interface.sizes.multiple
    across = max(interface.sizes.smallest, -(-64 // multiple) * multiple)
    sides = (side, across) if axis == 2 else (across, side)
    before = [slice(None)] * 4
    before[axis] = slice(0, side // 2)
    rng = np.random.default_rng(1)
    drawn = []
    picture = rng.uniform(-1, 1, (1, interface.channels, *sides)).astype(np.float32)
    known = (rng.random((1, 1, *sides)) < 0.8).astype(np.float32)
    for _ in range(2):
        drawn.append(network.drawn(interface, *_rows_of(interface, picture, known))[:1])
        picture, known = picture.copy(), known.copy()
        picture[tuple(before)] = rng.uniform(0, 1, picture[tuple(before)].shape)  # brighter on the whole
        known[tuple(before)] = rng.random(known[tuple(before)].shape) < 0.8
    changed = (np.abs(drawn[0] - drawn[1]) > _FELT).any(tuple({0, 1, 2, 3} - {axis}))
    felt = np.flatnonzero(changed)
    return int(max(felt[-1] + 1 - side // 2, 0)) if felt.size else 0


def with_any_batch(model: ModelProto, interface: Interface, name: str) -> Interface:
    """``interface`` for any number of pictures at once, where ``model`` can take it whatever it declares."""
    if any("N" not in each.layout for each in (*interface.inputs, interface.output)):
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
