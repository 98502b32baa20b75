import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
import safetensors.torch
import torch

from edgefill.errors import ModelError, OutputError
from edgefill.training.checkpoint import (
    LAST,
    PREVIOUS,
    Checkpoint,
    load_checkpoint,
    part,
    read_checkpoint,
    save_checkpoint,
)


def checkpoint(step):
    tensors = {"G.weight": torch.full((3, 2), float(step)), "random": torch.arange(5, dtype=torch.uint8)}
    return Checkpoint(tensors, {"step": step, "config": "{}"})


@contextmanager
def largest_file(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_saved_is_loaded_and_the_one_before_stays(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, checkpoint(step))
    loaded, damage = load_checkpoint(tmp_path)
    assert loaded.state == {"step": 3, "config": "{}"} and damage == ""
    assert torch.equal(loaded.tensors["G.weight"], torch.full((3, 2), 3.0))
    assert read_checkpoint(tmp_path / PREVIOUS).state["step"] == 2


def test_tensors_in_another_memory_layout_keep_their_values(tmp_path):
    weight = torch.arange(16.0).reshape(2, 2, 2, 2).to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path, Checkpoint({"w": weight}, {}))
    assert torch.equal(load_checkpoint(tmp_path)[0].tensors["w"], weight)


def test_part_strips_the_prefix_and_takes_no_longer_names():
    tensors = {"G.a": torch.zeros(1), "G_ema.a": torch.ones(1)}
    assert part(tensors, "G") == {"a": tensors["G.a"]}


def test_every_truncation_and_every_flipped_bit_is_noticed(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    file, whole = tmp_path / LAST, (tmp_path / LAST).read_bytes()
    random = np.random.default_rng(0)
    for length in np.linspace(0, len(whole) - 1, 21).astype(int):
        file.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="damaged"):
            read_checkpoint(file)
    for bit in random.integers(0, len(whole) * 8, 400):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        with pytest.raises(ModelError):
            read_checkpoint(file)
    file.write_bytes(random.bytes(500))
    with pytest.raises(ModelError, match="damaged"):
        read_checkpoint(file)


def test_a_damaged_last_one_gives_way_to_the_one_before_and_is_named(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    save_checkpoint(tmp_path, checkpoint(2))
    content = bytearray((tmp_path / LAST).read_bytes())
    content[-1] ^= 1
    (tmp_path / LAST).write_bytes(content)
    loaded, damage = load_checkpoint(tmp_path)
    assert loaded.state["step"] == 1
    assert LAST in damage and "SHA-256" in damage


def test_a_missing_last_one_gives_way_too(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    (tmp_path / LAST).rename(tmp_path / PREVIOUS)
    loaded, damage = load_checkpoint(tmp_path)
    assert loaded.state["step"] == 1 and "missing" in damage


def test_nothing_whole_is_a_model_error_that_names_both(tmp_path):
    with pytest.raises(ModelError, match=f"(?s){LAST}.*missing.*{PREVIOUS}.*missing"):
        load_checkpoint(tmp_path)


def test_another_safetensors_file_is_told_by_its_format(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / LAST, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"its format is 'pt', expected 'edgefill\.training/1'"):
        read_checkpoint(tmp_path / LAST)


def test_a_pickle_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    torch.save(Trap(), tmp_path / LAST)
    with pytest.raises(ModelError):
        read_checkpoint(tmp_path / LAST)
    assert not (tmp_path / "sprung").exists()


def test_a_full_disk_keeps_both_old_ones_and_leaves_nothing_behind(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    save_checkpoint(tmp_path, checkpoint(2))
    with largest_file(200), pytest.raises(OutputError, match=r"MB free.*needs \d+\.\d MB"):
        save_checkpoint(tmp_path, checkpoint(3))
    assert load_checkpoint(tmp_path)[0].state["step"] == 2
    assert read_checkpoint(tmp_path / PREVIOUS).state["step"] == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [PREVIOUS, LAST]
