"""The examples of docs/gradients.md, solved with exported gradients and with PyTorch's own.

    python -m benchmarks.gradients [--rounds 9] [--name NAME]

Both run the same L-BFGS of SciPy from the same start, on one thread; loss and gradient come from ONNX Runtime
or from eager autograd. The contenders take turns, and a turn is whole solutions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from scipy.optimize import minimize

from benchmarks.record import record
from benchmarks.turns import Call, check_agreement, measured

_PAGE = Path(__file__).parents[1] / "docs" / "gradients.md"
_TOLERANCE = 1e-2  # of the least loss that is found


def main(
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 9,
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"rounds": rounds, "examples": {}}
    for example, contenders in _examples().items():
        check_agreement(contenders, _TOLERANCE)
        figures["examples"][example] = measured(contenders, rounds)
        print(example, figures["examples"][example])
    if name:
        print(f"recorded in {record(name, figures)}")


def _examples() -> dict[str, dict[str, Call]]:
    """The page's own objectives, graphs and starts."""
    page: dict[str, Any] = {}
    for program in re.findall(r"```python\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL):
        exec(compile(program, str(_PAGE), "exec"), page)
    pose = np.array([[0.1, 0, 0.1, 0, 0, 5]], np.float32)
    seen = {"points": page["points"], "seen": page["seen"].astype(np.float32)}
    noisy = page["noisy"].astype(np.float32)
    return {
        "molecule": _contenders(page["molecule"], page["energy"], "places", page["start"], {}),
        "camera": _contenders(page["camera"], page["reprojection"], "pose", pose, seen),
        "total variation": _contenders(
            page["cleaner"], page["variation"], "picture", noisy, {"noisy": noisy}
        ),
    }


def _contenders(
    model: Any, objective: Any, variable: str, start: np.ndarray, fixed: dict[str, np.ndarray]
) -> dict[str, Call]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    tensors = {key: torch.from_numpy(value) for key, value in fixed.items()}

    def exported(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        loss, gradient = session.run(["loss", f"grad_{variable}"], {variable: x, **fixed})
        return loss, gradient

    def eager(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        free = torch.from_numpy(x).requires_grad_(True)
        loss = objective(**{variable: free, **tensors})
        (gradient,) = torch.autograd.grad(loss.sum(), free)
        return loss.detach().numpy(), gradient.numpy()

    def solved(function: Any) -> Call:
        def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = function(flat.astype(np.float32).reshape(start.shape))
            return float(loss.sum()), gradient.astype(float).ravel()

        def call() -> np.ndarray:
            found = minimize(loss_and_gradient, start.ravel(), jac=True, method="L-BFGS-B")
            return np.array([found.fun + 1.0])  # a camera's least is 0

        return call

    return {"ONNX Runtime": solved(exported), "torch eager": solved(eager)}


if __name__ == "__main__":
    typer.run(main)
