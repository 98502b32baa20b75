"""A model without a model: G draws z as the picture, and the loss is what the objective says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from edgefill.completion import helpers, scheduler, worker
from edgefill.methods.feed_forward import method as network
from edgefill.methods.latent import batch
from edgefill.methods.latent import method as latent
from edgefill.methods.latent.search import Evaluation, Step, Task
from edgefill.model.manifest import ENCODER, Latent, Manifest
from edgefill.runtimes import RuntimeInfo
from edgefill.runtimes.host import HostRuntime


class Clock:
    """What the time is for those who keep deadlines: it goes on where a test says so alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        for room in (scheduler, helpers, worker, batch, latent, network):
            monkeypatch.setattr(room, "time", self)
        return self


class FakeRuntime(HostRuntime):
    """A runtime of functions: what the graphs of a model would say, without a model."""

    info = RuntimeInfo("fake", "NumPy", "CPU")

    def __init__(
        self,
        step: Step,
        generate: Callable[[np.ndarray], np.ndarray],
        encode: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.step, self.generate, self.encode = step, generate, encode

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "generator":
            return {"generated": self.generate(feeds["z"])}
        if graph == ENCODER:
            return {"z": self.encode(feeds["picture"], feeds["known"])}
        without = {"lam": np.zeros(len(feeds["z"]), np.float32)}
        task = Task(*({**without, **feeds}[name] for name in Task._fields))
        found = self.step(feeds["z"], task)._asdict()
        outputs = {"grad_z" if name == "gradient" else name: value for name, value in found.items()}
        if graph == "fit":
            del outputs["perceptual"]
        return outputs


class WideRuntime(FakeRuntime):
    """G draws a quarter of z and three of ``times`` as many numbers more, which a search may move too."""

    features = 0

    def __init__(self, model: Manifest, times: int = 1) -> None:
        healthy, shares = fake_runtime(model), np.array([1, *[3] * times], np.float32) / 4
        self.features = times * model.z_dim
        self.widths: list[int] = []  # of the latents of steps

        def drawn(z: np.ndarray) -> np.ndarray:
            parts = z.reshape(len(z), -1, model.z_dim)
            whole: np.ndarray = (parts * shares[: parts.shape[1], None]).sum(1)
            return whole

        def step(z: np.ndarray, task: Task) -> Evaluation:
            self.widths.append(z.shape[1])
            found = healthy.step(drawn(z), task._replace(anchor=drawn(task.anchor)))
            gradient = found.gradient[:, None] * shares[: z.shape[1] // model.z_dim, None]
            return found._replace(gradient=gradient.reshape(z.shape))

        def encode(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
            return np.zeros((len(picture), model.z_dim), np.float32)

        super().__init__(step, lambda z: healthy.generate(drawn(z)), encode)


def fake_model(channels: int = 1, size: int = 8, block: int = 8) -> Manifest:
    return Manifest("fake", Latent(channels * size * size, channels, size, size, block))


def fake_runtime(model: Manifest) -> FakeRuntime:
    """G(z) is z, D finds everything equally real; the gradient is that of the weighted L2 or L1 loss."""

    def generate(z: np.ndarray) -> np.ndarray:
        return z.reshape(-1, *model.picture_shape)

    def step(z: np.ndarray, task: Task) -> Evaluation:
        generated = generate(z)
        difference = generated - task.target
        block = model.searched.block
        blocks = (len(z), model.channels, model.height // block, block, -1, block)
        means = difference.reshape(blocks).mean((3, 5))
        contextual = (task.weight * np.abs(difference)).sum((1, 2, 3))
        contextual += (task.block_weight * np.abs(means)).sum((1, 2, 3))
        gradient = task.weight * np.sign(difference)
        spread = np.ones((block, block), np.float32) / block**2
        gradient = gradient + np.kron(task.block_weight * np.sign(means), spread)
        perceptual = np.full(len(z), np.log(2), np.float32)
        away = z - task.anchor
        loss = contextual + task.lam * perceptual + task.pull * (away * away).sum(1)
        gradient = gradient.reshape(z.shape) + 2 * task.pull[:, None] * away
        return Evaluation(loss, gradient.astype(np.float32), contextual, perceptual)

    return FakeRuntime(step, generate)
