"""A state dict as the layers it is of, each with its kind and its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from edgefill.errors import ModelError
from edgefill.export.weights.reading import State

LINEAR, CONVOLUTION, NORM = "linear layer", "convolution", "batch norm"
_KINDS = {2: LINEAR, 4: CONVOLUTION}  # by the axes of the weight
_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Layer:
    """One layer with weights; a convolution may be a transposed one, which its weight does not say."""

    name: str
    kind: str
    tensors: State

    @property
    def weight(self) -> Tensor:
        return self.tensors["weight"]

    @property
    def bias(self) -> Tensor | None:
        return self.tensors.get("bias")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its weight, or of what a batch norm remembers."""
        return tuple(self.tensors["running_mean" if self.kind == NORM else "weight"].shape)

    def __str__(self) -> str:
        return f"{self.name or 'the layer'} ({self.kind}, {'×'.join(map(str, self.shape))})"


def layers_of(state: State, where: str) -> list[Layer]:
    """The layers of ``state`` in its order. Raises ModelError for tensors of any other layer."""
    grouped: dict[str, State] = {}
    for name, tensor in state.items():
        layer, _, leaf = name.rpartition(".")
        if leaf not in _TENSORS:
            raise ModelError(
                f"{where} has the tensor {name} ({'×'.join(map(str, tensor.shape))}); expected the weights "
                "of linear layers, convolutions and batch norms alone; for other networks there is "
                "edgefill.export.export_bundle in Python"
            )
        grouped.setdefault(layer, {})[leaf] = tensor
    return [_layer(name, tensors, where) for name, tensors in grouped.items()]


def _layer(name: str, tensors: State, where: str) -> Layer:
    if "running_mean" in tensors or "running_var" in tensors:
        _check_norm(name, tensors, where)
        return Layer(name, NORM, tensors)
    if "weight" not in tensors:
        raise ModelError(f"{where} lacks {name}.weight; it is cut off, or of another network: save it again")
    axes = tensors["weight"].dim()
    if axes == 1:
        raise ModelError(
            f"{where} lacks {name}.running_mean and {name}.running_var, without which its batch norm has no "
            "statistics; save all of the state dict"
        )
    if axes not in _KINDS:
        raise ModelError(
            f"{where} has {name}.weight of {axes} axes; expected 4, of a convolution, or 2, of a linear layer"
        )
    return Layer(name, _KINDS[axes], tensors)


def _check_norm(name: str, tensors: State, where: str) -> None:
    missing = [each for each in ("running_mean", "running_var") if each not in tensors]
    if missing or ("weight" in tensors) != ("bias" in tensors):
        lacks = missing[0] if missing else "weight" if "bias" in tensors else "bias"
        raise ModelError(f"{where} lacks {name}.{lacks}; save all of the state dict")
    features = {tuple(tensor.shape) for leaf, tensor in tensors.items() if leaf != "num_batches_tracked"}
    if len(features) > 1 or any(len(shape) != 1 for shape in features):
        raise ModelError(
            f"{where} has a batch norm {name} whose tensors have the shapes {sorted(features)}; expected "
            "one, of one axis"
        )
