"""gradient_graph for objectives that have nothing to do with pictures."""

from __future__ import annotations

import doctest

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.export import decomp_utils
from torch.nn import functional as F

from edgefill.errors import ModelError
from edgefill.export import gradient, gradient_graph, onnx_passes
from edgefill.export.gradient import forward_graph


def run(model, **inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def residual(line, x, y):
    predicted = line[:, :1] * x + line[:, 1:]
    return (predicted - y).square().sum(1), {"predicted": predicted}


LINE = {"line": torch.zeros(1, 2), "x": torch.zeros(1, 10), "y": torch.zeros(1, 10)}


def test_gradient_of_a_line_fit_is_the_one_from_the_book():
    model = gradient_graph(residual, LINE, wrt="line")
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 5, 10)).astype(np.float32)
    line = random.normal(size=(5, 2)).astype(np.float32)
    result = run(model, line=line, x=x, y=y)
    error = line[:, :1] * x + line[:, 1:] - y
    np.testing.assert_allclose(result["loss"], (error**2).sum(1), rtol=1e-5)
    book = np.stack([2 * (error * x).sum(1), 2 * error.sum(1)], 1)
    np.testing.assert_allclose(result["grad_line"], book, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result["predicted"], error + y, rtol=1e-5, atol=1e-6)


def test_gradient_with_respect_to_another_input():
    model = gradient_graph(residual, LINE, wrt="x")
    assert [output.name for output in model.graph.output] == ["loss", "grad_x", "predicted"]


@pytest.mark.parametrize("batch", [1, 2, 61])
def test_batch_is_dynamic(batch):
    model = gradient_graph(residual, LINE, wrt="line")
    ones = np.ones((batch, 10), np.float32)
    assert run(model, line=np.ones((batch, 2), np.float32), x=ones, y=ones)["loss"].shape == (batch,)


def test_batch_that_equals_another_size_stays_dynamic():
    model = gradient_graph(lambda z: z.square().sum(1), {"z": torch.zeros(61, 61)})
    assert run(model, z=np.ones((3, 61), np.float32))["grad_z"].shape == (3, 61)


def test_two_exports_are_byte_equal():
    first, second = (gradient_graph(residual, LINE, wrt="line") for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def test_example_in_the_docstring_runs():
    finder = doctest.DocTestFinder().find(gradient.gradient_graph, globs={"torch": torch, **vars(gradient)})
    runner = doctest.DocTestRunner()
    for example in finder:
        runner.run(example)
    assert runner.tries > 3
    assert runner.failures == 0


INDEXED = {
    "max pooling, dilated": lambda x: torch.nn.functional.max_pool2d(x[:, None], 2, 3, dilation=2),
    "a stride": lambda x: x[:, 1::2, 2:9:3],
    "negative ends": lambda x: x[:, -4:-1],
    "one row": lambda x: x[:, 3],
    "one row from the end": lambda x: x[:, :, -2],
    "a dimension counted from the end": lambda x: x.narrow(-1, 2, 4),
}


@pytest.mark.parametrize("name", INDEXED)
def test_gradient_of_what_picks_elements(name):
    def objective(x):
        return INDEXED[name](x).square().flatten(1).sum(1)

    x = torch.randn(3, 7, 11, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (expected,) = torch.autograd.grad(objective(x).sum(), x)
    model = gradient_graph(objective, {"x": x}, wrt="x")
    np.testing.assert_allclose(run(model, x=x.detach().numpy())["grad_x"], expected.numpy(), rtol=1e-6)


WEIGHT = torch.randn(2, 3, 3, 2, generator=torch.Generator().manual_seed(1))
RESAMPLED = {
    "nearest, a scale that is not the sizes' ratio": lambda x: F.interpolate(
        x[:, :, :4, :4], scale_factor=2.1
    ),
    "bilinear, a scale that is not the sizes' ratio": lambda x: F.interpolate(
        x, scale_factor=1.7, mode="bilinear"
    ),
    "bicubic": lambda x: F.interpolate(x, size=(13, 5), mode="bicubic"),
    "bicubic, aligned corners": lambda x: F.interpolate(
        x, scale_factor=1.7, mode="bicubic", align_corners=True
    ),
    "average pooling with a divisor": lambda x: F.avg_pool2d(x, 3, 2, divisor_override=4),
    "average pooling whose last window is cut": lambda x: F.avg_pool2d(
        x, (3, 2), (2, 3), 1, ceil_mode=True, count_include_pad=False
    ),
    "average pooling without a window behind the picture": lambda x: F.avg_pool2d(x, 2, 4, 1, ceil_mode=True),
    "max pooling without a window behind the picture": lambda x: F.max_pool2d(x, 2, 4, 1, ceil_mode=True),
    "max pooling, dilated, rounded up": lambda x: F.max_pool2d(
        x, (2, 3), (3, 2), 1, dilation=(2, 1), ceil_mode=True
    ),
    "transposed, output padding beyond the padding": lambda x: F.conv_transpose2d(
        x, WEIGHT, stride=(2, 3), padding=(0, 1), output_padding=(1, 2)
    ),
    "transposed, output padding of a stride": lambda x: F.conv_transpose2d(
        x, WEIGHT, dilation=3, output_padding=2
    ),
    "convolution that skips the last rows": lambda x: F.conv2d(x, WEIGHT.transpose(0, 1), stride=4),
    "softplus with a low threshold": lambda x: F.softplus(x, beta=3, threshold=1),
}


@pytest.mark.parametrize("name", RESAMPLED)
def test_values_and_gradients_are_those_of_autograd(name):
    def objective(x):
        y = RESAMPLED[name](x)
        return (y.square() + y).flatten(1).sum(1), {"y": y}

    x = torch.randn(3, 2, 7, 11, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss, extras = objective(x)
    (expected,) = torch.autograd.grad(loss.sum(), x)
    result = run(gradient_graph(objective, {"x": x}, wrt="x"), x=x.detach().numpy())
    np.testing.assert_allclose(result["y"], extras["y"].detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result["grad_x"], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_unknown_input_is_refused():
    with pytest.raises(ModelError, match="'w'; the inputs are"):
        gradient_graph(residual, LINE, wrt="w")


def test_loss_that_is_summed_over_the_batch_is_refused():
    with pytest.raises(ModelError, match=r"expected one number per sample"):
        gradient_graph(lambda z: z.sum(), {"z": torch.zeros(1, 4)})


def test_softplus_is_exact_where_the_logit_is_large():
    model = gradient_graph(lambda z: torch.nn.functional.softplus(-z).sum(1), {"z": torch.zeros(1, 1)})
    z = np.array([[-90.0], [-15.0], [0.0], [15.0], [90.0]], np.float32)
    result = run(model, z=z)
    expected = np.logaddexp(0, -z.astype(np.float64))[:, 0]
    np.testing.assert_allclose(result["loss"], expected, rtol=1e-5, atol=1e-30)
    slope = -np.exp(-np.logaddexp(0, z.astype(np.float64)))
    np.testing.assert_allclose(result["grad_z"], slope, rtol=1e-5, atol=1e-6)


def test_operator_from_outside_the_standard_is_refused():
    model = gradient_graph(residual, LINE, wrt="line")
    model.graph.node[0].domain, model.graph.node[0].name = "com.microsoft", ""
    with pytest.raises(ModelError, match=r"com\.microsoft"):
        onnx_passes.check_standard(model)


def test_weights_stored_in_half_give_the_same_numbers():
    layer = torch.nn.Linear(64, 64)
    layer.weight.data = layer.weight.data.half().float()
    model = gradient_graph(lambda z: layer(z).square().sum(1), {"z": torch.zeros(1, 64)})
    z = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    before, size = run(model, z=z), model.ByteSize()
    onnx_passes.store_weights_in_half(model)
    onnx.checker.check_model(model)
    np.testing.assert_array_equal(run(model, z=z)["grad_z"], before["grad_z"])
    assert model.ByteSize() < 0.7 * size


@pytest.mark.filterwarnings("ignore")  # of what torch.onnx uses itself
def test_exports_of_others_in_the_same_process_go_on_as_ever():
    """PyTorch lists its operators once in a process; some are others while a graph of ours is traced."""
    maps, x = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3)).eval(), torch.zeros(1, 1, 4, 4)

    decomp_utils._collect_all_valid_cia_ops_for_aten_namespace.cache_clear()
    forward_graph(lambda x: maps(x), {"x": x}, "y")
    theirs = torch.onnx.export(maps, (x,), dynamo=True, verbose=False)
    assert "Resize" in {node.op_type for node in theirs.model_proto.graph.node}
