"""Every number has a range, which is looked at before anything is read or loaded."""

from __future__ import annotations

import sys

import pytest

from edgefill.cli import main
from edgefill.errors import InputError
from edgefill.limits import LIMITS, check, whole_number

_LONG, _ENDLESS = "9" * 400, "9" * 5000
_COMPLETE = [
    "--candidates=17", f"--candidates={_LONG}", f"--candidates={_ENDLESS}", f"--seed={_LONG}", "--seed=-1",
    f"--steps={_LONG}", "--lr=nan", "--lr=1e300", f"--lr={_LONG}", "--lam=1e300", "--pull=1e39",
    f"--power={_LONG}", "--importance=999999", f"--importance={_LONG}", f"--batch={_LONG}", "--batch=0",
    f"--threads={_LONG}", "--threads=99999999999", f"--box={_LONG}", f"--box={_ENDLESS},1,1,1",
    f"--mask=center:{_LONG}", "--mask=random:nan", "--mask=nothing-like-this", "--start=best-of:",
    f"--start=best-of:{_LONG}", f"--start=best-of:{_ENDLESS}", "--start=best-of:²", f"--until={_LONG}",
    f"--until={_ENDLESS}", "--until=loss:nan", f"--until=loss:{_LONG}", "--until=ms:nan", "--until=²",
]  # fmt: skip
_SAMPLE = [
    f"--seed={_LONG}", f"--interpolate=1,{_LONG}", f"--interpolate=1,{_ENDLESS}", f"--arithmetic=1-{_LONG}",
    f"--arithmetic={_ENDLESS}", f"--threads={_LONG}", "--count=4097",
]  # fmt: skip
_BENCH = [
    f"--batch={_LONG}", "--batch=99999999", f"--batch={_ENDLESS}", "--seconds=nan", "--seconds=inf",
    "--warm-up=nan", "--warm-up=inf", f"--iterations={_LONG}", f"--threads={_LONG}",
]  # fmt: skip
_TRAIN = [
    f"--{name}={value}"
    for name in ("epochs", "size", "channels", "filters", "z-dim", "batch", "lr", "generator-updates", "seed")
    for value in ("-1", _LONG)
] + [f"--{name}={value}" for name in ("beta1", "beta2", "ema-decay", "lr-decay") for value in ("-1", "inf")]
_ASKED = [
    *(("complete", "a.png", "--out=o", each) for each in _COMPLETE),
    *(("sample", "--out=s.png", each) for each in _SAMPLE),
    *(("bench", each) for each in _BENCH),
    *(("build", "faces64", "--for=rtx", each) for each in (f"--sm={_LONG}", f"--batch={_ENDLESS}")),
    *(("train", ".", "--out=r", each) for each in _TRAIN),
]


@pytest.mark.parametrize("words", _ASKED, ids=lambda words: f"{words[0]} {words[-1][:24]}")
def test_number_out_of_its_range_is_refused_in_words(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["edgefill", *words])
    monkeypatch.setattr("edgefill.model.bundle.Bundle.open", None)  # nothing is loaded for it
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    assert stop.value.code in (2, 3)
    assert "xpected" in said.err or "Invalid value" in said.err
    assert "Traceback" not in said.err
    assert len(said.err) < 2000
    assert list(tmp_path.iterdir()) == []


def test_typo_in_a_training_loads_no_torch(tmp_path, edgefill):
    done = edgefill("train", tmp_path, "--out", tmp_path / "r", "--device", "gpu")
    assert done.code == 3
    code = (
        "import sys; sys.argv = ['edgefill', 'train', '.', '--out', 'r', '--filters', '0']\n"
        "from edgefill.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: print(stop.code, 'torch' in sys.modules)"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["3", "False"]


def test_limits_are_finite_and_hold_their_ends():
    for limits in LIMITS.values():
        assert limits.hold(limits.least)
        assert limits.hold(limits.most) is not limits.open
        assert not limits.hold(float("nan"))
        assert not limits.hold(10**400)


def test_check_names_what_was_asked_and_the_limits():
    with pytest.raises(InputError, match="candidates cannot be 17; expected 1 to 16"):
        check("candidates", 17)
    assert whole_number("12") == 12
    assert whole_number("²") is None
