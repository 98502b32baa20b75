"""A report as a table for people and as a chart."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgefill.bench.measure import Figures
from edgefill.bench.run import Report
from edgefill.completion import SearchSettings
from edgefill.errors import OutputError
from edgefill.runtimes import DEVICE_BACKENDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

PLOTS = ("png", "svg", "pdf")
_ABSENT = "not reported"


def table(report: Report) -> Table:
    """One row for each figure, one column for each batch size."""
    from rich.table import Table

    rows = Table("", *(f"batch {each.batch}" for each in report.figures))
    for column in rows.columns[1:]:
        column.justify = "right"
    for name, value in _rows(report):
        rows.add_row(name, *(_shown(value(each)) for each in report.figures))
    return rows


def heading(report: Report) -> str:
    """What was measured, in one line."""
    graph = f", {report.backend.steps_at_once} steps a CUDA graph" if report.graph else ""
    rule = stop_rule(report.settings)
    return f"{report.model} on {report.backend}{graph}; a picture takes {rule}"


def stop_rule(settings: SearchSettings | None) -> str:
    """When a picture is finished, such as "adam, 100 steps, or a loss of 250"."""
    if settings is None:
        return "one pass"
    rule = f"{settings.solver.name}, {settings.steps} steps"
    if settings.goal is not None:
        rule += f", or a loss of {settings.goal:g}"
    if settings.patience:
        rule += f", or {settings.patience} steps without {100 * settings.tolerance:g}% less loss"
    return rule


def surroundings(report: Report) -> str:
    """The machine, the versions and the commit, in one line."""
    found = report.environment
    parts = [found["processor"], f"{found['cores']} cores", found["system"]]
    if gpu := found.get("gpu"):
        parts.append(f"{gpu['name']}, driver {gpu['driver']}, CUDA {gpu['cuda']}")
    if board := found.get("jetson"):
        parts.append(f"{board['model']}, L4T {board['l4t']}, power mode {board['power_mode']}")
    parts += [f"{name} {version}" for name, version in found["packages"].items() if version]
    parts += [f"Python {found['python']}", f"commit {found['commit']}", found["date"]]
    return "; ".join(parts)


def plot(report: Report, format: str) -> bytes:
    """The time of a step and the pictures per second over the batch size, as a file of ``format``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    batches = [str(each.batch) for each in report.figures]
    _spread(latency, batches, report)
    bars = throughput.bar(batches, [each.pictures_per_second for each in report.figures], 0.6, color="C2")
    throughput.bar_label(bars, fmt="%.3g")
    throughput.set(title=f"Finished pictures ({stop_rule(report.settings)})", ylabel="pictures per second")
    for axes in (latency, throughput):
        axes.set_xlabel("pictures in a batch")
        axes.grid(axis="y", alpha=0.3)
    figure.suptitle(f"{report.model} on {report.backend}")
    file = io.BytesIO()
    figure.savefig(file, format=format, dpi=150)
    return file.getvalue()


def plot_format(suffix: str) -> str:
    """The format that a file's suffix names. Raises OutputError for one that cannot be drawn."""
    format = suffix.lower().removeprefix(".")
    if format not in PLOTS:
        raise OutputError(f"cannot write a plot as {suffix or 'a file without a suffix'!r}: expected {PLOTS}")
    return format


def _spread(axes: Axes, batches: list[str], report: Report) -> None:
    """Median, p90 and p99 of a step, and the host's part where that is another."""
    steps = [each.step_ms for each in report.figures]
    medians = [each.median for each in steps]
    axes.vlines(batches, medians, [each.p99 for each in steps], color="C0", alpha=0.4)
    axes.plot(batches, [each.p99 for each in steps], "_", color="C0", markersize=18, label="p99")
    axes.plot(batches, [each.p90 for each in steps], "_", color="C0", markersize=10, label="p90")
    axes.plot(batches, medians, "o", color="C0", label="median")
    for batch, median in zip(batches, medians, strict=True):
        axes.annotate(f"{median:.3g}", (batch, median), (10, 0), textcoords="offset points", va="center")
    if _on_device(report) and report.settings:
        enqueue = [_enqueue(each) or 0.0 for each in report.figures]
        axes.plot(batches, enqueue, "s", color="C1", label="enqueue, median")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelleft=False)
    axes.margins(x=0.2)
    search = "One step of the search, forward and backward"
    axes.set(title=search if report.settings else "One pass of the network", ylabel="ms")
    axes.legend()


def _on_device(report: Report) -> bool:
    return report.backend.name in DEVICE_BACKENDS


def _rows(report: Report) -> list[tuple[str, Callable[[Figures], Any]]]:
    """Name and unit of each row, and the figure in it; what a CPU does not have is left out there."""
    device, search = _on_device(report), report.settings is not None
    what = "step" if search else "pass"
    rows: list[tuple[str, Callable[[Figures], Any] | None]] = [
        (f"{what}, median ms", lambda each: each.step_ms.median),
        (f"{what}, p90 ms", lambda each: each.step_ms.p90),
        (f"{what}, p99 ms", lambda each: each.step_ms.p99),
        ("enqueue of a step, median ms", _enqueue if device and search else None),
        ("copies of a search, median ms", (lambda each: each.copies_ms) if device and search else None),
        ("batch, in to out, median ms", lambda each: each.completion_ms.median),
        ("picture, median ms", lambda each: each.picture_ms),
        ("pictures per second", lambda each: each.pictures_per_second),
        ("steps per picture, mean", (lambda each: each.steps_per_picture) if search else None),
        ("build s", lambda each: each.build_seconds),
        ("load s", lambda each: each.load_seconds),
        ("first run s", lambda each: each.first_run_seconds),
        (
            f"peak memory of the {'device' if device else 'process'}, MB",
            lambda each: _mega(each.memory_bytes),
        ),
        (f"{'plans' if device else 'ONNX files'}, MB", lambda each: _mega(each.plan_bytes)),
        ("energy per picture, J", lambda each: each.picture_joules),
        ("GPU clock, MHz", (lambda each: each.clock_mhz) if device else None),
        ("loss, off fp32 by at most", (lambda each: each.loss_difference) if search else None),
        ("gradient, off fp32 by at most", (lambda each: each.gradient_difference) if search else None),
        ("pixel, off fp32 by at most, of 2", None if search else (lambda each: each.picture_difference)),
    ]
    return [(name, value) for name, value in rows if value]


def _enqueue(figures: Figures) -> float | None:
    return None if figures.enqueue_ms is None else figures.enqueue_ms.median


def _mega(size: int | None) -> float | None:
    return None if size is None else size / 1e6


def _shown(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.4g}" if value < 1000 else f"{value:.0f}"
