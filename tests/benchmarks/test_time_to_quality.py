"""The race to a quality: that what it records is what ran, and that its comparison is right."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks import record, time_to_quality
from edgefill.methods.latent.settings import PRESETS
from tests.bundles import tiny_bundle


@pytest.fixture
def raced(tmp_path, monkeypatch) -> dict:
    """Three pictures and two kinds of holes, the reference cut to thirty steps; sheet and chart are there."""
    model = tmp_path / "tiny.edgefill"
    model.write_bytes(tiny_bundle(encoder=True))
    rng = np.random.default_rng(0)
    for number in range(3):
        values = rng.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(values).save(tmp_path / f"{number}.png")
    monkeypatch.setitem(PRESETS, "reference", replace(PRESETS["reference"], steps=30))
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(time_to_quality, "record", lambda *args: record.record(*args, folder=tmp_path))
    time_to_quality.main(
        str(model), tmp_path, pictures=3, batch=2, mask="center,file", name="raced",
        chart=tmp_path / "chart.png", sheet_path=tmp_path / "sheet.png", eager=False,
    )  # fmt: skip
    time_to_quality.main(
        str(model), tmp_path, pictures=1, batch=1, mask="center", name="alone", reference=False, eager=False,
        chart=None, sheet_path=None,
    )  # fmt: skip
    (alone,) = json.loads((tmp_path / "alone.json").read_text())["figures"]["masks"].values()
    assert list(alone) == ["default of z alone, edgefill", "default, edgefill"]
    for name in ("chart.png", "sheet-center.png", "sheet-file.png"):
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 8
    return json.loads((tmp_path / "raced.json").read_text())["figures"]


def test_what_is_recorded_is_what_ran(raced):
    assert raced["pictures"] == 3 and list(raced["masks"]) == ["center", "file"]
    centre = raced["masks"]["center"]
    assert len(centre) == 5 and len(raced["masks"]["file"]) == 3
    for row in centre.values():
        assert row["steps"] == sorted(row["steps"]) and 0 < row["steps_taken"] <= row["steps"][-1]
        assert min(row["ms_per_picture"]) > 0
        assert all(np.isfinite(row["psnr_in_hole"]))
        assert row["objective"][-1] <= row["objective"][1], "the best iterate only gets better"


def test_the_time_to_the_first_one_s_quality_is_read_off_its_curve():
    def row(ms, values):
        return {"ms_per_picture": ms, "psnr_in_hole": values}

    contenders = {
        "slow": row([1.0, 50.0, 100.0], [10.0, 19.0, 20.0]),
        "quick": row([2.0, 4.0, 8.0], [19.0, 20.5, 21.0]),
        "never": row([1.0, 5.0], [10.0, 19.9]),
    }
    time_to_quality._compare(contenders)
    goals = {label: figures["to_reference_quality"] for label, figures in contenders.items()}
    assert goals["slow"]["times_sooner"] == 1
    assert (goals["quick"]["ms"], goals["quick"]["times_sooner"]) == (4.0, 25.0)
    assert goals["quick"]["whole_run_times_sooner"] == 12.5
    assert goals["never"]["ms"] is None and goals["never"]["times_sooner"] is None
