"""One step of the search, forward and backward through G and D: ours, PyTorch's and OpenVINO's.

    python -m benchmarks.step [--model faces64 | --filters 64 --channels 3] [--graph step] [--batch 1,4,16]
        [--rounds 15] [--name NAME]

The contenders take turns within one process; each round times every contender for the same number of calls,
and the figures are medians over the rounds and medians of the ratios within a round. With --graph fit it is
the step without D, and the runtimes of the exported graph race alone.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.networks import example_inputs, networks_of
from benchmarks.record import record
from edgefill.bundle import Bundle, graph_signatures
from edgefill.export import export_bundle
from edgefill.models import find
from edgefill.networks.config import NetworkConfig
from edgefill.networks.dcgan import Discriminator, Generator

Call = Callable[[], np.ndarray]
_SECONDS_A_TURN = 0.25
_TOLERANCE = 1e-3  # of the gradients' norm, between contenders


def main(
    model: Annotated[str, typer.Option(help="A model, or a fresh DCGAN-64 by --filters.")] = "",
    filters: Annotated[int, typer.Option(help="Of the fresh DCGAN-64.")] = 64,
    channels: Annotated[int, typer.Option(help="Of the fresh DCGAN-64.")] = 3,
    graph: Annotated[str, typer.Option(help="step, or fit.")] = "step",
    batch: Annotated[str, typer.Option(help="Batch sizes.")] = "1,4,16",
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 15,
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    bundle = Bundle.open(find(model)) if model else _fresh_bundle(filters, channels)
    figures: dict[str, Any] = {"model": bundle.manifest.name, "graph": graph, "rounds": rounds, "batch": {}}
    for size in map(int, batch.split(",")):
        figures["batch"][str(size)] = _measure(_contenders(bundle, graph, size), rounds)
        _print_table(size, figures["batch"][str(size)])
    if name:
        print(f"recorded in {record(name, figures)}")


def _fresh_bundle(filters: int, channels: int) -> Bundle:
    """A bundle of untrained networks: what a step costs does not depend on the weights."""
    config = NetworkConfig(filters=filters, channels=channels)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"dcgan64-f{filters}c{channels}.edgefill"
        export_bundle(Generator(config).eval(), Discriminator(config).eval(), path, z_dim=config.z_dim)
        return Bundle.open(path)


def _contenders(bundle: Bundle, graph: str, batch: int) -> dict[str, Call]:
    content, taken = bundle.graph(graph), graph_signatures(bundle.manifest)[graph][0]
    inputs = {name: value for name, value in example_inputs(bundle, batch).items() if name in taken}
    runtimes = {
        "edgefill (ONNX Runtime)": _onnxruntime(content, inputs),
        "OpenVINO": _openvino(content, inputs),
    }
    if graph != "step":
        return runtimes
    objective = networks_of(bundle).objective
    return runtimes | {
        "torch eager": _torch(objective, inputs),
        "torch.compile": _torch(torch.compile(objective), inputs),
    }


def _onnxruntime(graph: bytes, inputs: dict[str, np.ndarray]) -> Call:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["grad_z", "loss"], inputs)[0]


def _torch(objective: Callable[..., Any], inputs: dict[str, np.ndarray]) -> Call:
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    torch.set_num_threads(_threads())

    def call() -> np.ndarray:
        z = tensors["z"].detach().requires_grad_(True)
        loss, _ = objective(**{**tensors, "z": z})
        return torch.autograd.grad(loss.sum(), z)[0].numpy()

    return call


def _openvino(graph: bytes, inputs: dict[str, np.ndarray]) -> Call:
    import openvino

    core = openvino.Core()
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": _threads(),
    }
    request = core.compile_model(core.read_model(graph), "CPU", hints).create_infer_request()
    return lambda: request.infer(inputs)["grad_z"]


def _measure(contenders: dict[str, Call], rounds: int) -> dict[str, Any]:
    _check_agreement(contenders)
    calls = {name: _calls_a_turn(call) for name, call in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            begin = time.perf_counter()
            for _ in range(calls[name]):
                call()
            seconds[name].append((time.perf_counter() - begin) / calls[name])
    ours = next(iter(contenders))
    return {
        name: {
            "ms": round(1e3 * statistics.median(times), 3),
            "ms_min": round(1e3 * min(times), 3),
            "times_ours": round(
                statistics.median(b / a for a, b in zip(seconds[ours], times, strict=True)), 3
            ),
        }
        for name, times in seconds.items()
    }


def _check_agreement(contenders: dict[str, Call]) -> None:
    """Everybody computes the same gradient, or the comparison means nothing. Also the warm-up."""
    gradients = {name: np.array(call()) for name, call in contenders.items()}
    expected = list(gradients.values())[-1]
    for name, gradient in gradients.items():
        error = np.linalg.norm(gradient - expected) / np.linalg.norm(expected)
        if not error < _TOLERANCE:
            raise SystemExit(f"{name} computes another gradient: it is off by {error:.2g}")


def _calls_a_turn(call: Call) -> int:
    call()
    begin = time.perf_counter()
    call()
    return max(1, round(_SECONDS_A_TURN / (time.perf_counter() - begin)))


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _print_table(batch: int, figures: dict[str, Any]) -> None:
    table = Table("contender", "ms a step (median)", "fastest turn", "times ours", title=f"batch {batch}")
    for name, row in figures.items():
        table.add_row(name, f"{row['ms']:.2f}", f"{row['ms_min']:.2f}", f"{row['times_ours']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
