import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from edgefill.cli.app import app
from edgefill.errors import BackendUnavailable, EdgefillError, InputError, ModelError, OutputError
from edgefill.extras import install_line
from edgefill.model.catalogue import find
from edgefill.training import one_pass
from edgefill.training.checkpoint import load_checkpoint

SMALL = ["--size", "8", "--filters", "2", "--z-dim", "4", "--batch", "4", "--device", "cpu"]
RECIPE = [*SMALL, "--epochs", "4", "--checkpoint-every", "7"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(120):
        Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{number}.png")
    return folder


def train(*arguments):
    """Runs the command in this process; what it raises on purpose comes out."""
    done = CliRunner().invoke(app, ["train", *map(str, arguments)])
    if isinstance(done.exception, EdgefillError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def straight(pictures, tmp_path_factory):
    """A run that nothing interrupted, of 120 steps."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    return out, train(pictures, "--out", out, *RECIPE, "--json")


def steps_in(run):
    return [json.loads(line)["step"] for line in (run / "stats.jsonl").read_text().splitlines()]


HELD = """
import sys, time
from pathlib import Path
from edgefill.cli import main
from edgefill.training.log import Log

step, go, losses = int(sys.argv.pop(1)), Path(sys.argv.pop(1)), Log.losses

def held(log, progress):
    losses(log, progress)
    while progress.step == step and not go.exists():
        time.sleep(0.01)

Log.losses = held
main()
"""


@contextmanager
def held(pictures, out, step):
    """A training in a process of its own, which stands at ``step`` inside and goes on behind."""
    go, stats = out.with_name("go"), out / "stats.jsonl"
    command = [sys.executable, "-c", HELD, str(step), go, "train", pictures, "--out", out, *RECIPE]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not stats.exists() or stats.read_bytes().count(b"\n") < step:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    yield process
    go.touch()


def test_json_is_one_document_and_a_pipe_gets_a_line_per_epoch(straight):
    out, done = straight
    document = json.loads(done.stdout)
    assert {key: document[key] for key in ("run", "device", "pictures", "skipped", "steps", "stopped")} == {
        "run": str(out), "device": "cpu", "pictures": 120, "skipped": 0, "steps": 120, "stopped": False,
    }  # fmt: skip
    assert [line.split("  ")[0] for line in done.stderr.splitlines() if line.startswith("epoch")] == [
        f"epoch {number}/4" for number in (1, 2, 3, 4)
    ]
    assert done.stderr.endswith(f"wrote {out}\nnext: edgefill export {out} --out NAME.edgefill\n")
    assert steps_in(out) == list(range(1, 121))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_stopped_by_a_signal_and_resumed_is_bit_identical(pictures, straight, tmp_path, number, code):
    out = tmp_path / "run"
    with held(pictures, out, 50) as process:
        process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == code
    saved = load_checkpoint(out)[0].state["step"]
    assert saved == (49 if number == signal.SIGKILL else 50)
    if number != signal.SIGKILL:
        assert saved == steps_in(out)[-1] and f"saved at step {saved}; go on with --resume" in said
    train(pictures, "--out", out, "--device", "cpu", "--resume")
    assert steps_in(out) == list(range(1, 121))
    expected, resumed = (load_checkpoint(run)[0].tensors for run in (straight[0], out))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in expected.items())


def test_a_full_disk_is_an_output_error_and_the_checkpoint_stays(pictures, tmp_path):
    out = tmp_path / "run"

    def small_files():  # Room for a checkpoint, not for all that TensorBoard gets.
        resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000))

    command = [sys.executable, "-m", "edgefill", "train", pictures, "--out", out, *RECIPE]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files, timeout=300)
    assert done.returncode == 6, done.stderr
    assert "MB free" in done.stderr and "Traceback" not in done.stderr
    assert load_checkpoint(out)[0].state["step"] > 0
    assert not list(out.rglob("*.tmp"))


def test_a_folder_with_a_run_is_not_trained_over(pictures, straight):
    before = (straight[0] / "last.safetensors").read_bytes()
    with pytest.raises(InputError, match="--resume"):
        train(pictures, "--out", straight[0], *RECIPE)
    assert (straight[0] / "last.safetensors").read_bytes() == before


def test_a_resumed_run_keeps_its_recipe_and_refuses_another(pictures, straight):
    with pytest.raises(InputError, match=r"network\.filters: it was 2 and is 3"):
        train(pictures, "--out", straight[0], "--resume", "--filters", 3)


def test_skipped_pictures_are_counted_and_listed(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "good.png")
    (folder / "bad.jpg").write_bytes(b"no picture")
    done = train(folder, "--out", tmp_path / "run", *SMALL, "--epochs", 1)
    assert "skipped: 1 files" in done.stderr and "batches of 1" in done.stderr
    assert "bad.jpg" in (tmp_path / "run" / "skipped.txt").read_text()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["network"]["channels"] == 3


def test_nothing_is_made_for_a_wrong_option(pictures, tmp_path):
    with pytest.raises(InputError, match="20 pixels wide"):
        train(pictures, "--out", tmp_path / "run", "--size", 20)
    with pytest.raises(InputError, match="expected auto, cpu or cuda"):
        train(pictures, "--out", tmp_path / "run", "--device", "tpu")
    assert not (tmp_path / "run").exists()


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture"):
        train(tmp_path / "empty", "--out", tmp_path / "run")


def test_a_place_that_cannot_be_written_fails_before_any_work(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="another folder for --out"):
        train(pictures, "--out", tmp_path / "file" / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_missing_is_never_replaced(pictures, tmp_path):
    with pytest.raises(BackendUnavailable, match="--device cpu"):
        train(pictures, "--out", tmp_path / "run", "--device", "cuda")


def test_without_torch_it_says_what_to_install(pictures, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(BackendUnavailable, match=re.escape(install_line("train"))):
        train(pictures, "--out", tmp_path / "run")


def test_help_loads_no_torch(edgefill):
    code = "import sys, edgefill.cli; sys.exit(bool({'torch', 'safetensors'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert "--resume" in edgefill("train", "--help").out


def test_refused_resume_leaves_the_run_s_pictures_as_they_were(pictures, straight, tmp_path):
    out, other = straight[0], tmp_path / "other"
    other.mkdir()
    for number in range(8):
        Image.new("L", (8, 8), number).save(other / f"{number}.png")
    before = (out / "pictures.txt").read_text()
    with pytest.raises(InputError, match="other pictures"):
        train(other, "--out", out, "--resume")
    assert (out / "pictures.txt").read_text() == before


@pytest.mark.parametrize("text", ["null", "{", '{"kind": "dcgan"}'])
def test_damaged_recipe_is_taken_from_the_checkpoint(pictures, straight, tmp_path, text):
    out = tmp_path / "run"
    shutil.copytree(straight[0], out)
    (out / "config.json").write_text(text)
    with (out / "stats.jsonl").open("a") as log:
        log.write("null\n")
    done = train(pictures, "--out", out, "--resume")
    assert "going on with the recipe of the checkpoint" in done.stderr
    assert json.loads((out / "config.json").read_text())["kind"] == "dcgan"


def test_batch_is_no_larger_than_there_are_pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        Image.new("L", (8, 8), number * 40).save(folder / f"{number}.png")
    options = [*SMALL, "--epochs", 1, "--batch", 60_000]
    done = train(folder, "--out", tmp_path / "run", *options)
    assert "batches of 5" in done.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["batch"] == 5
    train(folder, "--out", tmp_path / "run", *options, "--resume")


def test_memory_that_runs_out_is_said_with_what_to_choose(pictures, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\nframe #0")

    monkeypatch.setattr("edgefill.training.loop.train", fails)
    with pytest.raises(InputError, match="smaller --batch"):
        train(pictures, "--out", tmp_path / "run", *RECIPE)


def test_pipe_gets_a_line_with_the_time_that_is_left(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("edgefill.cli.train._SILENCE", 0)
    done = train(pictures, "--out", tmp_path / "run", *SMALL, "--epochs", 2)
    assert re.search(r"step \d+ of \d+  epoch 1/2 .* about .* left", done.stderr)


def test_a_teacher_is_a_name_before_it_is_a_folder_and_has_to_be_there(pictures, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(one_pass, "train_in_one_pass", lambda run, config, *_, **__: told.append(config))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    command = (pictures, "--out", tmp_path / "run", "--model", "unet", "--size", 64, "--channels", 3,
               "--crop", 64, "--joint-crop", 64, "--device", "cpu", "--teacher")  # fmt: skip
    train(*command, "photos")
    assert [config.teacher for config in told] == [str(find("photos").resolve())]
    with pytest.raises(ModelError, match="there is no model 'nobody'"):
        train(*command, "nobody")
