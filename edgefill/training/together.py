"""Several processes that train the same networks, each on its share of every batch.

``torchrun`` starts them and says in the environment how many there are. Whatever a step draws at random, each
draws for the whole batch and takes its own part of; gradients, and the statistics of batch norms, are those
of all. So all hold the same weights, and those that one process would have, but for rounding. In a process
that is alone every function here gives back what it is given.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from edgefill.errors import BackendUnavailable, InputError

_PLACE = "LOCAL_RANK"  # in the environment: which of the processes of this machine, and so of its GPUs
_P = ParamSpec("_P")
_R = TypeVar("_R")
_Values = TypeVar("_Values", np.ndarray, Tensor)


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Joins those that ``torchrun`` started, if it did; the block gets this process's own ``device``.

    Raises BackendUnavailable where one of them cannot be reached, or has no GPU of its own.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) < 2:
        yield device
        return
    if not distributed.is_available():
        raise BackendUnavailable(
            f"cannot train in several processes: PyTorch {torch.__version__} is built without "
            "torch.distributed; leave out torchrun"
        )
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get(_PLACE, 0)))
        if device.index >= torch.cuda.device_count():
            raise BackendUnavailable(
                f"cannot train in process {device.index + 1} of this machine: it has "
                f"{torch.cuda.device_count()} GPUs; expected one for each: --nproc-per-node says how many"
            )
        torch.cuda.set_device(device)
    # Its functions have the group at the time of the import as a default argument, and Adam imports it: the
    # group would outlive its end, and its threads now and then abort a process that has done all its work.
    import_module("torch.distributed.nn.functional")
    _join("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    yield device
    distributed.destroy_process_group()  # After an error the others may be gone, and it would wait for them.


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _are_joined() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and talks."""
    return not _are_joined() or distributed.get_rank() == 0


def own(values: _Values, axis: int = 0) -> _Values:
    """This process's part of ``values``, which are of the pictures of a whole batch along ``axis``."""
    if count() == 1:
        return values
    length = values.shape[axis] // count()
    start = distributed.get_rank() * length
    place = (slice(None),) * axis + (slice(start, start + length),)
    return values[place]


def batch_of(part: Tensor) -> int:
    """The pictures of the whole batch of which ``part`` is this process's."""
    return count() * len(part)


def check_batch(size: int) -> None:
    """Raises InputError where a batch of ``size`` pictures is not shared out evenly."""
    if size % count():
        raise InputError(
            f"a batch of {size} pictures cannot be shared by {count()} processes; choose a --batch that is a "
            f"multiple of {count()}, or another --nproc-per-node"
        )


def _talking(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Says in words what PyTorch raises where another process does not answer."""

    @wraps(function)
    def wrapper(*arguments: _P.args, **keywords: _P.kwargs) -> _R:
        try:
            return function(*arguments, **keywords)
        except RuntimeError as error:
            raise BackendUnavailable(
                f"the training cannot go on: another of its {os.environ.get('WORLD_SIZE')} processes has "
                f"ended or cannot be reached ({str(error).splitlines()[0]}); what it said comes first: after "
                "mending that, start all of them again with --resume"
            ) from error

    return wrapper


def _are_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


@_talking
def _join(backend: str) -> None:
    distributed.init_process_group(backend)


@_talking
def _summed(tensor: Tensor) -> Tensor:
    """The sum of what each process gives, in place."""
    distributed.all_reduce(tensor)
    return tensor


def mean(value: Tensor) -> Tensor:
    """The mean of what each process gives, which is a constant to its gradient."""
    return value if count() == 1 else _summed(value.detach().clone()) / count()


def means(values: Mapping[str, float]) -> dict[str, float]:
    """The mean of each of ``values`` over the processes."""
    if count() == 1:
        return dict(values)
    together = mean(torch.tensor(list(values.values()), dtype=torch.float64))
    return dict(zip(values, together.tolist(), strict=True))


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Puts the mean over the processes in place of each gradient."""
    if count() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    together = mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    parts = together.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.reshape(gradient.shape))


def anybody(wants: bool) -> bool:
    """Whether any process ``wants`` it."""
    return wants if count() == 1 else bool(mean(torch.tensor(float(wants))) > 0)


def check_same(what: str, value: str) -> None:
    """Waits for all processes; raises InputError in each of them where they differ in ``value``."""
    if count() == 1:
        return
    mine = torch.tensor(list(hashlib.sha256(value.encode()).digest()), dtype=torch.float64)
    if anybody(not torch.equal(mine, _of_the_first(mine))):
        raise InputError(
            f"the {count()} processes of this training do not have the same {what}; give all of them the "
            "same command, pictures and run folder"
        )


def wait_for_all() -> None:
    """Returns when every process is here."""
    anybody(False)


@_talking
def _of_the_first(tensor: Tensor) -> Tensor:
    copy = tensor.clone()
    distributed.broadcast(copy, 0)
    return copy


def synchronised(network: nn.Module) -> nn.Module:
    """``network``, whose batch norms in training now see the pictures of all processes; parameters stay."""
    if count() > 1:
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if type(layer) is nn.BatchNorm2d:
                    setattr(parent, name, _SharedBatchNorm.of(layer))
    return network


class _SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm over what all processes see. PyTorch's own one knows no CPU, on which this is proven."""

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> _SharedBatchNorm:
        """With the parameters and statistics of ``norm``."""
        shared = cls(norm.num_features, norm.eps, norm.momentum)
        shared._parameters, shared._buffers = norm._parameters, norm._buffers
        return shared.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        values = input.float()
        number = count() * values.numel() // self.num_features
        centre = _Sum.apply(values.sum((0, 2, 3), keepdim=True)) / number
        centred = values - centre
        variance = _Sum.apply(centred.square().sum((0, 2, 3), keepdim=True)) / number
        self._remember(centre.detach().flatten(), variance.detach().flatten() * number / max(number - 1, 1))
        normal = centred * (variance + self.eps).rsqrt()
        shape = 1, -1, 1, 1
        return (normal * self.weight.reshape(shape) + self.bias.reshape(shape)).to(input.dtype)

    @torch.no_grad()
    def _remember(self, centre: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(centre, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class _Sum(torch.autograd.Function):
    """The sum over the processes, each of which has a loss that depends on it."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return _summed(values.clone())

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient.contiguous().clone())
