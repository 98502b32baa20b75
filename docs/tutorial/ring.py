"""A GAN that learns a ring of eight clusters, watched; then one number of a point is completed."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from figures import DATA, GIVEN, HIDDEN, IMAGES, KNOWN, panels, save
from matplotlib.axes import Axes
from torch import Tensor, nn

from edgefill.networks.dcgan import draw_latents
from edgefill.training.losses import discriminator_loss, generator_loss
from edgefill.training.trainer import descend

CLUSTERS, SPREAD = 8, 0.06
Z = 2  # numbers of a latent
SHOWN = (0, 100, 300, 1000, 3000, 12000)  # steps
X = 0.7  # what is known of a point
FITS = 0.1  # how near to that a search has to come


def ring(count: int, random: torch.Generator) -> Tensor:
    """Real data: points [count, 2] of clusters on a circle."""
    angle = torch.randint(CLUSTERS, (count,), generator=random) * (2 * math.pi / CLUSTERS)
    centres = torch.stack([angle.cos(), angle.sin()], 1)
    return centres + SPREAD * torch.randn(count, 2, generator=random)


def perceptron(inputs: int, outputs: int, width: int = 128) -> nn.Sequential:
    """A network of two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.LeakyReLU(0.2),
        nn.Linear(width, width), nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )  # fmt: skip


class Game:
    """G makes points of latents, D says of points whether they are real; each learns against the other."""

    def __init__(self, batch: int = 256, lr: float = 2e-4) -> None:
        self.batch, self.random = batch, torch.Generator().manual_seed(0)
        self.G, self.D = perceptron(Z, 2), nn.Sequential(perceptron(2, 1), nn.Flatten(0))
        self.of_G, self.of_D = (
            torch.optim.Adam(network.parameters(), lr, betas=(0.5, 0.999)) for network in (self.G, self.D)
        )

    def play(self) -> None:
        """One step of D, then one of G."""
        real = ring(self.batch, self.random)
        fake = self.G(draw_latents(self.batch, Z, self.random))
        descend(self.of_D, discriminator_loss(self.D(real), self.D(fake.detach())))
        descend(self.of_G, generator_loss(self.D(fake)))


def search(game: Game, x: float, starts: int, steps: int, lam: float = 0.02) -> Tensor:
    """Points G(z) [steps, starts, 2] on the way from random z to points whose first number is ``x``."""
    z = draw_latents(starts, Z, game.random).requires_grad_()
    adam, way = torch.optim.Adam([z], lr=0.02), []
    for _ in range(steps):
        points = game.G(z)
        way.append(points.detach())
        contextual = (points[:, 0] - x).square().sum()
        perceptual = starts * generator_loss(game.D(points))
        descend(adam, contextual + lam * perceptual)
        z.data.clamp_(-1, 1)
    return torch.stack(way)


def main(out: Path = IMAGES, shown: tuple[int, ...] = SHOWN, steps: int = 300) -> None:
    torch.manual_seed(0)
    game = Game()
    figure, every = panels(len(shown) // 2, 2, side=2.6)
    for axes, before, step in zip(every, (0, *shown), shown, strict=False):
        for _ in range(step - before):
            game.play()
        watch(axes, game)
        axes.set_title(f"after {step:,} steps" if step else "before the first step", fontsize=9)
    save(figure, out / "ring.png")
    figure, (axes,) = panels(1)
    figure.set_size_inches(6.5, 4)  # with room for the legend
    found(axes, game, search(game, X, 60, steps))
    save(figure, out / "ring-search.png")


@torch.no_grad()
def watch(axes: Axes, game: Game, count: int = 500) -> None:
    """Real points, generated ones, and in colour where D takes a point for real."""
    line = torch.linspace(-1.6, 1.6, 97)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    opinion = game.D(grid.reshape(-1, 2)).sigmoid().reshape(97, 97)
    axes.imshow(
        opinion.numpy(), cmap="Greens", vmin=0, vmax=1.2, extent=(-1.6, 1.6, -1.6, 1.6), origin="lower"
    )
    fake = game.G(draw_latents(count, Z, game.random))
    axes.scatter(*ring(count, game.random).T.numpy(), s=4, color=KNOWN, linewidths=0)
    axes.scatter(*fake.T.numpy(), s=4, color=HIDDEN, linewidths=0)
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])


@torch.no_grad()
def found(axes: Axes, game: Game, way: Tensor) -> None:
    """The ways of all searches, and where they end: near what is known, or stuck beside it."""
    axes.scatter(*game.G(draw_latents(3000, Z, game.random)).T.numpy(), s=3, color=DATA, linewidths=0)
    axes.axvline(X, color=KNOWN, label=f"x = {X:g}, known")
    axes.plot(*way.permute(2, 0, 1).numpy(), color=HIDDEN, linewidth=0.5, alpha=0.4)
    end = way[-1]
    fits = (end[:, 0] - X).abs() < FITS
    for chosen, colour, words in ((fits, GIVEN, "fit"), (~fits, HIDDEN, "are stuck elsewhere")):
        label = f"{chosen.sum()} searches {words}"
        axes.scatter(*end[chosen].T.numpy(), s=20, color=colour, zorder=3, label=label)
    axes.axhline(0, color=DATA, linewidth=0.8, linestyle=":", label="the mean of both answers")
    axes.set(xlabel="x, known", ylabel="y, hidden", aspect="equal")
    axes.figure.legend(fontsize=8, loc="outside right center")


if __name__ == "__main__":
    main()
