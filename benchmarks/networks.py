"""The networks of a bundle as PyTorch modules, so that PyTorch runs the weights that the bundle holds."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn

from edgefill.export.modules import prepared
from edgefill.export.objective import Completion
from edgefill.model.bundle import Bundle
from edgefill.networks.config import NetworkConfig
from edgefill.networks.dcgan import Discriminator, Generator

_WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def networks_of(bundle: Bundle) -> Completion:
    """G and D of a DCGAN bundle in PyTorch, after a comparison with the bundle's own graphs."""
    manifest = bundle.manifest
    weights = {name: _weights(bundle.graph(name)) for name in ("generator", "discriminator")}
    config = NetworkConfig(
        z_dim=manifest.z_dim,
        filters=weights["discriminator"][0][0].shape[0],
        channels=manifest.channels,
        size=manifest.height,
    )
    networks = Completion(
        _filled(Generator(config), weights["generator"]),
        _filled(Discriminator(config), weights["discriminator"]),
        block=manifest.searched.block,
    )
    _compare(networks, bundle)
    return networks


def _weights(graph: bytes) -> list[list[np.ndarray]]:
    """Weight of each layer, in the order of the graph, and its bias unless that is zero and was left out."""
    model = onnx.load_from_string(graph)
    tensors = {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float32) for tensor in model.graph.initializer
    }
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
    layers = [node for node in model.graph.node if node.op_type in ("Gemm", "Conv", "ConvTranspose")]
    return [[tensors[name] for name in node.input[1:]] for node in layers]


def _filled(network: nn.Module, weights: list[list[np.ndarray]]) -> nn.Module:
    """The network with its batch norms folded, as the bundle has it, and the bundle's weights."""
    network = prepared(network, "the network")
    layers = [layer for layer in network.modules() if isinstance(layer, _WEIGHTED)]
    for layer, (weight, *bias) in zip(layers, weights, strict=True):
        layer.weight.data = torch.from_numpy(weight.T.copy() if isinstance(layer, nn.Linear) else weight)
        layer.bias.data = torch.from_numpy(bias[0]) if bias else torch.zeros_like(layer.bias)
    return network


def _compare(networks: Completion, bundle: Bundle) -> None:
    session = onnxruntime.InferenceSession(bundle.graph("step"), providers=["CPUExecutionProvider"])
    inputs = example_inputs(bundle, batch=4)
    generated, perceptual = session.run(["generated", "perceptual"], inputs)
    with torch.no_grad():
        pictures = networks.generate(torch.from_numpy(inputs["z"]))
        torch.testing.assert_close(pictures, torch.from_numpy(generated), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            networks.perceptual(pictures), torch.from_numpy(perceptual), rtol=1e-3, atol=1e-3
        )


def example_inputs(bundle: Bundle, batch: int) -> dict[str, np.ndarray]:
    """Inputs of the step graph: random latents and pictures, the centre missing."""
    manifest, rng = bundle.manifest, np.random.default_rng(0)
    channels, height, width = manifest.picture_shape
    weight = np.ones((batch, 1, height, width), np.float32)
    weight[:, :, height // 4 : -height // 4, width // 4 : -width // 4] = 0
    blocks = (height // manifest.searched.block, width // manifest.searched.block)
    return {
        "z": rng.uniform(-1, 1, (batch, manifest.z_dim)).astype(np.float32),
        "target": rng.uniform(-1, 1, (batch, channels, height, width)).astype(np.float32),
        "weight": weight,
        "block_weight": np.zeros((batch, 1, *blocks), np.float32),
        "power": np.ones(batch, np.float32),
        "lam": np.full(batch, 0.1, np.float32),
        "anchor": np.zeros((batch, manifest.z_dim), np.float32),
        "pull": np.zeros(batch, np.float32),
    }
