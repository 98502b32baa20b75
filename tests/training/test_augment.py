"""What D is shown: changed pictures, through which G still learns."""

import torch

from edgefill.training.augment import augmented


def drawn(pictures, seed=0):
    return augmented(pictures, torch.Generator().manual_seed(seed))


def test_the_shape_stays_and_the_same_seed_changes_alike():
    pictures = torch.rand(5, 3, 16, 16) * 2 - 1
    changed = drawn(pictures)
    assert changed.shape == pictures.shape and changed.isfinite().all()
    assert torch.equal(changed, drawn(pictures)) and not torch.equal(changed, drawn(pictures, seed=1))
    assert not torch.isclose(changed, pictures).all(dim=(1, 2, 3)).any()


def test_a_square_of_half_the_side_is_cut_out_of_each_picture():
    changed = drawn(torch.ones(400, 1, 16, 16))
    empty = (changed == 0).float().mean(dim=(1, 2, 3))
    edge = 1 - (14 / 16) ** 2  # comes in from outside, empty
    assert empty.mean() > 0.1 and empty.max() <= 1 / 4 + edge + 1e-6


def test_pictures_move_by_an_eighth_at_most():
    pictures = torch.full((200, 1, 16, 16), -0.9)
    pictures[:, :, 8, 8] = 1.0
    brightest = drawn(pictures).flatten(1).argmax(1)
    rows, columns = brightest // 16, brightest % 16
    kept = drawn(pictures)[:, 0].amax((1, 2)) > 0.6  # not under the cut-out square
    assert kept.sum() > 50
    assert ((rows[kept] - 8).abs() <= 2).all() and ((columns[kept] - 8).abs() <= 2).all()
    assert len(set(rows[kept].tolist())) == 5


def test_the_gradient_flows_back_to_the_pictures():
    pictures = (torch.rand(3, 3, 16, 16) * 2 - 1).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda values: drawn(values).sum((1, 2, 3)), pictures, fast_mode=True)


def test_grey_stays_grey():
    grey = (torch.rand(4, 1, 16, 16) * 2 - 1).expand(4, 3, 16, 16)
    changed = drawn(grey)
    assert torch.allclose(changed[:, :1].expand_as(changed), changed)
