from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgefill.completion import Completer
from tests.bundles import tiny_bundle

FAST = ("--steps", 5, "--threads", 1)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (10, 12), channels: int = 1) -> Path:
    values = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.squeeze()).save(path)
    return path


def written(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_pictures_and_folders_are_completed_under_their_own_names(edgefill, model, tmp_path):
    picture(tmp_path / "in" / "photo.jpg")
    picture(tmp_path / "in" / "holiday" / "photo.png")
    picture(tmp_path / "in" / "holiday" / "more" / "a.bmp", channels=3)
    out = tmp_path / "out" / "new"
    sources = (tmp_path / "in" / "photo.jpg", tmp_path / "in" / "holiday" / "more")
    done = edgefill("complete", *sources, "--model", model, "--out", out, *FAST)
    assert done.code == 0 and done.out == ""
    assert "completed 2 of 2 pictures" in done.err and "cpu (ONNX Runtime" in done.err
    assert written(out) == ["a.png", "photo.png"]
    assert edgefill("complete", tmp_path / "in", "--model", model, "--out", out / "x", *FAST).code == 0
    assert written(out / "x") == ["holiday/more/a.png", "holiday/photo.png", "photo.png"]


def test_what_is_known_is_kept_and_the_rest_is_not(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png", channels=3)
    edgefill("complete", source, "--model", model, "--mask", "left", "--out", tmp_path / "out", *FAST)
    before, after = np.asarray(Image.open(source)), np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(after[:, 6:], before[:, 6:])
    assert not np.array_equal(after[:, :6], before[:, :6])


def test_json_is_one_document_with_what_was_done(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png")
    options = (
        "--strip",
        "--gif",
        "--trace",
        "--sheet",
        "--box",
        "1,2,9,8",
        "--seed",
        4,
        "--lam",
        0.1,
        "--json",
    )
    done = edgefill("complete", source, "--model", model, "--out", tmp_path / "out", *options, *FAST)
    document = json.loads(done.out)
    assert (document["model"], document["backend"], document["seed"]) == ("tiny", "cpu", 4)
    assert document["box"] == [1, 2, 9, 8] and document["settings"]["steps"] == 5
    (result,) = document["results"]
    assert {"input", "output", "steps", "loss", "seconds"} <= result.keys()
    parts = result["contextual"] + 0.1 * result["perceptual"] + result["prior"]
    assert result["loss"] == pytest.approx(parts, rel=1e-4) and result["prior"] > 0
    assert Path(result["output"]).is_file() and Path(document["sheet"]).is_file()
    assert np.asarray(Image.open(result["strip"])).shape[1] > 3 * 12
    with np.load(result["trace"], allow_pickle=False) as trace:
        assert trace["loss"].shape == (5,) and trace["z"].shape == (5, 4)
        assert trace["loss"].min() == np.float32(result["loss"])
    with Image.open(result["gif"]) as gif:
        assert gif.n_frames > 2 and gif.info["loop"] == 0 and gif.size[0] >= 200


def test_the_same_command_gives_the_same_bytes_and_another_seed_others(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png")
    contents = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / str(number)
        edgefill("complete", source, "--model", model, "--out", out, "--seed", seed, *FAST)
        contents.append((out / "a.png").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_a_picture_is_made_again_from_the_text_in_its_png(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png")
    asked = ("--seed", 3, "--mask", "pattern:0.4", "--solver", "momentum", "--lr", 0.2, "--lam", 0.5)
    edgefill("complete", source, "--model", model, "--out", tmp_path / "one", *asked, *FAST)
    with Image.open(tmp_path / "one" / "a.png") as made:
        record = json.loads(made.text["edgefill"])
    assert record["model"] == "tiny" and len(record["model_sha256"]) == 64
    settings = record["settings"]
    again = ["--seed", record["seed"], "--mask", record["mask"], "--blend", record["blend"], "--threads", 1]
    for name in ("solver", "steps", "lr", "lam", "pull", "power", "importance"):
        again += [f"--{name}", settings[name]]
    edgefill("complete", source, "--model", model, "--out", tmp_path / "two", *again)
    assert (tmp_path / "two" / "a.png").read_bytes() == (tmp_path / "one" / "a.png").read_bytes()


def test_features_may_be_left_as_g_makes_them_of_z(edgefill, tmp_path):
    source, model = picture(tmp_path / "a.png"), tmp_path / "tiny.edgefill"
    model.write_bytes(tiny_bundle(encoder=True))
    pixels = {}
    for option in ("features", "no-features"):
        out = tmp_path / option
        assert edgefill("complete", source, "--model", model, "--out", out, f"--{option}", *FAST).code == 0
        with Image.open(out / "a.png") as made:
            pixels[option] = np.array(made)
            settings = json.loads(made.text["edgefill"])["settings"]
        assert settings["features"] is (option == "features")
    edgefill("complete", source, "--model", model, "--out", tmp_path / "default", *FAST)
    with Image.open(tmp_path / "default" / "a.png") as made:
        assert np.array_equal(made, pixels["features"])
    assert (pixels["features"] != pixels["no-features"]).any()


def test_a_folder_goes_on_after_a_bad_file_and_says_so(edgefill, model, tmp_path):
    for name in ("a.png", "c.png"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    done = edgefill("complete", tmp_path / "in", "--model", model, "--out", tmp_path / "out", "--json", *FAST)
    assert done.code == 3
    assert written(tmp_path / "out") == ["a.png", "c.png"]
    assert "b.png" in done.err and "completed 2 of 3 pictures; 1 failed" in done.err
    document = json.loads(done.out)
    (failure,) = document["failed"]
    assert (
        failure["input"].endswith("b.png") and failure["exit_code"] == 3 and failure["kind"] == "InputError"
    )
    assert len(document["results"]) == 2 and "Traceback" not in done.err


def never(*_, **__):
    raise AssertionError("nothing may be computed")


@pytest.mark.parametrize("extra", [(), ("--sheet",), ("--strip",)])
def test_existing_outputs_are_refused_before_anything_is_computed(
    edgefill, model, tmp_path, monkeypatch, extra
):
    source = picture(tmp_path / "a.png")
    command = ("complete", source, "--model", model, "--out", tmp_path / "out", *extra, *FAST)
    assert edgefill(*command).code == 0
    if extra:
        (tmp_path / "out" / "a.png").unlink()
    before = {name: (tmp_path / "out" / name).read_bytes() for name in written(tmp_path / "out")}
    monkeypatch.setattr(Completer, "complete_many", never)
    done = edgefill(*command)
    assert done.code == 6 and "--force" in done.err
    assert {name: (tmp_path / "out" / name).read_bytes() for name in written(tmp_path / "out")} == before
    monkeypatch.undo()
    assert edgefill(*command, "--force").code == 0


def test_an_input_is_never_overwritten(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png")
    before = source.read_bytes()
    done = edgefill("complete", source, "--model", model, "--out", tmp_path, "--force", *FAST)
    assert done.code == 6 and "is an input" in done.err
    assert source.read_bytes() == before
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)
    assert edgefill("complete", source, "--model", model, "--out", link, "--force", *FAST).code == 6
    assert source.read_bytes() == before


def test_what_an_earlier_run_wrote_inside_the_folder_of_its_pictures_is_no_input(edgefill, model, tmp_path):
    source, out = picture(tmp_path / "in" / "a.png"), tmp_path / "in" / "filled"
    command = ("complete", source.parent, "--model", model, "--out", out, *FAST)
    assert edgefill(*command).code == 0
    again = edgefill(*command)
    assert again.code == 6 and "1 of 1 outputs exist already" in again.err and "--force" in again.err
    assert edgefill(*command, "--force").code == 0 and written(out) == ["a.png"]


def test_two_inputs_for_one_output_are_refused_before_anything_is_computed(
    edgefill, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(Completer, "complete_many", never)
    first, second = picture(tmp_path / "in" / "a.jpg"), picture(tmp_path / "in" / "sub" / "a.png", 1)
    done = edgefill("complete", first, second, "--model", model, "--out", tmp_path / "out", *FAST)
    assert done.code == 3 and "a.jpg" in done.err and "sub/a.png" in done.err
    assert not (tmp_path / "out").exists()


def test_the_same_file_named_twice_is_completed_once(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png")
    done = edgefill("complete", source, source, "--model", model, "--out", tmp_path / "out", "--json", *FAST)
    assert done.code == 0 and len(json.loads(done.out)["results"]) == 1


def test_an_output_that_cannot_be_written_is_counted_and_the_others_are_there(edgefill, model, tmp_path):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / ("b" * 248 + ".png"))
    picture(tmp_path / "in" / "c.png")
    options = ("--model", model, "--out", tmp_path / "out", "--strip", *FAST)
    done = edgefill("complete", tmp_path / "in", *options)
    assert done.code == 6 and "too long" in done.err and "completed 2 of 3" in done.err
    assert written(tmp_path / "out") == ["a.png", "a.strip.png", "c.png", "c.strip.png"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--mask", "heart"), 3, "center[:scale]"),
        (("--solver", "sgd"), 3, "momentum, adam, lbfgs or hmc"),
        (("--steps", "0"), 3, "steps 0"),
        (("--steps", "many"), 2, "--steps"),
        (("--box", "1,2"), 3, "x,y,w,h"),
        (("--box", "0,0,99,99"), 3, "12×10"),
        (("--blend", "feather"), 3, "poisson, none"),
        (("--format", "xcf"), 3, "png, webp"),
        (("--seed", "-1"), 2, "--seed"),
        (("--backend", "vulkan"), 5, "auto, tensorrt, rtx, cuda, openvino, cpu"),
        (("--batch", "0"), 2, "--batch"),
        (("--model", "facs64"), 4, "edgefill export"),
        (("--stepz", "3"), 2, "--steps"),
    ],
)
def test_what_cannot_be_done_is_one_message_a_code_and_one_json_document(
    edgefill, model, tmp_path, options, code, words
):
    source = picture(tmp_path / "a.png")
    out = tmp_path / "out"
    done = edgefill("complete", source, "--model", model, "--out", out, "--json", *FAST, *options)
    assert done.code == code and words in done.err, done.err
    assert "Traceback" not in done.err and not out.exists()
    json.loads(done.out)


def test_nothing_missing_gives_the_input_back_with_a_note(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png")
    done = edgefill(
        "complete", source, "--model", model, "--mask", "random:0", "--out", tmp_path / "out", *FAST
    )
    assert done.code == 0 and "a.png: nothing is missing" in done.err
    np.testing.assert_array_equal(Image.open(tmp_path / "out" / "a.png"), Image.open(source))


def test_odd_names_are_names(edgefill, model, tmp_path):
    names = [
        "with space.png",
        "quo'te\".png",
        "new\nline.png",
        "-dash.png",
        "ünï😀.png",
        os.fsdecode(b"\xff.png"),
    ]
    for name in names:
        picture(tmp_path / "in" / name)
    done = edgefill("complete", tmp_path / "in", "--model", model, "--out", tmp_path / "out", "--json", *FAST)
    assert done.code == 0
    assert written(tmp_path / "out") == sorted(names)
    assert len(json.loads(done.out)["results"]) == len(names)


def test_completing_loads_neither_torch_nor_onnx(model, tmp_path):
    program = f"""
        import sys
        import edgefill
        edgefill.load({str(model)!r}, threads=1).complete({str(picture(tmp_path / "a.png"))!r})
        print([name for name in ("torch", "onnx", "cv2", "skimage") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_help_loads_nothing_heavy():
    program = """
        import sys
        from edgefill.cli import main
        for command in ("complete", "sample", "models"):
            sys.argv = ["edgefill", command, "--help"]
            try: main()
            except SystemExit: pass
            heavy = "numpy PIL torch onnx onnxruntime cv2 tensorrt pycuda".split()
            print(command, [name for name in heavy if name in sys.modules], file=sys.stderr)
    """
    program = textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.count("--json") >= 3
    assert done.stderr.splitlines() == ["complete []", "sample []", "models []"]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_is_done_and_the_same_command_goes_on(edgefill, model, tmp_path, number):
    for index in range(40):
        picture(tmp_path / "in" / f"{index:02}.png", index)
    command = ["complete", tmp_path / "in", "--model", model, "--out", tmp_path / "out", "--json"]
    options = ["--batch", "1", "--steps", "2000", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgefill", *map(str, command), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (tmp_path / "out" / "00.png").exists():
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 128 + number, err
    assert "go on with --skip-existing" in err and "Traceback" not in err
    document = json.loads(out)
    assert document["interrupted"] and 1 <= len(document["results"]) < 40
    assert written(tmp_path / "out") == [Path(item["output"]).name for item in document["results"]]
    for path in (tmp_path / "out").iterdir():
        assert np.asarray(Image.open(path)).shape == (10, 12)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    done = edgefill(*command, "--skip-existing", "--steps", 2)
    assert done.code == 0 and json.loads(done.out)["skipped"] == len(kept)
    assert f"left out {len(kept)} pictures" in done.err
    assert len(written(tmp_path / "out")) == 40
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == when for name, when in kept.items())


def test_candidates_and_confidence_are_files_beside_the_picture(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png", channels=3)
    asked = ("--candidates", 3, "--confidence", "--strip", "--mask", "left", "--json")
    done = edgefill("complete", source, "--model", model, "--out", tmp_path / "out", *asked)
    (result,) = json.loads(done.out)["results"]
    found = len(result["candidates"])
    assert 1 <= found <= 3 and result["candidates"][0]["output"] == result["output"]
    for number, candidate in enumerate(result["candidates"][1:], start=2):
        assert candidate["output"].endswith(f"a.candidate-{number}.png") and candidate["contextual"] > 0
        other = np.asarray(Image.open(candidate["output"]))
        np.testing.assert_array_equal(other[:, 6:], np.asarray(Image.open(source))[:, 6:])
        assert not np.array_equal(other, np.asarray(Image.open(result["output"])))
    sure = np.asarray(Image.open(result["confidence"]))
    assert sure.shape == (10, 12) and (sure[:, 6:] == 255).all() and 0 <= result["confidence_mean"] <= 1
    assert np.asarray(Image.open(result["strip"])).shape[1] > (3 + found) * 12
    assert len(written(tmp_path / "out")) == 3 + (found - 1)


@pytest.mark.parametrize("start", ["encoder", "random", "best-of:8"])
def test_a_model_with_an_encoder_starts_where_it_is_told(edgefill, tmp_path, start):
    model = tmp_path / "encoded.edgefill"
    model.write_bytes(tiny_bundle(encoder=True))
    source = picture(tmp_path / "a.png")
    for options in ((), ("--start", start)):
        out = tmp_path / "-".join(("out", *options[1:])).replace(":", "-")
        done = edgefill("complete", source, "--model", model, "--out", out, "--json", *options)
        settings = json.loads(done.out)["settings"]
        assert settings["start"] == (("random" if "best" in start else start) if options else "encoder")
        assert "no encoder" not in done.err


def test_a_model_without_an_encoder_works_and_the_output_says_so(edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png")
    done = edgefill("complete", source, "--model", model, "--out", tmp_path / "out", "--json")
    assert json.loads(done.out)["settings"]["start"] == "random"
    assert "tiny has no encoder: searches start at random" in done.err
    refused = edgefill("complete", source, "--model", model, "--out", tmp_path / "x", "--start", "encoder")
    assert refused.code == 4 and "edgefill train RUN --stage encoder" in refused.err


def test_a_pipe_gets_no_escape_codes(run_edgefill, model, tmp_path):
    source = picture(tmp_path / "a.png")
    done = run_edgefill("complete", source, "--model", model, "--out", tmp_path / "out", *FAST)
    assert "\x1b" not in done.stderr and done.stdout == ""


def test_a_sheet_and_a_strip_show_sixteen_bits(edgefill, model, tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (700, 900), np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    done = edgefill(
        "complete",
        tmp_path / "deep.png",
        "--model",
        model,
        "--out",
        tmp_path / "out",
        "--sheet",
        "--strip",
        *FAST,
    )
    assert done.code == 0, done.err
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert 10 < np.asarray(sheet.convert("L")).mean() < 245
