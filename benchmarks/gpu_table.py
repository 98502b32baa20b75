"""What benchmarks.gpu found, as Markdown: goals, then every figure; what is missing is "not measured"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

NOT_MEASURED = "not measured"
_ADDED_GOAL = 3e-6  # seconds that update and graph may add to a step
_EAGER_GOAL, _GRAPH_GOAL, _FLOOR_GOAL = 3.0, 1.5, 2.5


def markdown(figures: dict[str, Any], gpu: str) -> str:
    """The whole report."""
    sections = [
        f"# {figures['model']} on {gpu}",
        _table(("goal", "wanted", "measured", "met"), _goals(figures)),
        "## Proofs",
        _table(("of", "check", "passed", "measured"), _checks(figures["checks"])),
        "## A step of the default search, by turns with Adam in PyTorch on the same weights, median µs",
        _table(("precision", "batch", "contender", "µs a step", "times the quickest here"), _races(figures)),
        "## A default search, which the device ends or the host that asks, by turns, median µs",
        _table(
            ("backend", "precision", "batch", "steps", "a loop", "graphs, asking between"), _loops(figures)
        ),
        "## What update and graph add to a step",
        _table(("backend", "precision", "batch", "engine alone µs", "added µs"), _overheads(figures)),
        "## Completions (`edgefill bench`)",
        _table(_BENCH, _benches(figures["benches"])),
    ]
    if figures["left_out"]:
        sections += ["## Left out", "\n".join(f"- {line}" for line in figures["left_out"])]
    return "\n\n".join(sections) + "\n"


def _goals(figures: dict[str, Any]) -> Iterable[Sequence[str]]:
    added = min((each["added_seconds"] for each in figures["overheads"]), default=None)
    yield _goal("update and graph add to a step, at most", added, _ADDED_GOAL, 1e6, "µs", lower=True)
    first = [race for race in figures["races"] if race["batch"] == 1]
    for contender, wanted in (("torch eager", _EAGER_GOAL), ("torch with a CUDA graph", _GRAPH_GOAL)):
        ratios = [ratio for race in first if (ratio := _times(race, contender)) is not None]
        measured = min(ratios, default=None)
        yield _goal(f"batch 1, times {contender}, in every precision, at least", measured, wanted, 1, "×")
    what = "batch 64 fp16, times what the FLOPs need, at most"
    yield _goal(what, _over_floor(figures), _FLOOR_GOAL, 1, "×", lower=True)


def _goal(
    what: str, measured: float | None, wanted: float, unit: float, sign: str, *, lower: bool = False
) -> Sequence[str]:
    goal = f"{wanted * unit:g} {sign}"
    if measured is None:
        return what, goal, NOT_MEASURED, NOT_MEASURED
    met = measured <= wanted if lower else measured >= wanted
    return what, goal, f"{measured * unit:.2f} {sign}", "yes" if met else "no"


def _times(race: dict[str, Any], contender: str) -> float | None:
    """How much longer ``contender`` takes than the quickest executor."""
    own = [taken for name, taken in race["seconds"].items() if not name.startswith("torch")]
    if not own or contender not in race["seconds"]:
        return None
    return float(race["seconds"][contender] / min(own))


def _over_floor(figures: dict[str, Any]) -> float | None:
    flops, rate = figures["flops_a_step"], figures["matrix_flops_per_second"]
    own = [
        taken
        for race in figures["races"]
        if (race["precision"], race["batch"]) == ("fp16", 64)
        for name, taken in race["seconds"].items()
        if not name.startswith("torch")
    ]
    return min(own) / (64 * flops / rate) if own and flops and rate else None


def _checks(checks: list[dict[str, Any]]) -> Iterable[Sequence[str]]:
    for check in checks:
        passed = {True: "yes", False: "NO", None: "not run"}[check["passed"]]
        yield check["of"], check["name"], passed, check["measured"]


def _races(figures: dict[str, Any]) -> Iterable[Sequence[str]]:
    for race in figures["races"]:
        for name, taken in sorted(race["seconds"].items(), key=lambda item: item[1]):
            ratio = _times(race, name)
            shown = NOT_MEASURED if ratio is None else f"{ratio:.2f}"
            yield race["precision"], str(race["batch"]), name, f"{1e6 * taken:.1f}", shown


def _loops(figures: dict[str, Any]) -> Iterable[Sequence[str]]:
    for each in figures["loops"]:
        case = (each["backend"], each["precision"], *(str(each[name]) for name in ("batch", "steps")))
        yield (*case, *(f"{1e6 * each[f'{how}_seconds']:.1f}" for how in ("loop", "portions")))


def _overheads(figures: dict[str, Any]) -> Iterable[Sequence[str]]:
    for each in figures["overheads"]:
        case = each["backend"], each["precision"], str(each["batch"])
        yield (*case, f"{1e6 * each['engine_seconds']:.1f}", f"{1e6 * each['added_seconds']:.2f}")


_BENCH = (
    "backend", "precision", "batch", "step ms: median, p90, p99", "enqueue ms", "copies ms", "ms a picture",
    "pictures per second", "build s", "load s", "first run s", "device MB", "plan MB", "J a picture",
    "loss off fp32", "gradient off fp32",
)  # fmt: skip


def _benches(benches: list[dict[str, Any]]) -> Iterable[Sequence[str]]:
    for report in benches:
        for each in report["figures"]:
            step = each["step_ms"]
            yield (
                report["backend"]["name"], report["precision"], str(each["batch"]),
                ", ".join(f"{step[key]:.4f}" for key in ("median", "p90", "p99")),
                *(_shown(value) for value in (
                    each["enqueue_ms"]["median"], each["copies_ms"], each["picture_ms"],
                    each["pictures_per_second"], each["build_seconds"], each["load_seconds"],
                    each["first_run_seconds"], _mega(each["memory_bytes"]), _mega(each["plan_bytes"]),
                    each["picture_joules"], each["loss_difference"], each["gradient_difference"],
                )),
            )  # fmt: skip


def _mega(size: int | None) -> float | None:
    return None if size is None else size / 1e6


def _shown(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.4g}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    if len(lines) == 2:
        lines.append([NOT_MEASURED] * len(columns))
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in line)} |" for line in lines
    )
