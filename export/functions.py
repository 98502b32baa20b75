"""PyTorch's functions that cannot be traced, or ask for the batch as a number, in forms that do not."""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._functorch import eager_transforms
from torch.nn import _reduction as _Reduction
from torch.nn import functional as f
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from edgefill.export.recursions import ctc_loss

_embedding_bag, _cov, _split = f.embedding_bag, torch.cov, Tensor.split
_matrix_norm, _norm, _solve = torch.linalg.matrix_norm, torch.linalg.norm, torch.linalg.solve
_gradient, _getitem, _len = torch.gradient, Tensor.__getitem__, len


def affine_grid(theta: Tensor, size: Any, align_corners: bool) -> Tensor:
    """Where each pixel [N, (D,) H, W, 2 or 3] of pictures of ``size`` is taken from; ``theta [N, 2, 3]``.

    PyTorch's own gradient of it asks for the batch as a number.
    """
    sides = [int(side) for side in size[2:]]
    places = torch.meshgrid(*(_centres(side, align_corners, theta.dtype) for side in sides), indexing="ij")
    points = torch.stack([*reversed(places), torch.ones_like(places[0])], -1).reshape(1, -1, len(sides) + 1)
    return (points @ theta.mT).unflatten(1, sides)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """−log of the normal density of ``target``, without the constant unless ``full`` (Nix and Weigend 1994).

    PyTorch's own asks whether any variance is negative.
    """
    variance = var if isinstance(var, Tensor) else torch.full_like(input, var)
    if variance.dim() < input.dim() and variance.shape == input.shape[:-1]:
        variance = variance.unsqueeze(-1)
    # The limit is no part of the gradient.
    limited = variance + (variance.clamp(min=eps) - variance).detach()
    loss = 0.5 * (limited.log() + (input - target) ** 2 / limited)
    loss = loss + 0.5 * math.log(2 * math.pi) if full else loss
    return _reduced(loss, reduction)


def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """What ``x`` has at ``indices`` of ``dim``; other dimensions of one place count for all.

    PyTorch's own asks for the batch as a number.
    """
    if dim is None:
        return x.flatten()[indices.flatten()]
    for axis in range(x.dim()):
        if axis != dim % x.dim():
            one, other = x.shape[axis], indices.shape[axis]
            x = x.expand(*(other if place == axis and one == 1 else -1 for place in range(x.dim())))
            indices = indices.expand(
                *(one if place == axis and other == 1 else -1 for place in range(x.dim()))
            )
    return x.gather(dim, indices)


def jvp(
    function: Callable[..., Any],
    primals: Any,
    tangents: Any,
    argnums: Any = None,
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """What ``function`` returns, and its derivative in the direction of ``tangents``.

    By the gradient of a gradient: PyTorch's forward mode asks for the batch as a number.
    """
    chosen = argnums if argnums is None or isinstance(argnums, tuple) else (argnums,)
    places = list(range(len(primals)) if chosen is None else (place % len(primals) for place in chosen))

    def of_chosen(*varied: Any) -> Any:
        whole = list(primals)
        for place, value in zip(places, varied, strict=True):
            whole[place] = value
        return function(*whole)

    result, pull, *aux = torch.func.vjp(of_chosen, *(primals[place] for place in places), has_aux=has_aux)
    _, push = torch.func.vjp(pull, tree_map(torch.zeros_like, result))
    return (result, push(tuple(tangents))[0], *aux)


def split(x: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Of one piece the whole, as torch.func's derivatives ask for: its gradient would ask for the batch."""
    whole = not isinstance(split_size, int) and len(split_size) == 1
    return (x,) if whole else _split(x, split_size, dim)


def embedding_bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, *more: Any, **options: Any
) -> Tensor:
    """The mean, the sum or the largest of the rows of ``weight`` that each row of ``input [N, B]`` names.

    Or those of ``input [B]`` from each of ``offsets [N]`` to the next.
    """
    names = ("max_norm", "norm_type", "scale_grad_by_freq", "mode", "sparse", "per_sample_weights",
             "include_last_offset", "padding_idx")  # fmt: skip
    options = {**dict(zip(names, more, strict=False)), **options}
    if options.get("max_norm") is not None:
        return _embedding_bag(input, weight, offsets, **options)
    mode, scale, padding = (options.get(name) for name in ("mode", "per_sample_weights", "padding_idx"))
    rows = f.embedding(input, weight)
    counted = torch.ones_like(input) if padding is None else (input != padding % len(weight)).long()
    if offsets is not None:
        counted = counted * _bags(offsets, input.shape[0], last=bool(options.get("include_last_offset")))
        rows = rows.unsqueeze(0)
    if mode == "max":
        found = rows.masked_fill(counted.unsqueeze(-1) == 0, -math.inf).amax(1)
        return torch.where(counted.any(1, keepdim=True), found, torch.zeros_like(found))
    share = counted.to(rows.dtype) if scale is None else counted * scale
    total = (rows * share.unsqueeze(-1)).sum(1)
    return total if mode == "sum" else total / counted.sum(1, keepdim=True).clamp(min=1)


def _bags(offsets: Tensor, count: int, *, last: bool) -> Tensor:
    """Whether each of ``count`` places lies in each bag [N, count]; the ``last`` offset may be its end."""
    ends = offsets[1:] if last else torch.cat([offsets[1:], torch.full((1,), count)])
    place = torch.arange(count)
    begun = place >= (offsets[:-1] if last else offsets)[:, None]
    return (begun & (place < ends[:, None])).long()


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ max(0, 1 - x[target] + x[other]) / C over the labels in front of the first -1 and all others.

    What PyTorch writes it in while tracing counts the labels behind too.
    """
    if size_average is not None or reduce is not None:
        reduction = _Reduction.legacy_get_string(size_average, reduce, emit_warning=False)
    kept = (target >= 0).long().cumprod(-1) > 0
    label = torch.where(kept, target, 0)
    named = ((label.unsqueeze(-1) == torch.arange(input.shape[-1])) & kept.unsqueeze(-1)).any(-2)
    margins = (1 - input.gather(-1, label).unsqueeze(-1) + input.unsqueeze(-2)).clamp(min=0)
    counted = torch.where(kept.unsqueeze(-1) & ~named.unsqueeze(-2), margins, torch.zeros_like(margins))
    return _reduced(counted.sum((-2, -1)) / input.shape[-1], reduction)


def cov(
    x: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """Covariances of the rows of ``x``. PyTorch's own cannot be traced under torch.vmap."""
    if fweights is not None or aweights is not None:
        return _cov(x, correction=correction, fweights=fweights, aweights=aweights)
    rows = x if x.dim() == 2 else x.reshape(1, -1)
    centred = rows - rows.mean(1, keepdim=True)
    result = centred @ centred.mT / (rows.shape[1] - correction)
    return result.reshape(()) if rows.shape[0] == 1 else result


def corrcoef(x: Tensor) -> Tensor:
    """Correlations of the rows of ``x``, no further from 0 than 1."""
    covariance = cov(x)
    if covariance.dim() == 0:
        return covariance / covariance
    deviation = covariance.diagonal().sqrt()
    return (covariance / deviation[:, None] / deviation).clamp(-1, 1)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """By the inverse within torch.func's transformations, where PyTorch's own asks for the batch."""
    if torch._C._functorch.maybe_current_level() is None:
        return _solve(A, B, left=left)
    inverse = torch.linalg.inv(A)
    if B.dim() == 1 or (B.dim() == A.dim() - 1 and B.shape == A.shape[:-1]):
        return (inverse @ B.unsqueeze(-1)).squeeze(-1)
    return inverse @ B if left else B @ inverse


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of all. PyTorch's own asks for the batch as a number to find the best order."""
    return functools.reduce(torch.matmul, tensors)


def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """PyTorch's own asks for the batch as a number where it is no square root of squares."""
    if ord in (2, -2, "nuc") and not keepdim:
        values = torch.linalg.svdvals(A.movedim(dim, (-2, -1)))
        return values.sum(-1) if ord == "nuc" else values.amax(-1) if ord == 2 else values.amin(-1)
    if ord not in (1, -1, math.inf, -math.inf):
        return _matrix_norm(A, ord, dim, keepdim, dtype=dtype)
    rows, columns = (axis % A.dim() for axis in (dim if abs(float(ord)) == 1 else dim[::-1]))
    sums = (A if dtype is None else A.to(dtype)).abs().sum(rows, keepdim=True)
    norm = (sums.amax if float(ord) > 0 else sums.amin)(columns, keepdim=True)
    if keepdim:
        return norm
    first, last = sorted((rows, columns))
    return norm.squeeze(last).squeeze(first)


def norm(
    A: Tensor, ord: float | str | None = None, dim: Any = None, keepdim: bool = False, **options: Any
) -> Tensor:
    """``torch.linalg.norm``, whose matrices are handed to the form above."""
    places = dim if dim is not None else (-2, -1)
    if ord is None or isinstance(places, int) or len(places) != 2 or A.dim() < 2:
        return _norm(A, ord, dim, keepdim, **options)
    return torch.linalg.matrix_norm(A, ord, tuple(places), keepdim, **options)


def gradient(
    input: Tensor, *, spacing: Any = 1, dim: int | Sequence[int] | None = None, edge_order: int = 1
) -> tuple[Tensor, ...] | list[Tensor]:
    """Central differences along each of ``dim``, one-sided at the ends. PyTorch's own asks for the batch."""
    places = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(places)
    if any(isinstance(step, Tensor) for step in steps):
        return _gradient(input, spacing=spacing, dim=dim, edge_order=edge_order)
    return tuple(
        _differences(input, place, step, edge_order) for place, step in zip(places, steps, strict=True)
    )


def _differences(x: Tensor, dim: int, step: float, edge_order: int) -> Tensor:
    size, near = int(x.shape[dim]), edge_order + 1
    rows = torch.zeros(size, size, dtype=x.dtype)
    ends = (-1.0, 1.0) if edge_order == 1 else (-1.5, 2.0, -0.5)
    for place in range(1, size - 1):
        rows[place, place - 1], rows[place, place + 1] = -0.5, 0.5
    for place, weight in enumerate(ends[:near]):
        rows[0, place], rows[-1, size - 1 - place] = weight, -weight
    return ((rows / step) @ x.movedim(dim, -1).unsqueeze(-1)).squeeze(-1).movedim(-1, dim)


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The x for which A·x is next to ``B``, the smallest of several, for a matrix of full rank."""
    vector = B.dim() == A.dim() - 1 and B.shape == A.shape[:-1]
    b = B.unsqueeze(-1) if vector else B
    tall = A.shape[-2] >= A.shape[-1]
    Q, R = torch.linalg.qr(A if tall else A.mT)
    if tall:
        x = torch.linalg.solve_triangular(R, Q.mT @ b, upper=True)
    else:
        x = Q @ torch.linalg.solve_triangular(R.mT, b, upper=False)
    residuals = (A @ x - b).square().sum(-2) if A.shape[-2] > A.shape[-1] else b.new_zeros(0)
    nothing = b.new_zeros(0)
    x = x.squeeze(-1) if vector else x
    return torch.return_types.linalg_lstsq((x, residuals, nothing.long(), nothing))


def of_dense(product: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """``product``, which takes a constant sparse matrix as an ordinary one: a graph has no other."""

    @functools.wraps(product)
    def of_dense_ones(a: Tensor, b: Tensor) -> Tensor:
        return product(_dense(a), _dense(b))

    return of_dense_ones


def _dense(a: Any) -> Any:
    if not isinstance(a, Tensor) or a.layout == torch.strided:
        return a
    with _disable_current_modes():
        return a.to_dense()


@functools.wraps(_getitem)
def getitem(x: Tensor, item: Any) -> Tensor:
    """By cutting, within torch.vmap: the gradient of a slice asks for the batch there."""
    parts = item if isinstance(item, tuple) else (item,)
    if not _within_vmap() or not x.is_floating_point() or not all(_cuts(part) for part in parts):
        return _getitem(x, item)
    dim = 0
    filled = x.dim() - sum(part is not None and part is not Ellipsis for part in parts)
    for part in parts:
        if part is Ellipsis:
            dim += filled
        elif part is None:
            x, dim = x.unsqueeze(dim), dim + 1
        elif isinstance(part, int):
            place = part % int(x.shape[dim])
            x = _cut(x, dim, place, place + 1).squeeze(dim)
        else:
            first, last, _ = part.indices(int(x.shape[dim]))
            x, dim = _cut(x, dim, first, max(first, last)), dim + 1
    return x


def _within_vmap() -> bool:
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return any(each.key() == torch._C._functorch.TransformType.Vmap for each in stack)


def _cuts(part: Any) -> bool:
    """Whether ``part`` of an index takes one stretch of a dimension."""
    if isinstance(part, slice):
        return part.step in (None, 1)
    return part is None or part is Ellipsis or type(part) is int


def _cut(x: Tensor, dim: int, first: int, last: int) -> Tensor:
    size = int(x.shape[dim])
    if (first, last) == (0, size):
        return x
    return f.pad(x, [0, 0] * (x.dim() - 1 - dim) + [-first, last - size])


def length(of: Any) -> Any:
    """``len``, which of a tensor may be the batch and then is no number."""
    return of.shape[0] if isinstance(of, Tensor) and of.dim() else _len(of)


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    return {"mean": loss.mean, "sum": loss.sum, "none": lambda: loss}[reduction]()


def _centres(side: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    edge = 1.0 if align_corners else 1.0 - 1.0 / side
    return torch.linspace(-edge, edge, side, dtype=dtype) if side > 1 else torch.zeros(1, dtype=dtype)


# Where it is called from, by which name, and what is called instead.
FORMS: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    (torch, "affine_grid_generator", affine_grid),
    (torch, "take_along_dim", take_along_dim),
    (Tensor, "take_along_dim", take_along_dim),
    (f, "gaussian_nll_loss", gaussian_nll_loss),
    (f, "embedding_bag", embedding_bag),
    (f, "multilabel_margin_loss", multilabel_margin_loss),
    (torch, "cov", cov),
    (Tensor, "cov", cov),
    (torch, "corrcoef", corrcoef),
    (Tensor, "corrcoef", corrcoef),
    (torch.linalg, "multi_dot", multi_dot),
    (torch, "chain_matmul", lambda *tensors: multi_dot(tensors)),
    (torch.linalg, "matrix_norm", matrix_norm),
    (torch.linalg, "norm", norm),
    (torch.linalg, "solve", solve),
    (torch.linalg, "lstsq", lstsq),
    (torch, "gradient", gradient),
    (torch, "matmul", of_dense(torch.matmul)),
    (torch, "mm", of_dense(torch.mm)),
    (torch.sparse, "mm", of_dense(torch.mm)),
    (Tensor, "mm", of_dense(Tensor.mm)),
    (Tensor, "matmul", of_dense(Tensor.matmul)),
    (Tensor, "__matmul__", of_dense(Tensor.__matmul__)),
    (builtins, "len", length),
    (Tensor, "__getitem__", getitem),
    (f, "ctc_loss", ctc_loss),
    (torch, "split", split),
    (Tensor, "split", split),
    (eager_transforms, "_jvp_with_argnums", jvp),
)
