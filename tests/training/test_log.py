import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgefill.training.log import STATS, Log
from edgefill.training.stage import Progress


def progress(step):
    return Progress(step, 10, epoch=1, epoch_ended=False, losses={"D": step / 2, "G": step / 4})


def steps_in(run):
    return [json.loads(line)["step"] for line in (run / STATS).read_text().splitlines()]


def test_each_step_is_one_line_with_its_losses(tmp_path):
    with Log(tmp_path, 0) as log:
        log.losses(progress(1))
        log.losses(progress(2))
    lines = [json.loads(line) for line in (tmp_path / STATS).read_text().splitlines()]
    assert lines[1] == {"step": 2, "epoch": 1, "loss_D": 1.0, "loss_G": 0.5} and len(lines) == 2


def test_lines_after_the_checkpoint_and_a_torn_one_are_taken_away(tmp_path):
    with Log(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.losses(progress(step))
    with (tmp_path / STATS).open("a") as file:
        file.write('{"step": 4, "lo')
    with Log(tmp_path, 2) as log:
        assert steps_in(tmp_path) == [1, 2]
        log.losses(progress(3))
    assert steps_in(tmp_path) == [1, 2, 3]


def test_tensorboard_has_the_losses_and_the_samples(tmp_path):
    with Log(tmp_path, 0) as log:
        log.losses(progress(1))
        log.samples(progress(1), np.zeros((4, 1, 8, 8), np.float32))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("loss_G")] == [0.25]
    assert events.Tags()["images"] == ["samples"]
    with Image.open(tmp_path / "samples" / "epoch-0001.png") as sheet:
        assert sheet.size == (28, 28)  # two by two pictures of eight, four apart


@pytest.mark.parametrize("damage", [b"null\n", b"{\n", b"[1]\n", b'{"step": "x"}\n', b"\xff\xfe\n"])
def test_damaged_line_is_cut_with_what_follows(damage, tmp_path):
    good = b'{"step": 1}\n'
    (tmp_path / STATS).write_bytes(good + damage + b'{"step": 2}\n')
    with Log(tmp_path, 5):
        pass
    assert (tmp_path / STATS).read_bytes() == good
