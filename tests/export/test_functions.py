"""Forms of PyTorch's functions have its values and its gradients."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from edgefill.export import functions, recursions
from tests.export.agreeing import agree, noise


def test_differences_along_several_dimensions():
    for options in ({}, {"dim": 1}, {"dim": (2, 0), "spacing": (0.5, 2.0), "edge_order": 2}):
        agree(
            lambda x, options=options: torch.stack(tuple(functions.gradient(x, **options))),
            lambda x, options=options: torch.stack(tuple(torch.gradient(x, **options))),
            noise(3, 4, 5),
        )


def test_least_squares_of_tall_and_of_wide_matrices():
    def solution(of):
        return lambda a, b: of(a, b).solution

    for shape in ((4, 3), (3, 4)):
        a, b = noise(2, *shape), noise(2, shape[0], 2)
        agree(solution(functions.lstsq), solution(torch.linalg.lstsq), a, b)
    a, row = noise(2, 4, 3), noise(2, 4)
    found = functions.lstsq(a, row).solution
    torch.testing.assert_close(found, torch.linalg.lstsq(a, row.unsqueeze(-1)).solution.squeeze(-1))


def test_alignments_of_lines_of_several_lengths():
    frames, labels = torch.tensor([5, 4, 3, 2]), torch.tensor([3, 2, 2, 0])
    targets = torch.tensor([[1, 1, 2], [2, 1, 0], [3, 3, 0], [0, 0, 0]])
    for reduction in ("none", "mean"):
        agree(
            lambda x, way=reduction: recursions.ctc_loss(x, targets, frames, labels, 0, way),
            lambda x, way=reduction: F.ctc_loss(x, targets, frames, labels, 0, way),
            noise(5, 4, 4),
        )
    short = torch.tensor([2, 4, 3, 2])  # in which three labels cannot be
    found = recursions.ctc_loss(noise(5, 4, 4), targets, short, labels, 0, "none", zero_infinity=True)
    assert found[0] == 0 and torch.isfinite(found).all()


def test_bags_from_offsets():
    places, offsets = torch.tensor([2, 0, 1, 1, 2]), torch.tensor([0, 2, 2, 5])
    for options in ({}, {"mode": "sum"}, {"mode": "max", "padding_idx": 0}):
        for ends, given in ((False, offsets[:3]), (True, offsets)):
            agree(
                lambda rows, ends=ends, given=given, options=options: functions.embedding_bag(
                    places, rows, given, include_last_offset=ends, **options
                ),
                lambda rows, ends=ends, given=given, options=options: F.embedding_bag(
                    places, rows, given, include_last_offset=ends, **options
                ),
                noise(3, 4),
            )
