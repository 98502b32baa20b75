"""A tiny model for tests that need any bundle: 8×8 grey, z of 4, untrained."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgefill.export import export_bundle, export_completion
from edgefill.model.bundle import write_bundle
from edgefill.model.interface import Input, Interface, Mask, Output, Sizes
from edgefill.model.manifest import Manifest
from edgefill.networks.config import GlcicConfig, NetworkConfig
from edgefill.networks.encoder import Encoder
from edgefill.networks.glcic import CompletionNetwork

Z = 4


def tiny_networks(channels: int = 1) -> tuple[nn.Module, nn.Module]:
    """G and D for 8×8 pictures; large weights, so that z moves the picture."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = nn.Sequential(
            nn.Linear(Z, 64), nn.Unflatten(1, (4, 4, 4)), nn.ReLU(),
            nn.ConvTranspose2d(4, channels, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip
        discriminator = nn.Sequential(
            nn.Conv2d(channels, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(64, 1)
        )
        for layer in (generator[0], generator[3]):
            nn.init.normal_(layer.weight, 0.0, 0.7)
    return generator.eval(), discriminator.eval()


def tiny_encoder(channels: int = 1) -> Encoder:
    """An encoder for such pictures, untrained."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        encoder = Encoder(NetworkConfig(z_dim=Z, channels=channels, size=8), width=4)
    return encoder.eval()


@functools.cache
def tiny_bundle(channels: int = 1, *, encoder: bool = False) -> bytes:
    """The bytes of an exported bundle of the tiny networks, made once per process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.edgefill"
        own = tiny_encoder(channels) if encoder else None
        networks = tiny_networks(channels)
        export_bundle(*networks, path, z_dim=Z, encoder=own, licence="CC0", origin="tests")
        return path.read_bytes()


@functools.cache
def tiny_one_pass(channels: int = 1) -> bytes:
    """The bytes of an exported bundle of a completion network of 4 filters, untrained."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = CompletionNetwork(GlcicConfig(channels=channels, filters=4)).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.edgefill"
        export_completion(network, path, size=64, family="glcic", licence="CC0", origin="tests")
        return path.read_bytes()


@functools.cache
def tiny_joined(batch: int | None = None) -> bytes:
    """The bytes of a bundle of one convolution, for 16×24 pictures behind their mask in one input."""
    interface = Interface(
        (Input("seen", ("mask", "picture")),), Output("drawn"), 16,
        mask=Mask(0.5, -0.5), sizes=Sizes(fixed=(16, 24)), batch=batch,
    )  # fmt: skip
    weight = np.random.default_rng(0).normal(0, 0.4, (3, 4, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["seen", "weight"], ["mixed"], pads=[1, 1, 1, 1]),
        helper.make_node("Tanh", ["mixed"], ["drawn"]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in interface.signature
    )
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [numpy_helper.from_array(weight, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.edgefill"
        write_bundle(path, Manifest("tiny", interface=interface), {"completion": model.SerializeToString()})
        return path.read_bytes()
