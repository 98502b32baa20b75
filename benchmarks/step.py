"""One step of the search, forward and backward through G and D: ours, PyTorch's and OpenVINO's.

    python -m benchmarks.step [--model faces64 | --filters 64 --channels 3] [--graph step] [--batch 1,4,16]
        [--rounds 15] [--name NAME]

The contenders take turns within one process; each round times every contender for the same number of calls,
and the figures are medians over the rounds and medians of the ratios within a round. With --graph fit it is
the step without D, and the runtimes of the exported graph race alone.
"""

from __future__ import annotations

import tempfile
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
from benchmarks.turns import Call, check_agreement, cores, measured
from edgefill.export import export_bundle
from edgefill.model.bundle import Bundle
from edgefill.model.catalogue import find
from edgefill.model.manifest import graph_signatures
from edgefill.networks.config import NetworkConfig
from edgefill.networks.dcgan import Discriminator, Generator

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
        contenders = _contenders(bundle, graph, size)
        check_agreement(contenders, _TOLERANCE)
        figures["batch"][str(size)] = measured(contenders, rounds)
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
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["grad_z", "loss"], inputs)[0]


def _torch(objective: Callable[..., Any], inputs: dict[str, np.ndarray]) -> Call:
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    torch.set_num_threads(cores())

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
        "INFERENCE_NUM_THREADS": cores(),
    }
    request = core.compile_model(core.read_model(graph), "CPU", hints).create_infer_request()
    return lambda: request.infer(inputs)["grad_z"]


def _print_table(batch: int, figures: dict[str, Any]) -> None:
    table = Table("contender", "ms a step (median)", "fastest turn", "times ours", title=f"batch {batch}")
    for name, row in figures.items():
        table.add_row(name, f"{row['ms']:.2f}", f"{row['ms_min']:.2f}", f"{row['times_ours']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
