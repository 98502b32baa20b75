"""Objectives as people write them, several constructions in each: every one must export."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

Inputs = dict[str, Tensor]


def _random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


MATRIX = _random(4, 5)
PAIRS = _random(3, 5)
SIDE = _random(3, 2)
SPARSE = torch.sparse_coo_tensor(
    torch.tensor([[0, 1, 1], [1, 0, 4]]), torch.tensor([2.0, -1, 3]), (2, 5), check_invariants=True
)
FIRST, SECOND = torch.tensor([0, 0, 2]), torch.tensor([1, 3, 3])


def squares(*parts: Tensor) -> Tensor:
    """One number per sample from whatever a construction returns."""
    return torch.stack([(part.square() + part).flatten(1).sum(1) for part in parts]).sum(0)


def picks(x: Tensor, places: Tensor) -> Tensor:
    return squares(
        x[:, FIRST], x[:, FIRST, SECOND], x.index_select(2, SECOND), x.gather(1, places),
        torch.zeros_like(x).scatter_add(1, places.expand(-1, -1, 5), x[:, :3]),
        torch.zeros_like(x).index_add(1, FIRST, x[:, :3]),
        torch.zeros_like(x).index_copy(1, SECOND.flip(0)[:1], x[:, :1]),
        torch.diagonal(x[:, :, :4], dim1=1, dim2=2), x.unfold(2, 3, 2),
    )  # fmt: skip


def orders(x: Tensor) -> Tensor:
    return squares(
        x.max(1).values,
        x.min(2)[0],
        x.median(2)[0],
        x.sort(2)[0][:, :, :2],
        x.topk(2, 2)[0],
        x.kthvalue(4, 1)[0],
        x.cummax(2)[0] * MATRIX,
        x.cummin(1)[0] * MATRIX,
        x * torch.searchsorted(torch.tensor([-0.5, 0.0, 1.0]), x, right=True),
        x * torch.searchsorted(torch.tensor([-0.5, 0.0, 1.0]), 0.5),
        torch.take_along_dim(x, x.argmax(2, keepdim=True), 2),
        x.take_along_dim(x.sum(2, keepdim=True).argsort(1), 1),
        x.amax((1, 2))[:, None],
    )


def labels(x: Tensor, label: Tensor) -> Tensor:
    smooth = F.cross_entropy(x, label, reduction="none", label_smoothing=0.1)
    return (
        F.cross_entropy(x, label, reduction="none")
        + F.nll_loss(F.log_softmax(x, 1), label, reduction="none")
        + smooth
    )


def writes(x: Tensor) -> Tensor:
    y = x * 2
    y[:, 0] = x[:, 1] ** 2
    y[:, 1:3] *= 3
    y[:, :, ::2] += 1
    y.view(y.shape[0], -1)[:, 2] = 0.5
    y[y > 0.5] = 0.5
    return squares(y, x.masked_fill(x < 0, 0.1))


def borders(x: Tensor) -> Tensor:
    modes = ("reflect", "replicate", "circular")
    return squares(*(F.pad(x, (2, 1, 1, 2), mode=mode) for mode in modes))


def sizes(x: Tensor) -> Tensor:
    row, block = x[:, :, 0], x[:, None, :, :4, :4]
    return squares(
        F.interpolate(x, scale_factor=2.3, mode="nearest-exact"),
        F.interpolate(row, scale_factor=2),
        F.interpolate(row, scale_factor=1.5, mode="linear"),
        F.interpolate(block, scale_factor=2, mode="trilinear"),
        F.interpolate(x, size=(3, 4), mode="bilinear", antialias=True),
        F.avg_pool3d(block, 2), F.adaptive_avg_pool3d(block, (1, 3, 2)), nn.LocalResponseNorm(2)(x),
    )  # fmt: skip


def columns(x: Tensor) -> Tensor:
    return squares(
        F.unfold(x, 3, padding=1, stride=2), F.fold(F.unfold(x, 3, padding=1), (6, 7), 3, padding=1)
    )


def warps(x: Tensor, theta: Tensor) -> Tensor:
    parts = []
    for mode, padding, aligned in (
        ("bilinear", "zeros", False), ("bilinear", "border", True), ("bilinear", "reflection", False),
        ("nearest", "zeros", True),
    ):  # fmt: skip
        grid = F.affine_grid(theta.view(-1, 2, 3), list(x.shape), align_corners=aligned)
        parts.append(F.grid_sample(x, grid, mode, padding, aligned))
    return squares(*parts)


def recurrent() -> Callable[[Tensor], Tensor]:
    layers = nn.ModuleList(
        [nn.LSTM(5, 4, batch_first=True), nn.GRU(5, 4, batch_first=True), nn.LSTMCell(5, 4)]
    )

    def objective(x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(x.shape[0], 4)
        steps = x.new_zeros(x.shape[0], x.shape[1], 4)
        for t in range(x.shape[1]):
            hidden, cell = layers[2](x[:, t], (hidden, cell))
            steps[:, t] = hidden
        return squares(layers[0](x)[0], layers[1](x)[0], steps)

    return objective


def weights_per_sample() -> Callable[[Tensor, Tensor], Tensor]:
    plain, transposed = nn.Linear(6, 4 * 2 * 9), nn.Linear(6, 2 * 4 * 9)

    def objective(x: Tensor, style: Tensor) -> Tensor:
        n = x.shape[0]
        wide = x.reshape(1, n * 2, *x.shape[2:])
        once = F.conv2d(wide, plain(style).view(n * 4, 2, 3, 3), padding=1, stride=2, groups=n)
        twice = F.conv_transpose2d(
            wide, transposed(style).view(n * 2, 4, 3, 3), padding=1, stride=2, groups=n
        )
        return squares(once.view(n, 4, *once.shape[2:]), twice.view(n, 4, *twice.shape[2:]))

    return objective


def spectra() -> Callable[[Tensor], Tensor]:
    window, phases = torch.hann_window(5), _random(3)
    turn = torch.complex(_random(5, 3), _random(5, 3, seed=2))

    def objective(x: Tensor) -> Tensor:
        rows, whole = torch.fft.rfft(x * window), torch.fft.fft2(x, norm="ortho")
        moved = torch.fft.ifft2(whole * whole.conj() / (whole.abs() + 0.1))
        kept = torch.fft.irfft(rows * torch.exp(1j * phases), n=5)
        mixed = x.to(torch.complex64) @ turn
        spectrum = torch.log(torch.fft.rfft2(x).abs() + 1e-3)
        return squares(rows.abs(), torch.angle(mixed + 0.1), moved.real, kept, mixed.imag, spectrum)

    return objective


def limits(x: Tensor) -> Tensor:
    return squares(x.clamp(-0.2, 1), torch.polygamma(1, x.square() + 0.3))


def masked_attention() -> Callable[[Tensor], Tensor]:
    layer = nn.MultiheadAttention(4, 2, batch_first=True).eval()
    later = torch.triu(torch.ones(3, 3, dtype=torch.bool), 1)
    return lambda x: squares(layer(x, x, x, attn_mask=later)[0])


def statistics_of_the_batch(x: Tensor) -> Tensor:
    return squares(x + x.std(0, unbiased=False).mean())


def numbers(x: Tensor) -> Tensor:
    inside = x.tanh() * 0.9
    return squares(
        x.prod(2), x.cumprod(2), torch.hypot(x[:, 0], x[:, 1]), torch.atanh(inside), torch.erfinv(inside),
        torch.lgamma(x.sigmoid() + 0.1), torch.cdist(x, PAIRS.expand(x.shape[0], -1, -1)),
        nn.RReLU().eval()(x),
        torch.einsum("nij,kj->nik", x, MATRIX), F.bilinear(x, x, MATRIX[None, :, :].repeat(2, 2, 1)[:, :5]),
    )  # fmt: skip


def codebook(x: Tensor) -> Tensor:
    nearest = PAIRS[torch.cdist(x, PAIRS).argmin(-1)]
    return squares(x + (nearest - x).detach()) + (nearest.detach() - x).square().flatten(1).sum(1)


def factors(x: Tensor) -> Tensor:
    definite = x @ x.mT + 3 * torch.eye(3)
    factor = torch.linalg.cholesky(definite)
    return squares(factor, torch.linalg.solve_triangular(factor, SIDE, upper=False))


def reductions(x: Tensor) -> Tensor:
    groups, rows = torch.tensor([0, 3, 0, 2]), torch.full_like(x, 0.5)
    whole = groups[:, None].expand(x.shape)
    return squares(
        rows.scatter_reduce(1, whole, x, "mean", include_self=False),
        rows.scatter_reduce(2, whole, x, "amax"),
        rows.index_reduce(1, groups, x, "amin", include_self=False),
    )


def special(x: Tensor) -> Tensor:
    share, wide = x.sigmoid(), 4 * x
    return squares(
        torch.special.i1(wide), torch.special.ndtri(share), torch.copysign(share, x),
        torch.fmin(x, share), x * torch.fft.rfftfreq(8) * torch.fft.fftfreq(5, 0.5),
    )  # fmt: skip


def bags(x: Tensor, places: Tensor) -> Tensor:
    weight, spread = PAIRS[:, :4], F.max_pool2d(x, 2, return_indices=True)
    return squares(
        F.embedding_bag(places, weight, mode="sum", per_sample_weights=x[:, 0, :3, 0], padding_idx=0),
        *(F.embedding_bag(places, weight, mode=way, padding_idx=0) * x[:, 0, 0] for way in ("mean", "max")),
        F.max_unpool2d(*spread, 2),
        F.multilabel_margin_loss(
            x[:, 0, 0], torch.tensor([[2, 0, -1, 3]]).expand(x.shape[0], 4), reduction="none"
        )[:, None],
    )


def of_higher_order(x: Tensor) -> Tensor:
    def energy(row: Tensor) -> Tensor:
        return (row @ MATRIX[:2, :2]).sin().sum()

    def tension(row: Tensor) -> Tensor:
        return (row[1:] - row[:-1]).square().sum() * row[..., 0, None].sin().sum()

    return squares(torch.vmap(torch.func.hessian(energy))(x), torch.vmap(torch.func.grad(tension))(x))


def systems(x: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(x @ x.mT + 3 * torch.eye(2))
    return squares(
        torch.cholesky_solve(SIDE[:2], factor), torch.linalg.matrix_norm(x, ord=1)[:, None],
        torch.linalg.multi_dot([x[:, 0], MATRIX[:2], PAIRS.T]), torch.vmap(torch.corrcoef)(x),
    )  # fmt: skip


def spectra_of_matrices(x: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(x + x.mT)
    u, sizes, v = torch.linalg.svd(x)
    return squares(values, vectors[:, :, 0].square(), u @ v, sizes)


def volumes(x: Tensor, places: Tensor) -> Tensor:
    return squares(
        F.grid_sample(x, places[:, :, None, None], "bilinear", "zeros", True),
        F.grid_sample(x[:, :, 0], places[:, None, :, :2], "bicubic", "border", False),
        F.max_pool3d(x.relu(), (2, 2, 1), stride=1),
    )


def of_constants(x: Tensor) -> Tensor:
    turned = torch.stack([x * math.cos(angle) for angle in SIDE[:, 0]], 1)
    return squares(
        turned, torch.sparse.mm(SPARSE, x.T).T, (SPARSE @ x.mT).mT, MATRIX[:1].expand(len(x), -1) * x,
    )  # fmt: skip


def rotations(x: Tensor) -> Tensor:
    return squares(torch.linalg.matrix_exp(x - x.mT))


def unknown_densities(x: Tensor) -> Tensor:
    normal = Normal(x, x.exp())
    return squares(kl_divergence(normal, Normal(0.0, 1.0)))


def densities() -> Callable[[Tensor], Tensor]:
    turned = nn.utils.parametrizations.orthogonal(nn.Linear(5, 5))

    def objective(x: Tensor) -> Tensor:
        return F.gaussian_nll_loss(x, turned(x), x.square(), full=True, eps=0.1, reduction="none").sum(1)

    return objective


class OwnSlope(torch.autograd.Function):
    """A gradient that is not the slope: the graph has to have it all the same."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.cos(x)


def own_gradient(x: Tensor) -> Tensor:
    return squares(OwnSlope.apply(x * 3))


def other_precision() -> Callable[[Tensor], Tensor]:
    layer = nn.Linear(5, 4)
    plain = nn.Sequential(nn.Linear(5, 3), nn.ReLU()).eval()

    def objective(x: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what PyTorch's compiler imports
            compiled = torch.compile(plain)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = layer(x)
        return squares(y.float(), compiled(x))

    return objective


def _x(*shape: int) -> Inputs:
    return {"x": _random(2, *shape, seed=5)}


_IDENTITY = torch.tensor([1.0, 0, 0, 0, 1, 0])

OBJECTIVES: dict[str, tuple[Callable[..., Tensor], Inputs, str | tuple[str, ...]]] = {
    "picked and scattered": (picks, {**_x(4, 5), "places": torch.tensor([[[2], [0], [2]]] * 2)}, "x"),
    "largest, middle, sorted": (orders, _x(4, 5), "x"),
    "labels": (labels, {**_x(5), "label": torch.tensor([1, 4])}, "x"),
    "written into": (writes, _x(4, 5), "x"),
    "borders": (borders, _x(2, 6, 7), "x"),
    "other sizes": (sizes, _x(2, 6, 7), "x"),
    "windows": (columns, _x(2, 6, 7), "x"),
    "warped": (warps, {**_x(2, 6, 7), "theta": _IDENTITY + 0.1 * _random(2, 6)}, ("x", "theta")),
    "recurrent layers": (recurrent(), _x(3, 5), "x"),
    "weights of each sample": (weights_per_sample(), {**_x(2, 6, 7), "style": _random(2, 6)}, ("x", "style")),
    "spectra": (spectra(), _x(6, 5), "x"),
    "written into constants": (masked_attention(), _x(3, 4), "x"),
    "limits of two types": (limits, _x(5), "x"),
    "statistics of the batch": (statistics_of_the_batch, _x(3, 4, 4), "x"),
    "functions of numbers": (numbers, _x(4, 5), "x"),
    "a codebook": (codebook, _x(3, 5), "x"),
    "reduced by places": (reductions, _x(4, 5), "x"),
    "special functions": (special, _x(5), "x"),
    "bags of rows": (bags, {**_x(2, 4, 4), "places": torch.tensor([[1, 0, 2], [0, 2, 2]])}, "x"),
    "of higher order": (of_higher_order, _x(2), "x"),
    "systems": (systems, _x(2, 2), "x"),
    "spectra of matrices": (spectra_of_matrices, _x(2, 2), "x"),
    "volumes": (volumes, {**_x(1, 2, 3, 2), "places": 0.7 * _random(2, 2, 3)}, ("x", "places")),
    "made of constants": (of_constants, _x(5), "x"),
    "exponentials of matrices": (rotations, _x(2, 2), "x"),
    "densities of inputs": (unknown_densities, _x(5), "x"),
    "Cholesky": (factors, _x(3, 3), "x"),
    "densities": (densities(), _x(5), "x"),
    "a gradient of its own": (own_gradient, _x(5), "x"),
    "autocast and compiled": (other_precision(), _x(5), "x"),
}
