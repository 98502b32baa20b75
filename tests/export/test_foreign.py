"""Anybody's G and D export with a gradient that is PyTorch's, and every graph builds in TensorRT."""

from __future__ import annotations

import warnings

import onnx
import pytest
import torch
from torch import nn

from edgefill.errors import ModelError
from edgefill.export import export_bundle
from edgefill.model.bundle import Bundle
from tests.export.building import build_engine
from tests.export.foreign import PAIRS, Pair, Z, discriminator, generator, plain_d, plain_g


@pytest.mark.parametrize("name", PAIRS)
def test_pair_exports_proven_and_builds(name, tmp_path):
    G, D = PAIRS[name].build()
    manifest = export_bundle(G, D, tmp_path / "pair.edgefill", z_dim=Z, **PAIRS[name].options)
    assert manifest.proof["gradient"] <= 1e-4
    step = Bundle.open(tmp_path / "pair.edgefill").graph("step")
    assert not any(
        attribute.name == "output_padding"
        for node in onnx.load_from_string(step).graph.node
        for attribute in node.attribute
    )
    build_engine(step)


@pytest.mark.parametrize("name", ["nearest upsampling", "max pooling", "self-attention", "group norm"])
def test_pair_exports_and_builds_in_fp16(name, tmp_path):
    G, D = PAIRS[name].build()
    export_bundle(G, D, tmp_path / "pair.edgefill", z_dim=Z, precision="fp16", **PAIRS[name].options)
    bundle = Bundle.open(tmp_path / "pair.edgefill")
    for graph in ("generator", "discriminator", "step"):
        build_engine(bundle.graph(graph))
    model = onnx.load_from_string(bundle.graph("step"))
    _assert_reductions_are_fp32(model)


def _assert_reductions_are_fp32(model):
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    reductions = [
        node for node in graph.node if node.op_type.startswith("Reduce") or node.op_type == "Softmax"
    ]
    assert reductions
    assert {types[node.output[0]] for node in reductions} == {onnx.TensorProto.FLOAT}


def test_networks_are_left_as_they_were(tmp_path):
    G, D = PAIRS["spectral norm"].build()
    before = {key: value.clone() for key, value in D.state_dict().items()}
    G.train()
    export_bundle(G, D, tmp_path / "pair.edgefill", z_dim=Z)
    assert G.training
    assert before.keys() == D.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in D.state_dict().items())


class Whitened(nn.Module):
    def forward(self, x):
        return torch.linalg.pinv(x)


class Listed(nn.Module):
    def forward(self, x):
        return [x, x]


def uncompiled(*_):
    raise AssertionError("a graph is of what was written")


def test_compiled_networks_are_exported_without_compiling_them(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyTorch's compiler imports
        G, D = (torch.compile(network, backend=uncompiled) for network in (plain_g(), plain_d()))
    export_bundle(G, D, tmp_path / "pair.edgefill", z_dim=Z)


def refused(tmp_path, G, D, **options) -> str:
    with pytest.raises(ModelError) as error:
        export_bundle(G.eval(), D.eval(), tmp_path / "pair.edgefill", **{"z_dim": Z, **options})
    assert not (tmp_path / "pair.edgefill").exists()
    return str(error.value)


def test_operator_without_onnx_form_is_named(tmp_path):
    G = generator(Whitened(), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    assert "torch.linalg.pinv in 2" in refused(tmp_path, G, plain_d())


class FixedBatch(nn.Module):
    def forward(self, x):
        return x.reshape(int(x.shape[0]), -1).reshape(x.shape)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_branch_on_the_pictures_of_a_batch_is_named_by_its_line(tmp_path):
    D = nn.Sequential(discriminator(nn.AvgPool2d(4), features=8 * 4), Branching())
    with torch.no_grad():
        D[0][-1].bias.zero_()
    assert "x.sum() > 0" in refused(tmp_path, plain_g(), D)


class Coarse(nn.Module):
    """Too fine for fp16: rounding there moves the phase by more than a turn; and the types are mixed."""

    def forward(self, x):
        angle = x.double() * 2e4
        return x * 0.5 + torch.sin(angle).float() * 1e-3


def test_what_fp16_is_too_coarse_for_stays_in_fp32(tmp_path):
    G = nn.Sequential(Coarse(), *plain_g())
    told: list[str] = []
    manifest = export_bundle(
        G, plain_d(), tmp_path / "pair.edgefill", z_dim=Z, precision="both", progress=told.append
    )
    assert manifest.proof["fp16 gradient"] < 0.05 and "keeping in fp32 what does not multiply" in told


def test_batch_that_becomes_fixed_is_explained(tmp_path):
    G = generator(FixedBatch(), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    assert "batch size became fixed" in refused(tmp_path, G, plain_d())


class BatchMean(nn.Module):
    def forward(self, x):
        return x - x.mean(0, keepdim=True)


def test_network_that_mixes_samples_is_refused(tmp_path):
    G = generator(BatchMean(), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    assert "G's picture depends on what else is in its batch" in refused(tmp_path, G, plain_d())


class MinibatchDeviation(nn.Module):
    """How much the samples of a batch differ, times a weight, as one more channel."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight

    def forward(self, x):
        spread = self.weight * torch.sqrt(x.var(0, unbiased=False) + 1e-8).mean()
        return torch.cat([x, spread.expand(x.shape[0], 1, *x.shape[2:])], 1)


@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_d_that_compares_the_pictures_of_its_batch_is_refused_with_what_to_do(weight, tmp_path):
    D = discriminator(MinibatchDeviation(weight), features=9 * 64)
    message = refused(tmp_path, plain_g(), D)
    assert "D's logit depends on what else is in its batch" in message and "constant" in message


@pytest.mark.parametrize(
    ("G", "D", "options", "message"),
    [
        (plain_g, plain_d, {"z_dim": 3}, "z_dim"),
        (plain_g, lambda: nn.Sequential(plain_d(), nn.Linear(1, 2)), {}, "2 numbers per picture"),
        (
            lambda: nn.Sequential(plain_g(), nn.Hardtanh(-9, 9), nn.Softplus(0.01)),
            plain_d,
            {},
            "after a tanh",
        ),
        (lambda: generator(nn.Conv2d(8, 2, 3, 1, 1)), plain_d, {}, "do not run"),
        (lambda: nn.Sequential(plain_g(), Listed()), plain_d, {}, "G returned a list; expected one tensor"),
        (plain_g, lambda: nn.Sequential(plain_d(), Listed()), {}, "D returned a list; expected one tensor"),
    ],
)
def test_networks_that_do_not_fit_are_explained(G, D, options, message, tmp_path):
    assert message in refused(tmp_path, G(), D(), **options)


def test_weights_that_are_not_finite_are_named(tmp_path):
    G = plain_g()
    with torch.no_grad():
        G[0].bias[3] = float("nan")
    assert "0.bias" in refused(tmp_path, G, plain_d())


def test_sure_discriminator_stays_finite_in_fp16(tmp_path):
    """Logits of ±15 and more, all pixels known, at 128×128×3: the gradient has no NaN or Inf."""
    import numpy as np
    import onnxruntime

    pair = Pair(
        lambda: generator(
            *(layer for _ in range(4) for layer in (nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU())),
            nn.ConvTranspose2d(8, 3, 4, 2, 1),
        ),
        lambda: discriminator(nn.LeakyReLU(0.2), nn.AvgPool2d(16), features=8 * 64),
    )
    G, D = pair.build()
    for bias in (15.0, -15.0):
        with torch.no_grad():
            D[-1].bias.fill_(bias)
        path = tmp_path / f"sure{bias}.edgefill"
        export_bundle(G, D, path, z_dim=Z, precision="fp16")
        session = onnxruntime.InferenceSession(Bundle.open(path).graph("step"))
        feeds = {
            "z": np.ones((2, Z), np.float32), "target": np.full((2, 3, 128, 128), -1, np.float32),
            "weight": np.ones((2, 1, 128, 128), np.float32),
            "block_weight": np.zeros((2, 1, 16, 16), np.float32),
            "power": np.array([1, 2], np.float32), "lam": np.array([0.1, 100], np.float32),
            "anchor": np.zeros((2, Z), np.float32), "pull": np.array([0, 100], np.float32),
        }  # fmt: skip
        for value in session.run(None, feeds):
            assert np.isfinite(value).all()
