"""G or D in an ONNX file as a PyTorch module, compared with what ONNX Runtime makes of the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto, NodeProto
from torch import Tensor, nn

from edgefill.errors import ModelError
from edgefill.export.importing.network import Network
from edgefill.export.importing.ports import Port, listed, ports, shown
from edgefill.export.importing.reading import read_network
from edgefill.export.importing.simplification.graph import Graph
from edgefill.export.weights.onnx_network import INSTEAD, OnnxNetwork, fixed, with_sizes_folded
from edgefill.export.weights.taking_z import FLOATS, is_z

_AT_LEAST = 4  # rows that both compute
_TOLERANCE = {"float32": 1e-4, "float64": 1e-4, "float16": 2e-2}  # of the largest number, by the file's type
_KEEP_VALUES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast")
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)  # where the channels go

Picture = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Converted:
    """A network in eval mode, what its last operator is, and how far it is from ONNX Runtime, relatively."""

    network: nn.Module
    last: str
    moved: float


@dataclass(frozen=True)
class Generator(Converted):
    z_dim: int
    spatial_z: bool
    picture: Picture


def read_generator(path: str | Path) -> Generator:
    """The G in an ONNX file, whose pictures are N×C×H×W as here. Raises ModelError."""
    path = Path(path)
    model = read_network(path)
    port = _only_input(model, path.name, "z of a known length alone, N×Z or N×Z×1×1", _is_known_z)
    assert port.shape is not None
    z_dim, rows = int(port.shape[1]), _rows(port)
    shape = (rows, z_dim, *(1,) * (len(port.shape) - 2))
    model = fixed(model, shape)
    graph = with_sizes_folded(model)
    network: nn.Module = OnnxNetwork(graph, rows, path.name).eval()
    drawn, moved = _compared(network, model, port, shape, path.name)
    if drawn.dim() == 4 and drawn.shape[1] not in (1, 3) and drawn.shape[3] in (1, 3):
        network, drawn = nn.Sequential(network, _Permuted(_TO_FIRST)), drawn.permute(_TO_FIRST)
    if drawn.dim() != 4 or drawn.shape[1] not in (1, 3):
        raise ModelError(
            f"{path.name} draws {listed(ports(model)[1])}, here {list(drawn.shape)}; expected pictures of 1 "
            f"or 3 channels, N×C×H×W or N×H×W×C; where it returns others, {INSTEAD}"
        )
    channels, height, width = drawn.shape[1:]
    return Generator(network, _last(graph), moved, z_dim, len(port.shape) == 4, (channels, height, width))


def read_discriminator(path: str | Path, picture: Picture) -> Converted:
    """The D in an ONNX file, of pictures N×C×H×W, before its last sigmoid. Raises ModelError."""
    path = Path(path)
    model = read_network(path)
    port = _only_input(model, path.name, f"pictures alone, N×{shown(picture)}", lambda port: True)
    channels, height, width = picture
    by_layout = {False: picture, True: (height, width, channels)}
    last_is_channels = next((last for last, sizes in by_layout.items() if _fits(port, sizes)), None)
    if last_is_channels is None:
        raise ModelError(
            f"{path.name} takes {listed([port])}, and G draws {shown(picture)}; expected N×{shown(picture)} "
            "or these with the channels last: a D that was trained with this G"
        )
    rows = _rows(port)
    shape = (rows, *by_layout[last_is_channels])
    model = fixed(model, shape)
    graph = with_sizes_folded(model)
    last = _last(graph)
    if last == "Sigmoid":
        _cut_sigmoid(graph)
    network: nn.Module = OnnxNetwork(graph, rows, path.name).eval()
    whole = nn.Sequential(network, nn.Sigmoid()) if last == "Sigmoid" else network
    judged, moved = _compared(whole, model, port, shape, path.name)
    if judged[0].numel() != 1:
        raise ModelError(
            f"{path.name} returns {judged[0].numel()} numbers for a picture; expected one; without a "
            "discriminator a model searches too"
        )
    if last_is_channels:
        network = nn.Sequential(_Permuted(_TO_LAST), network)
    return Converted(network, last, moved)


class _Permuted(nn.Module):
    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)


def _only_input(model: ModelProto, name: str, expected: str, fits: Callable[[Port], bool]) -> Port:
    """The one input of a network with one output. Raises ModelError."""
    inputs, outputs = ports(model)
    if len(inputs) != 1 or inputs[0].dtype not in FLOATS or not fits(inputs[0]):
        raise ModelError(f"{name} takes {listed(inputs)}; expected {expected}")
    if len(outputs) != 1:
        raise ModelError(f"{name} returns {listed(outputs)}; expected one output; export it with that alone")
    return inputs[0]


def _is_known_z(port: Port) -> bool:
    return is_z(port) and port.shape is not None and isinstance(port.shape[1], int)


def _rows(port: Port) -> int:
    """The batch that a file is made for; 1 where any goes."""
    rows = port.shape[0] if port.shape else 1
    return rows if isinstance(rows, int) else 1


def _fits(port: Port, sizes: Picture) -> bool:
    if port.shape is None:
        return True
    told = port.shape[1:]
    return len(told) == 3 and all(a == b for a, b in zip(told, sizes, strict=True) if isinstance(a, int))


def _last(graph: Graph) -> str:
    """Which operator makes the values that the network returns."""
    node = _last_node(graph)
    return node.op_type if node is not None else ""


def _last_node(graph: Graph) -> NodeProto | None:
    makers = graph.producers()
    (name,) = graph.results
    node = makers.get(name)
    while node is not None and node.op_type in _KEEP_VALUES:
        node = makers.get(node.input[0])
    return node


def _cut_sigmoid(graph: Graph) -> None:
    """Takes out the Sigmoid behind which values only change their places."""
    node = _last_node(graph)
    assert node is not None
    graph.remove(node)


def _compared(
    network: nn.Module, model: ModelProto, port: Port, shape: tuple[int, ...], name: str
) -> tuple[Tensor, float]:
    """What ``network`` makes of noise, and the largest difference to ONNX Runtime. Raises ModelError."""
    rows, *sizes = shape
    times = max(_AT_LEAST // rows, 2)  # another batch than that of the file
    x = np.random.default_rng(0).uniform(-1, 1, (times * rows, *sizes)).astype(port.dtype)
    session = Network(model, name)
    runs = [session.run({port.name: each}) for each in np.split(x, times)]
    expected = np.concatenate([value for run in runs for value in run.values()])
    try:
        with torch.no_grad():
            found = network(torch.from_numpy(x.astype(np.float32)))
    except ModelError:
        raise
    except Exception as error:  # whatever a graph of another framework brings up
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name} cannot be run in PyTorch: {reason[:300]}; {INSTEAD}") from error
    if found.shape != expected.shape:
        raise ModelError(
            f"{name} returns {list(expected.shape)}, as PyTorch {list(found.shape)}, for {list(x.shape)}; "
            f"{INSTEAD}"
        )
    moved = float(np.abs(found.numpy() - expected).max() / max(float(np.abs(expected).max()), 1e-6))
    if not moved <= _TOLERANCE[port.dtype]:
        raise ModelError(
            f"{name} as PyTorch is {moved:.1e} from what ONNX Runtime makes of it, relatively; expected "
            f"{_TOLERANCE[port.dtype]:g} at most; {INSTEAD}"
        )
    return found, moved
