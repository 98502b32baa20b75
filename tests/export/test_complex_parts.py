"""Complex tensors as pairs of real ones are what PyTorch computes with complex ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from edgefill.export.complex_parts import InParts, NoFormInParts, in_parts
from edgefill.export.decompositions import decomposition_table

W = torch.complex(*torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(1)))
X = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def written(z: Tensor, x: Tensor) -> Tensor:
    y, zeros = z.clone(), torch.zeros_like(z)
    y[:, 0] = x[:, 0]
    y[:, 1].fill_(2.0)
    y[:, :, 1] *= 1j
    y.sub_(z, alpha=2)
    zeros[:, 1:3] = z[:, :2]
    return y + zeros


EXPRESSIONS = {
    "quotients": lambda z, x: z / (z.mT + 0.3j) + W / (z + 2) + 2 / (z + 2j) + z / 2j + x / (z + 3),
    "quotient of what is small": lambda z, x: W / (z * 1e-20) * 1e-20,
    "sums": lambda z, x: 1 - z + torch.add(z, W, alpha=2) - torch.sub(x, z, alpha=3j),
    "sizes, some of them 0": lambda z, x: (z.abs() + (z * 0).abs()) * z,
    "angles": lambda z, x: z.angle() + (-z).angle() * 1j,
    "exponentials and logarithms": lambda z, x: z.exp() + (z + 3).log() + torch.exp(1j * x),
    "products of matrices": lambda z, x: torch.baddbmm(z, z.mH, z) + torch.bmm(z, z) * (z[0] @ W.conj()),
    "powers": lambda z, x: z**2 + z.square() * z**4,
    "picked twice": lambda z, x: z[:, [0, 2, 2, 1]] + W.index_add(0, torch.tensor([1, 1]), W[:2]),
    "real ones beside complex": lambda z, x: torch.cat([z, x], 1) @ torch.stack([W[0], x[0, 0]], 1)[:, :1],
    "affine": lambda z, x: torch.nn.functional.linear(z[0], W, W[0]) + torch.sgn(z) * z.norm(dim=1)[:, None],
    "padded": lambda z, x: torch.nn.functional.pad(z, (1, 1), value=1.0),
    "chosen": lambda z, x: torch.where(x > 0, z, 0j) + torch.where(x > 0, z, W) + z.masked_fill(x > 0, 1),
    "made real": lambda z, x: z.real + torch.ones_like(z, dtype=torch.float32) * z.imag,
    "written into": written,
}


def parted(function):
    """``function`` of complex numbers, run in parts, as its real and imaginary part."""

    def in_and_out(x):
        return torch.view_as_real(function(torch.complex(*x.unbind(1)), x[:, 0]) + 0j)

    traced = make_fx(in_and_out, decomposition_table=decomposition_table())(X)
    constants = {node.target for node in traced.graph.find_nodes(op="get_attr")}
    return InParts(traced, {name: in_parts(getattr(traced, name)) for name in constants}).run(X)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_values_are_those_of_complex_numbers(name):
    expected = EXPRESSIONS[name](torch.complex(*X.unbind(1)), X[:, 0]) + 0j
    torch.testing.assert_close(parted(EXPRESSIONS[name]), torch.view_as_real(expected), rtol=1e-4, atol=1e-5)


def test_writes_into_a_part_alone_are_refused():
    def objective(z, x):
        y = z.clone()
        y.real.mul_(2)
        return y

    with pytest.raises(NoFormInParts, match="view_as_real"):
        parted(objective)


def test_gradients_of_picked_complex_numbers_keep_their_imaginary_part():
    def gradient(x):
        x = x.detach().requires_grad_(True)
        z = torch.complex(*x.unbind(1))[:, [0, 2, 2]]
        (found,) = torch.autograd.grad((z * z.conj()).real.sum(), x)
        return found

    traced = make_fx(gradient, decomposition_table=decomposition_table())(X)
    torch.testing.assert_close(traced(X), gradient(X))
