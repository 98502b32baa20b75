"""gradient_graph takes what people write, refuses the rest in their words, and is checked."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from edgefill.errors import ModelError
from edgefill.export import agreement, gradient_graph
from edgefill.export.decompositions import indexing
from edgefill.export.plain_forms import as_written, quiet
from tests.export.objectives import OBJECTIVES, squares


def run(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(
        zip(names, session.run(None, {n: v.detach().numpy() for n, v in inputs.items()}), strict=True)
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_is_that_of_eager_mode(name):
    objective, inputs, wrt = OBJECTIVES[name]
    model = gradient_graph(objective, inputs, wrt=wrt, check=False)
    variables = [wrt] if isinstance(wrt, str) else list(wrt)
    free = {key: inputs[key].clone().requires_grad_(True) for key in variables}
    with as_written(), quiet():
        expected = torch.autograd.grad(objective(**{**inputs, **free}).sum(), list(free.values()))
    found = run(model, inputs)
    for key, value in zip(variables, expected, strict=True):
        scale = float(value.abs().max())
        np.testing.assert_allclose(found[f"grad_{key}"], value.numpy(), rtol=1e-3, atol=2e-5 * scale)


def refused(objective, **inputs):
    with pytest.raises(ModelError) as refusal:
        gradient_graph(objective, inputs or {"x": torch.zeros(1, 4)}, wrt="x")
    text = str(refusal.value)
    assert not any(word in text for word in ("FX", "uard", "SymInt", "step 1/3", "step 2/3", "step 3/3"))
    return text


def test_random_numbers_are_refused_by_the_call_that_draws_them():
    assert "F.dropout" in refused(lambda x: squares(F.dropout(x)))
    assert "torch.rand" in refused(lambda x: squares(x * torch.rand(4)))


def test_random_numbers_of_another_library_are_found_in_eager_mode():
    random = np.random.default_rng(0)
    assert "each time" in refused(lambda x: squares(x * float(random.random())))


def test_code_that_asks_for_the_type_of_its_input_is_found():
    message = refused(
        lambda x: squares(x * (2.0 if type(x) is torch.nn.Parameter else len(type(x).__name__)))
    )
    assert "type of a tensor" in message


def test_a_gradient_that_is_zero_may_be_a_rounding_of_zero():
    zero = torch.zeros(2, 3)
    agreement._compare("grad_x", zero + 1e-8, zero, zero, nothing=1e-6, exact=dict)
    with pytest.raises(ModelError, match="grad_x is not what PyTorch computes"):
        agreement._compare("grad_x", zero + 1e-5, zero, zero, nothing=1e-6, exact=dict)


def test_two_results_are_one_but_for_rounding():
    value = torch.tensor([1.0, -4.0])
    assert agreement._repeats(value, value * (1 + 1e-6)) and agreement._repeats(value > 0, value > 0)
    assert not agreement._repeats(value, value * 1.01) and not agreement._repeats(value > 0, value < 0)


def test_a_gradient_that_rounding_leaves_of_saturation_is_none_of_the_graph():
    def objective(w, x):
        return torch.tanh(x @ w).square()

    inputs = {"w": torch.full((3,), 40.0), "x": torch.full((1, 3), 0.06)}
    gradient_graph(objective, inputs, wrt="w", shared=["w"])


def test_numbers_at_which_an_objective_raises_are_not_those_it_is_checked_at():
    def surprise(x):
        return F.binary_cross_entropy(x, torch.full_like(x, 0.2), reduction="none").sum(1)

    gradient_graph(surprise, {"x": torch.full((1, 4), 0.5)}, wrt="x")
    outside = {"x": torch.full((1, 4), 1.5)}
    with pytest.raises(ModelError, match="between 0 and 1"):
        gradient_graph(lambda x: surprise(x + 3), outside, wrt="x")


def test_an_operator_of_ones_own_is_named():
    @torch.library.custom_op("edgefill_tests::squared", mutates_args=())
    def squared(x: torch.Tensor) -> torch.Tensor:
        return x * x

    squared.register_fake(torch.empty_like)
    squared.register_autograd(
        lambda ctx, grad: 2 * grad * ctx.saved_tensors[0],
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    message = refused(lambda x: squares(squared(x)))
    assert "edgefill_tests.squared cannot be exported" in message and "other operators" in message


def test_branch_that_pytorch_keeps_is_refused_with_what_to_write():
    message = refused(lambda x: torch.cond(x.sum() > 0, squares, lambda y: squares(2 * y), (x,)))
    assert "torch.cond" in message and "torch.where" in message and "test_objectives.py" in message


def test_branch_on_values_is_refused_by_its_line():
    def objective(x):
        if x.sum() > 0:
            return squares(x)
        return squares(2 * x)

    message = refused(objective)
    assert "test_objectives.py" in message
    assert "if x.sum() > 0" in message
    assert "torch.where" in message


def test_loss_that_does_not_depend_on_the_input_says_so():
    assert "does not depend on 'x'" in refused(lambda x: torch.zeros(x.shape[0]))
    assert "does not depend on 'x'" in refused(
        lambda x, y: squares(y), x=torch.zeros(1, 2), y=torch.ones(1, 2)
    )


class Inner(torch.nn.Module):
    """Whatever ``function`` makes of its input, in a module with a path."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def within(function):
    network = torch.nn.ModuleDict({"inner": Inner(function)})
    return lambda x: squares(Outer(network)(x))


class Outer(torch.nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def forward(self, x):
        return self.parts["inner"](x)


def test_operator_without_a_form_is_named_by_the_module_that_calls_it():
    message = refused(within(torch.linalg.pinv), x=torch.zeros(1, 2, 2))
    assert "pinv in parts.inner" in message
    assert "torch.linalg.qr" in message


def test_batch_size_that_is_made_a_number_is_refused_by_its_line():
    message = refused(within(lambda x: x * torch.ones(int(x.shape[0]), 1)))
    assert "batch size became fixed" in message and "in parts.inner" in message
    assert "torch.ones(int(x.shape[0]), 1)" in message
    assert "torch.vmap" in message


def test_what_a_gradient_asks_for_is_refused_by_the_call_that_it_is_of():
    message = refused(lambda x: squares(x[:1] * x))
    assert "the gradient of Tensor.__getitem__ (test_objectives.py" in message
    assert "batch size as a number" in message
    message = refused(lambda x: squares(x.as_strided((x.shape[0], 3), (4, 1))))
    assert "Tensor.as_strided (test_objectives.py" in message


def test_functions_of_two_numbers_are_named_as_they_are_written():
    message = refused(lambda x: squares(torch.special.gammainc(torch.ones(()), x.abs() + 1)))
    assert "torch.special.gammainc (test_objectives.py" in message and "prims" not in message


def test_what_does_not_run_in_pytorch_is_told_in_its_words():
    message = refused(lambda x: squares(x @ torch.ones(3, 2)))
    assert "does not run in PyTorch at the examples" in message and "torch.ones(3, 2)" in message


def test_tensors_of_two_types_are_told_where_they_meet():
    message = refused(lambda x: squares(x @ torch.eye(4, dtype=torch.float64)))
    assert "float32 and float64, meet in Tensor.matmul (test_objectives.py" in message


def test_as_many_rows_as_values_say_are_refused_by_their_line():
    def objective(x):
        rows, columns = torch.where(x > 0)
        return squares(torch.zeros_like(x).index_add(0, rows, x[rows] * x[rows, columns, None]))

    message = refused(objective)
    assert "depends on what is in the tensor" in message and "(test_objectives.py, line" in message


def test_bfloat16_is_refused_by_the_call_that_computes_in_it():
    message = refused(within(lambda x: F.relu(x.bfloat16())))
    assert "F.relu in parts.inner" in message and "bfloat16" in message and "float()" in message


def test_types_that_do_not_fit_are_told_with_what_to_write():
    layer = torch.nn.Conv1d(4, 3, 1).half()
    message = refused(lambda x: squares(layer(x[:, :, None])))
    assert (
        "float32 meets one of fp16" in message
        and "x.new_zeros" in message
        and "test_objectives.py" in message
    )


def test_what_the_objective_itself_raises_is_told_with_its_line():
    def objective(x):
        assert x.dtype == torch.float64, "expected doubles"
        return squares(x)

    message = refused(objective)
    assert "AssertionError: expected doubles" in message and "assert x.dtype" in message
    assert "at the examples" in message


def test_labels_one_behind_the_other_are_refused_with_the_shape_to_write():
    frames = torch.zeros(4, 1, 3)
    message = refused(
        lambda x: F.ctc_loss(
            frames + x.sum(), torch.tensor([1, 2]), torch.tensor([4]), torch.tensor([2]), reduction="none"
        )
    )
    assert "F.ctc_loss" in message and "targets [N, S]" in message


def test_eigenvalues_without_symmetry_are_refused_with_what_there_is():
    message = refused(lambda x: squares(torch.linalg.eigvals(x.unflatten(1, (2, 2))).real))
    assert "test_objectives.py" in message and "take torch.linalg.eigvalsh or eigh" in message


def test_what_numpy_computes_is_refused_by_its_line():
    message = refused(lambda x: squares(x * torch.from_numpy(np.abs(x.detach().numpy()))))
    assert "to NumPy" in message and "np.abs" in message


def test_complex_numbers_are_refused_where_their_parts_do_not_do():
    message = refused(lambda x: squares(torch.fft.fft(x).sqrt().real))
    assert "sqrt" in message and "test_objectives.py" in message and "real and imaginary parts" in message
    assert "view_as_real" in refused(lambda x: (squares(x), {"spectrum": torch.fft.fft(x)}))


def test_instance_norm_in_fp16_keeps_to_one_type():
    norm = torch.nn.InstanceNorm1d(2)

    def objective(x):
        y = norm(x.half())
        return squares(torch.tanh(y).float())

    inputs = {"x": torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0))}
    found = run(gradient_graph(objective, inputs, wrt="x", check=False), inputs)
    x = inputs["x"].clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(squares(torch.tanh(norm(x))).sum(), x)
    np.testing.assert_allclose(found["grad_x"], expected.numpy(), rtol=0.02, atol=0.02)


def test_what_is_scripted_is_refused_with_what_to_do():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 4)).eval())
    assert "before torch.jit.script" in refused(lambda x: squares(scripted(x)))


def test_too_many_picks_ask_for_a_scatter_which_then_is_one(monkeypatch):
    monkeypatch.setattr(indexing, "MOST", 4)
    rows = torch.tensor([0, 0, 2])

    def objective(x):
        return squares(x[:, rows])

    assert "allow_scatter=True" in refused(objective)
    inputs = {"x": torch.arange(8.0).reshape(2, 4)}
    model = gradient_graph(objective, inputs, wrt="x", allow_scatter=True)
    assert "ScatterND" in {node.op_type for node in model.graph.node}
    expected = np.array([[2.0, 0, 5, 0], [18, 0, 13, 0]], np.float32)
    np.testing.assert_allclose(run(model, inputs)["grad_x"], expected)


def test_shared_input_has_one_gradient_for_all_samples():
    def objective(x, a):
        return (x @ a).square().sum(1), {"total": a.sum()}

    inputs = {"x": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), "a": torch.ones(4, 2)}
    model = gradient_graph(objective, inputs, wrt=("x", "a"), shared=("a", "total"))
    found = run(model, inputs)
    expected = 2 * inputs["x"].T @ (inputs["x"] @ inputs["a"])
    np.testing.assert_allclose(found["grad_a"], expected.numpy(), rtol=1e-4)
    assert found["grad_x"].shape == (3, 4)
    assert found["total"].shape == ()


def test_whole_numbers_have_no_gradient():
    with pytest.raises(ModelError, match="expected a floating type"):
        gradient_graph(lambda x: squares(x.float()), {"x": torch.zeros(1, 4, dtype=torch.int64)}, wrt="x")


def test_objective_that_is_finite_nowhere_near_is_refused():
    assert "not finite" in refused(lambda x: squares(x * float("nan")))


def test_graph_that_is_not_what_eager_mode_computes_is_refused():
    model = gradient_graph(lambda x: squares(x), {"x": torch.zeros(1, 4)}, wrt="x")

    def other(inputs):
        return {"loss": squares(inputs["x"]) + 1, "grad_x": 2 * inputs["x"] + 1}

    with pytest.raises(ModelError, match="the exported loss is not what PyTorch computes"):
        agreement.check(model, other, {"x": torch.zeros(1, 4)}, ())
