import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgefill.errors import InputError, ModelError
from edgefill.training import trainer as module
from edgefill.training.checkpoint import LAST, PREVIOUS, load_checkpoint, read_checkpoint, save_checkpoint
from edgefill.training.data import Pictures
from edgefill.training.losses import generator_loss


def steps_in(run):
    return [json.loads(line)["step"] for line in (run / "stats.jsonl").read_text().splitlines()]


def assert_same_training(one, other):
    (first, _), (second, _) = load_checkpoint(one), load_checkpoint(other)
    assert first.state == second.state and first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())


class Killed(BaseException):
    """What ends a process at once, as far as one process can play it."""


def killing_at(step):
    def on_step(progress):
        if progress.step == step:
            raise Killed

    return on_step


def test_a_run_leaves_what_its_folder_promises(tmp_path, run_tiny):
    assert run_tiny(tmp_path / "run") == 15
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert names == {"config.json", LAST, PREVIOUS, "stats.jsonl", "samples", "tensorboard", ".lock"}
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 3
    assert steps_in(tmp_path / "run") == list(range(1, 16))


def test_progress_counts_steps_and_epochs(tmp_path, run_tiny):
    seen = []
    run_tiny(tmp_path / "run", on_step=seen.append)
    assert [progress.epoch for progress in seen] == [1] * 5 + [2] * 5 + [3] * 5
    assert [progress.step for progress in seen if progress.epoch_ended] == [5, 10, 15]


@pytest.mark.parametrize("step", [1, 2, 7, 13])
def test_killed_and_resumed_is_bit_identical_to_never_stopped(tmp_path, run_tiny, step):
    run_tiny(tmp_path / "straight")
    with pytest.raises(Killed):
        run_tiny(tmp_path / "killed", on_step=killing_at(step))
    run_tiny(tmp_path / "killed", resume=True)
    assert_same_training(tmp_path / "straight", tmp_path / "killed")
    assert steps_in(tmp_path / "killed") == list(range(1, 16))


def test_a_stop_saves_the_step_and_resumes_identically(tmp_path, run_tiny):
    run_tiny(tmp_path / "straight")
    seen = []
    steps = run_tiny(tmp_path / "run", on_step=seen.append, stopping=lambda: len(seen) == 7)
    assert steps == 7 and load_checkpoint(tmp_path / "run")[0].state["step"] == 7
    run_tiny(tmp_path / "run", resume=True)
    assert_same_training(tmp_path / "straight", tmp_path / "run")


def test_a_damaged_checkpoint_costs_a_warning_and_a_few_steps(tmp_path, run_tiny):
    run_tiny(tmp_path / "straight")
    with pytest.raises(Killed):
        run_tiny(tmp_path / "run", on_step=killing_at(9))
    (tmp_path / "run" / LAST).write_bytes(b"torn")
    said = []
    run_tiny(tmp_path / "run", resume=True, warn=said.append)
    assert len(said) == 1 and LAST in said[0] and "step 6" in said[0]
    assert_same_training(tmp_path / "straight", tmp_path / "run")
    assert (tmp_path / "run" / "damaged.safetensors").read_bytes() == b"torn"


def test_more_epochs_may_be_asked_for(tmp_path, run_tiny):
    run_tiny(tmp_path / "long", epochs=4)
    run_tiny(tmp_path / "short")
    assert run_tiny(tmp_path / "short", epochs=4, resume=True) == 20
    assert_same_training(tmp_path / "long", tmp_path / "short")


def test_another_recipe_is_refused_by_key_old_and_new(tmp_path, run_tiny):
    run_tiny(tmp_path / "run", epochs=1)
    with pytest.raises(InputError, match=r"another lr: it was 0\.0002 and is 0\.1"):
        run_tiny(tmp_path / "run", lr=0.1, resume=True)


def test_other_pictures_are_refused(tmp_path, run_tiny, blobs):
    run_tiny(tmp_path / "run", epochs=1)
    with pytest.raises(InputError, match="other pictures"):
        run_tiny(tmp_path / "run", replace(blobs, values=255 - blobs.values), resume=True)


def test_a_loss_that_breaks_keeps_the_last_good_checkpoint(tmp_path, run_tiny, monkeypatch):
    def breaking(fake):
        breaking.calls += 1
        return generator_loss(fake) * (float("nan") if breaking.calls == 11 else 1)

    breaking.calls = 0
    monkeypatch.setattr(module, "generator_loss", breaking)
    with pytest.raises(ModelError, match="broke at step 5"):
        run_tiny(tmp_path / "run", generator_updates=2)
    good = read_checkpoint(tmp_path / "run" / LAST)
    assert good.state["step"] == 5
    assert all(tensor.isfinite().all() for tensor in good.tensors.values())


def test_weights_that_break_without_the_loss_are_never_saved(tmp_path, run_tiny, monkeypatch):
    monkeypatch.setattr(
        module, "update_average", lambda G_ema, G, decay, step: next(G.parameters()).data.fill_(float("nan"))
    )
    with pytest.raises(ModelError, match="broke at step 1: a weight is NaN"):
        run_tiny(tmp_path / "run", checkpoint_every=1)
    assert read_checkpoint(tmp_path / "run" / LAST).state["step"] == 0


def test_two_trainings_do_not_share_a_folder(tmp_path, run_tiny):
    def second(progress):
        with pytest.raises(InputError, match="another training is writing"):
            run_tiny(tmp_path / "run", resume=True)

    run_tiny(tmp_path / "run", epochs=1, on_step=second)
    assert steps_in(tmp_path / "run") == list(range(1, 6))


def test_one_picture_is_enough(tmp_path, run_tiny):
    one = Pictures(np.full((1, 1, 8, 8), 50, np.uint8))
    with warnings.catch_warnings():
        assert run_tiny(tmp_path / "run", one, batch=64) == 3


def test_a_run_of_a_time_when_recipes_were_written_otherwise_goes_on(tmp_path, run_tiny):
    """In another order, and without the number of processes."""
    run_tiny(tmp_path / "straight", epochs=2)
    run_tiny(tmp_path / "old", epochs=1)
    old, _ = load_checkpoint(tmp_path / "old")
    config = json.dumps(dict(reversed(json.loads(old.state["config"]).items())))
    state = {**old.state, "config": config}
    del state["processes"]
    save_checkpoint(tmp_path / "old", replace(old, state=state))
    (tmp_path / "old" / "config.json").write_text(config)
    assert run_tiny(tmp_path / "old", epochs=2, resume=True) == 10
    assert_same_training(tmp_path / "straight", tmp_path / "old")
