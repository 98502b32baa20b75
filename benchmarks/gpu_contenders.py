"""One search step, with its update, as PyTorch runs it on a GPU: eager, compiled, and as a CUDA graph."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from edgefill.export.objective import Completion
from edgefill.kernels.solvers import Adam
from edgefill.methods.latent.search import Task
from edgefill.methods.latent.settings import SearchSettings

Steps = Callable[[int], None]  # enqueues so many steps
Turn = Callable[[int], float]  # seconds on the GPU of so many steps
_MATRIX_SIDE = 8192


def on_gpu(networks: Completion, precision: str) -> Completion:
    """A copy of ``networks`` on the GPU that computes in ``precision``; fp32 without TF32, as engines do."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    dtype = torch.float16 if precision == "fp16" else torch.float32
    modules = (
        copy.deepcopy(module).to("cuda", dtype) for module in (networks.generator, networks.discriminator)
    )
    generator, discriminator = (module.requires_grad_(False) for module in modules)
    return replace(networks, generator=generator, discriminator=discriminator, dtype=dtype)


def torch_turns(
    networks: Completion, z: np.ndarray, task: Task, settings: SearchSettings, precision: str
) -> tuple[dict[str, Turn], dict[str, str]]:
    """What takes turns with the executors, and why a contender cannot."""
    search = TorchSearch(on_gpu(asked(networks, task), precision), z, task, settings.lr)
    turns: dict[str, Turn] = {}
    failed: dict[str, str] = {}
    makers = {
        "torch eager": search.eager,
        "torch.compile": search.compiled,
        "torch with a CUDA graph": search.graphed,
    }
    for name, make in makers.items():
        try:
            steps = make()
            steps(3)
        except Exception as error:  # noqa: BLE001  a compiler may throw anything
            failed[name] = f"{type(error).__name__}: {error}"
        else:
            turns[name] = partial(_seconds, steps)
    return turns, failed


def asked(networks: Completion, task: Task) -> Completion:
    """``networks`` as ``task`` asks them: without D where its weight is 0, as the executors' fit has it."""
    return networks if task.lam.any() else replace(networks, discriminator=_Silent())


class _Silent(torch.nn.Module):
    """A D that says nothing, at no cost."""

    def forward(self, picture: Tensor) -> Tensor:
        return picture.new_zeros(len(picture), 1)


class TorchSearch:
    """Projected Adam on z in PyTorch, all of it on the GPU and in place, so that it can be captured."""

    def __init__(self, networks: Completion, z: np.ndarray, task: Task, lr: float) -> None:
        self._lr, self._solver = lr, Adam()
        self._inputs = {name: torch.from_numpy(array).cuda() for name, array in task._asdict().items()}
        self._networks = networks
        self._z = torch.from_numpy(z).cuda()
        self._first, self._second = torch.zeros_like(self._z), torch.zeros_like(self._z)
        self._t = torch.zeros((), device="cuda")
        self._best, self._best_z = torch.full((len(z),), torch.inf, device="cuda"), self._z.clone()

    def eager(self) -> Steps:
        """Steps as they are written."""
        return self._repeated(self._step)

    def compiled(self) -> Steps:
        """Loss, gradient and update under torch.compile."""
        return self._repeated(torch.compile(self._step))

    def graphed(self) -> Steps:
        """One step captured as a CUDA graph, replayed."""
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):  # as PyTorch asks: warm up beside the default stream
            for _ in range(3):
                self._step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return self._repeated(graph.replay)

    def _repeated(self, step: Callable[[], None]) -> Steps:
        def steps(n: int) -> None:
            for _ in range(n):
                step()

        return steps

    def _step(self) -> None:
        """What a step here does too: loss, gradient, the best so far, Adam's update, the projection."""
        adam, z = self._solver, self._z.detach().requires_grad_(True)
        loss, _ = self._networks.objective(z, **self._inputs)
        (gradient,) = torch.autograd.grad(loss.sum(), z)
        with torch.no_grad():
            better = loss < self._best
            self._best.copy_(torch.where(better, loss, self._best))
            self._best_z.copy_(torch.where(better[:, None], self._z, self._best_z))
            self._t += 1
            self._first.lerp_(gradient, 1 - adam.beta1)
            self._second.lerp_(gradient * gradient, 1 - adam.beta2)
            corrected = self._second / (1 - adam.beta2**self._t)
            step = self._first / (1 - adam.beta1**self._t) / (corrected.sqrt() + adam.eps)
            self._z.sub_(self._lr * step).clamp_(-1, 1)


def _seconds(steps: Steps, n: int) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    steps(n)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def flops(networks: Completion, z: np.ndarray, task: Task) -> int:
    """Floating-point operations of one step of all rows: G and D forward, and backward to z."""
    inputs = {name: torch.from_numpy(array) for name, array in task._asdict().items()}
    latent = torch.from_numpy(z).requires_grad_(True)
    for module in (networks.generator, networks.discriminator):
        module.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        loss, _ = networks.objective(latent, **inputs)
        loss.sum().backward()
    return int(counter.get_total_flops())


def matrix_rate() -> float:
    """FLOP/s of a large fp16 matrix product on random numbers: the median of ten turns."""
    a, b = (torch.randn(_MATRIX_SIDE, _MATRIX_SIDE, device="cuda", dtype=torch.float16) for _ in range(2))
    taken = [_seconds(lambda n: _products(a, b, n), 5) / 5 for _ in range(13)][3:]
    return 2 * _MATRIX_SIDE**3 / statistics.median(taken)


def _products(a: Tensor, b: Tensor, n: int) -> None:
    for _ in range(n):
        a @ b
