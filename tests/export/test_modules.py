"""Preparing a network changes its form, never what it computes."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from edgefill.export.modules import prepared, rounded_to

NORM = nn.BatchNorm2d
FOLDABLE = {
    "convolution": lambda: [nn.Conv2d(4, 6, 3, 2, 1), NORM(6)],
    "convolution without bias": lambda: [nn.Conv2d(4, 6, 3, bias=False), NORM(6)],
    "transposed": lambda: [nn.ConvTranspose2d(4, 6, 4, 2, 1), NORM(6)],
    "transposed, grouped": lambda: [nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2, bias=False), NORM(6)],
    "linear": lambda: [nn.Flatten(), nn.Linear(256, 6), nn.BatchNorm1d(6)],
    "linear, then unflatten": lambda: [
        nn.Flatten(), nn.Linear(256, 24, bias=False), nn.Unflatten(1, (6, 2, 2)), NORM(6)
    ],
    "batch norm without weights": lambda: [nn.Conv2d(4, 6, 3), NORM(6, affine=False)],
    "linear, unflatten, batch norm without weights": lambda: [
        nn.Flatten(), nn.Linear(256, 24), nn.Unflatten(1, (6, 2, 2)), NORM(6, affine=False)
    ],
}  # fmt: skip


def trained(layers) -> nn.Module:
    """Layers whose batch norms have statistics and weights unlike the initial ones, in eval mode."""
    module = nn.Sequential(*layers)
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                if tensor is not None:
                    tensor.data = torch.rand(tensor.shape, generator=generator) + 0.5
    return module.eval()


def norms(module) -> int:
    return sum(isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)) for part in module.modules())


def example():
    return torch.rand(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FOLDABLE)
def test_batch_norm_is_folded_and_the_output_stays(name):
    module = trained(FOLDABLE[name]())
    expected = module(example())
    ready = prepared(module, "the network")
    assert norms(ready) == 0
    torch.testing.assert_close(ready(example()), expected, rtol=1e-5, atol=1e-5)
    assert norms(module) == 1


class Twice(nn.Module):
    """Knows its layers by two names each, and runs code of its own between them."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(4, 6, 3), NORM(6)
        self.all = nn.ModuleList([self.first, self.norm])

    def forward(self, x):
        return self.all[1](self.first(x)).relu()


def test_folding_keeps_the_code_that_messages_name():
    module = Twice()
    module.norm.running_mean.fill_(0.3)
    expected = module.eval()(example())
    ready = prepared(module, "the network")
    assert type(ready) is Twice and norms(ready) == 0
    torch.testing.assert_close(ready(example()), expected)


class Shared(nn.Module):
    """One convolution before two batch norms: folding either would change the other."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(4, 4, 3, 1, 1)
        self.first, self.second = trained([NORM(4)])[0], trained([NORM(4)])[0]
        self.second.weight.data *= 3

    def forward(self, x):
        return self.second(self.convolution(self.first(self.convolution(x))))


class Forked(nn.Module):
    """The convolution's output is used beside the batch norm too."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(4, 4, 3, 1, 1), trained([NORM(4)])[0]

    def forward(self, x):
        y = self.convolution(x)
        return y + self.norm(y)


class Branching(nn.Module):
    """torch.fx cannot trace this one; it keeps its batch norm."""

    def __init__(self):
        super().__init__()
        self.body = trained(FOLDABLE["convolution"]())

    def forward(self, x):
        return self.body(x) if x.sum() > 0 else x


@pytest.mark.parametrize("kind", [Shared, Forked, Branching])
def test_what_cannot_be_folded_stays_as_it_is(kind):
    module = kind().eval()
    ready = prepared(module, "the network")
    assert norms(ready) == norms(module)
    torch.testing.assert_close(ready(example()), module(example()))


def test_spectral_norms_become_plain_weights():
    module = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)),
        nn.utils.spectral_norm(nn.Conv2d(4, 4, 3)),
    )
    module(example())
    module.eval()
    ready = prepared(module, "the network")
    assert {name for name, _ in ready.named_parameters()} == {"0.weight", "0.bias", "1.weight", "1.bias"}
    torch.testing.assert_close(ready(example()), module(example()))


def test_rounded_weights_fit_into_half():
    module = rounded_to(nn.Conv2d(4, 4, 3), torch.float16)
    assert module.weight.dtype == torch.float32
    assert torch.equal(module.weight, module.weight.half().float())


def test_traced_module_is_copied_and_frozen():
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what takes its place one day
        traced = torch.jit.trace(nn.Linear(4, 3).eval(), torch.zeros(1, 4))
    copied = prepared(traced, "the generator")
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    x = torch.ones(2, 4)
    torch.testing.assert_close(copied(x), traced(x))


class Conditional(nn.Module):
    """Code that asks whether it was given something, which a symbolic trace always answers with yes."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3), NORM(6))

    def forward(self, x, *, gain=None):
        return self.body(x if gain is None else x * gain)


def test_arguments_that_are_left_out_stay_left_out():
    module = Conditional().eval()
    ready = prepared(module, "the network", example())
    torch.testing.assert_close(ready(example()), module(example()))


def test_a_module_in_which_nothing_is_folded_keeps_its_parts_and_their_names():
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU())
    assert type(prepared(module, "the network")) is nn.Sequential
