"""Draws a normal distribution of one number, one of two, and what one of the two says of the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from figures import DATA, GIVEN, HIDDEN, IMAGES, KNOWN, panels, save
from matplotlib.axes import Axes
from normal import Normal

ONE = Normal(np.zeros(1), np.eye(1))
TWO = Normal(np.zeros(2), np.array([[1.0, 0.8], [0.8, 1.0]]))
X = 1.2  # what is known
LINE = np.linspace(-3.5, 3.5, 141)


def main(out: Path = IMAGES, count: int = 600) -> None:
    rng = np.random.default_rng(0)
    figure, (one, two) = panels(2, side=3.4)
    one.hist(ONE.draw(count, rng)[:, 0], 30, density=True, color=DATA, alpha=0.5, label=f"{count} samples")
    one.plot(LINE, ONE.density(LINE[:, None]), color=KNOWN, label="density")
    one.set(title="one number", xlabel="x", yticks=[])
    one.legend(fontsize=8)
    plane(two, count, rng)
    two.set_title("two numbers that go together")
    save(figure, out / "normals.png")

    y = TWO.given(np.array([True, False]), np.array([X]))
    print(f"y given x = {X}: mean {y.mean[0]:.2f}, deviation {y.covariance[0, 0] ** 0.5:.2f}")
    figure, (two, given) = panels(2, side=3.4)
    plane(two, count, rng)
    two.axvline(X, color=KNOWN)
    two.set_title(f"x = {X:g} is known, y is hidden")
    given.plot(LINE, ONE.density(LINE[:, None]), color=DATA, label="y, knowing nothing")
    given.plot(LINE, y.density(LINE[:, None]), color=GIVEN, label=f"y, knowing x = {X:g}")
    given.axvline(y.mean[0], color=HIDDEN, linestyle=":", label="its mean: the best single guess")
    given.set(title="what is left to say of y", xlabel="y", yticks=[], ylim=(0, 1.0))
    given.legend(fontsize=8, loc="upper left")
    save(figure, out / "given.png")


def plane(axes: Axes, count: int, rng: np.random.Generator) -> None:
    """Samples of two numbers, and lines of equal density."""
    axes.scatter(*TWO.draw(count, rng).T, s=5, color=DATA, alpha=0.6, linewidths=0)
    grid = np.stack(np.meshgrid(LINE, LINE), -1)
    axes.contour(LINE, LINE, TWO.density(grid), 5, colors=KNOWN, linewidths=0.8)
    axes.set(xlabel="x", ylabel="y", xlim=LINE[[0, -1]], ylim=LINE[[0, -1]], aspect="equal")


if __name__ == "__main__":
    main()
