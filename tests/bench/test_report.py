from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image
from rich.console import Console

from edgefill.bench import Figures, Report, Rule, Spread
from edgefill.bench.report import heading, plot, plot_format, stop_rule, surroundings, table
from edgefill.completion import SearchSettings
from edgefill.errors import OutputError
from edgefill.runtimes import RuntimeInfo

ENVIRONMENT = {
    "date": "2026-01-02", "commit": "abc1234", "processor": "Cortex-A78AE", "cores": 6,
    "system": "Linux aarch64", "python": "3.10.12", "packages": {"numpy": "1.26.4", "onnxruntime": None},
}  # fmt: skip
GPU = {"name": "Orin", "compute_capability": "8.7", "memory_mib": 7620, "driver": "540.4.0", "cuda": "12.6"}
JETSON = {"model": "Jetson Orin Nano", "l4t": "36.4.3", "jetpack": 6, "power_mode": "MAXN"}


def figures(batch: int, **changes) -> Figures:
    values = {
        "step_ms": Spread(1.25 * batch, 1.5 * batch, 2.75 * batch, 300),
        "enqueue_ms": Spread(0.0625, 0.125, 0.25, 300),
        "copies_ms": 0.375,
        "completion_ms": Spread(125.0 * batch, 130.0 * batch, 131.0 * batch, 7),
        "picture_ms": 125.0,
        "pictures_per_second": 7.875,
        "steps_per_picture": 100.0,
        "build_seconds": 12.5,
        "load_seconds": 0.5,
        "first_run_seconds": 0.625,
        "memory_bytes": 123_000_000,
        "plan_bytes": 8_150_000,
        "picture_joules": None,
        "clock_mhz": 918,
        "loss_difference": 1.5e-4,
    }
    return Figures(batch, **{**values, **changes})


def report(*rows: Figures, name: str = "rtx", at_once: int = 10, **changes) -> Report:
    info = RuntimeInfo(name, "TensorRT-RTX 1.7", "Orin", at_once, "fp16")
    values = {"settings": SearchSettings(), "energy": None, "environment": ENVIRONMENT, **changes}
    return Report("faces64", "ab12", info, "fp16", rule=Rule(), figures=list(rows), **values)


def printed(found: Report, width: int = 100) -> dict[str, list[str]]:
    """Name of a row → its cells, of the table as it is printed."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table(found))
    lines = console.file.getvalue().splitlines()
    cells = [[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in lines]
    return {name: values for name, *values in cells if values}


def test_table_has_a_column_for_each_batch_and_a_row_for_each_figure():
    rows = printed(report(figures(1), figures(64)))
    assert rows[""] == ["batch 1", "batch 64"]
    assert rows["step, median ms"] == ["1.25", "80"] and rows["step, p99 ms"] == ["2.75", "176"]
    assert rows["enqueue of a step, median ms"] == ["0.0625"] * 2
    assert rows["copies of a search, median ms"] == ["0.375"] * 2
    assert rows["batch, in to out, median ms"] == ["125", "8000"]
    assert rows["peak memory of the device, MB"] == ["123"] * 2 and rows["plans, MB"] == ["8.15"] * 2
    assert rows["GPU clock, MHz"] == ["918"] * 2
    assert rows["loss, off fp32 by at most"] == ["0.00015"] * 2


def test_what_is_not_known_is_said_to_be_not_reported():
    rows = printed(report(figures(1, memory_bytes=None)))
    assert rows["energy per picture, J"] == rows["gradient, off fp32 by at most"] == ["not reported"]
    assert rows["peak memory of the device, MB"] == ["not reported"]
    assert printed(report(figures(1, picture_joules=0.25)))["energy per picture, J"] == ["0.25"]


def test_a_cpu_has_no_rows_of_a_gpu():
    rows = printed(report(figures(1), name="cpu", at_once=1))
    assert not [name for name in rows if "enqueue" in name or "copies" in name or "GPU" in name]
    assert rows["peak memory of the process, MB"] == ["123"] and rows["ONNX files, MB"] == ["8.15"]


def test_heading_says_what_ran_and_when_a_picture_is_finished():
    what, when = heading(report(figures(1))).split("; ")
    assert what == "faces64 on rtx (TensorRT-RTX 1.7, Orin, fp16), 10 steps a CUDA graph"
    assert when == "a picture takes adam, 100 steps"
    assert "CUDA graph" not in heading(report(figures(1), at_once=1))
    assert stop_rule(SearchSettings("adam", steps=300, goal=250.0)) == "adam, 300 steps, or a loss of 250"
    converging = SearchSettings("momentum", patience=10, tolerance=0.01)
    assert stop_rule(converging) == "momentum, 100 steps, or 10 steps without 1% less loss"


def test_surroundings_name_what_a_result_depends_on():
    line = surroundings(report(figures(1), environment={**ENVIRONMENT, "gpu": GPU, "jetson": JETSON}))
    for part in ("Cortex-A78AE", "6 cores", "Orin, driver 540.4.0, CUDA 12.6", "power mode MAXN", "abc1234"):
        assert part in line
    assert "numpy 1.26.4" in line and "onnxruntime" not in line
    assert "CUDA" not in surroundings(report(figures(1)))


def test_document_is_of_json_values():
    document = report(figures(1), figures(8)).document()
    assert document["graph"] is True and document["format"] == 1
    assert [row["batch"] for row in document["figures"]] == [1, 8]
    assert document["figures"][0]["step_ms"] == {"median": 1.25, "p90": 1.5, "p99": 2.75, "samples": 300}


def test_chart_is_drawn_in_each_format():
    found = report(figures(1), figures(8), figures(64))
    with Image.open(io.BytesIO(plot(found, "png"))) as image:
        assert image.format == "PNG" and image.size == (1500, 675)
        assert len(image.getcolors(1 << 20)) > 50
    assert plot(found, "pdf").startswith(b"%PDF")
    assert b"<svg" in plot(replace(found, figures=[figures(1)]), "svg")


def test_chart_shows_the_enqueue_time_of_a_gpu_only():
    def names(found):
        return plot(found, "svg").count(b"enqueue")

    assert names(report(figures(1))) > 0 and names(report(figures(1), name="cpu", at_once=1)) == 0


def test_a_chart_has_a_format_that_can_be_drawn():
    assert plot_format(".PNG") == "png"
    for suffix in ("", ".jpeg", ".html"):
        with pytest.raises(OutputError, match="expected"):
            plot_format(suffix)
