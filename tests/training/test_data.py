import numpy as np
import pytest
from PIL import Image

from edgefill.errors import InputError
from edgefill.training.data import Batches, Pictures, load_pictures


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def test_pictures_of_nested_folders_are_cropped_to_the_centre_and_scaled(tmp_path):
    wide = np.zeros((16, 48))
    wide[:, 16:32] = 200
    save(tmp_path / "deep" / "er" / "wide.png", wide)
    save(tmp_path / "exact.png", np.arange(64).reshape(8, 8))
    exact, wide = values = load_pictures(tmp_path, 8).values
    assert values.shape == (2, 1, 8, 8) and values.dtype == np.uint8
    assert (wide > 180).all()  # no margin; the filter sees a little of it
    assert (exact[0] == np.arange(64).reshape(8, 8)).all()


def test_colour_is_found_and_can_be_chosen(tmp_path):
    save(tmp_path / "a.png", np.full((8, 8), 100))
    assert load_pictures(tmp_path, 8).values.shape[1] == 1
    save(tmp_path / "b.png", np.full((8, 8, 3), (255, 0, 0)))
    both = load_pictures(tmp_path, 8).values
    assert both.shape == (2, 3, 8, 8)
    assert both[1, :, 0, 0].tolist() == [255, 0, 0] and both[0, :, 0, 0].tolist() == [100, 100, 100]
    assert load_pictures(tmp_path, 8, channels=1).values[1, 0, 0, 0] == 76  # the luminance of red


def test_what_cannot_be_read_or_is_gone_is_skipped_with_its_reason(tmp_path):
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.png", np.full((8, 8), 9))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:50])

    def losing_one(files):
        (tmp_path / "c.png").unlink()
        return files

    pictures = load_pictures(tmp_path, 8, track=losing_one)
    assert len(pictures) == 1
    assert [file.name for file, reason in pictures.skipped] == ["b.png", "c.png"]
    assert all(reason for _, reason in pictures.skipped)


def test_a_folder_without_a_readable_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_pictures(tmp_path / "none", 8)
    with pytest.raises(InputError, match="no picture"):
        load_pictures(tmp_path, 8)
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of its 1 pictures can be read"):
        load_pictures(tmp_path, 8)


def numbered(count):
    """Pictures that tell their number in the first column and whether they are mirrored."""
    values = np.zeros((count, 1, 8, 8), np.uint8)
    values[:, 0, :, 0] = np.arange(1, count + 1)[:, None]
    return Pictures(values)


def test_each_epoch_shows_every_picture_once_in_another_order():
    batches = Batches(numbered(12), 4, seed=0, mirror=True)
    assert batches.per_epoch == 3
    shown = [np.concatenate([batches[step] for step in range(e * 3, e * 3 + 3)]) for e in range(2)]
    orders = [epoch.max(axis=(1, 2, 3)).tolist() for epoch in shown]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(1, 13))
    assert orders[0] != orders[1]
    mirrored = np.concatenate([epoch[:, 0, 0, 7] for epoch in shown]) > 0
    assert 4 < mirrored.sum() < 20


def test_a_step_sees_the_same_pictures_however_one_came_there():
    straight = Batches(numbered(12), 4, seed=5, mirror=True)
    for step in range(5):
        straight[step]
    resumed = Batches(numbered(12), 4, seed=5, mirror=True)
    assert (straight[5] == resumed[5]).all()
    assert (resumed[5] != Batches(numbered(12), 4, seed=6, mirror=True)[5]).any()


def test_batches_leave_the_pictures_as_they_are():
    pictures = numbered(4)
    before = pictures.values.copy()
    Batches(pictures, 4, seed=1, mirror=True)[0]
    assert (pictures.values == before).all()
    assert (Batches(pictures, 4, seed=1, mirror=False)[0][:, 0, 0, 7] == 0).all()


def test_fewer_pictures_than_a_batch_make_a_smaller_one():
    batches = Batches(numbered(1), 64, seed=0, mirror=False)
    assert batches[0].shape == (1, 1, 8, 8) and batches.per_epoch == 1


def test_what_a_training_wrote_among_its_pictures_is_not_trained_on(tmp_path):
    run = tmp_path / "run"
    for place in (tmp_path, run / "samples", run / "encoder" / "samples", tmp_path / "samples"):
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "a.png")
    (run / "config.json").write_text("{}")
    (run / "encoder" / "config.json").write_text("{}")
    assert len(load_pictures(tmp_path, 8)) == 2
