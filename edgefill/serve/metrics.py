"""What a server counts, in Prometheus' format. What the schedulers count is asked for when it is wanted."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edgefill.serve.models import Models

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The figures of one server."""

    def __init__(self, models: Models) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Schedulers(models))
        self._requests = Counter(
            "edgefill_requests", "Requests that were answered.", ["route", "status"], registry=self._registry
        )
        self._latency = Histogram(
            "edgefill_request_seconds", "From a request's headers to the end of its answer.", ["route"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._phases = Histogram(
            "edgefill_phase_seconds", "Of a request: receive, complete (with its wait), encode.", ["phase"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._rejected = Counter(
            "edgefill_rejected", "Requests that were turned away.", ["reason"], registry=self._registry
        )

    def text(self) -> bytes:
        """All of it, in the text format."""
        return generate_latest(self._registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def phase(self, name: str, seconds: float) -> None:
        self._phases.labels(name).observe(seconds)

    def rejected(self, reason: str) -> None:
        self._rejected.labels(reason).inc()


class _Schedulers(Collector):
    """What the schedulers have to do, and what they have done."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("edgefill_waiting", "Jobs that wait.", labels=["model"])
        running = GaugeMetricFamily("edgefill_running", "Jobs that run.", labels=["model"])
        works = GaugeMetricFamily("edgefill_works", "1 where the model works.", labels=["model"])
        steps = CounterMetricFamily("edgefill_steps", "Steps of batches, or passes.", labels=["model"])
        rows = CounterMetricFamily(
            "edgefill_batch_rows", "Places of those steps, and those of them that were used.",
            labels=["model", "which"],
        )  # fmt: skip
        seconds = CounterMetricFamily("edgefill_work_seconds", "By phase.", labels=["model", "phase"])
        jobs = CounterMetricFamily("edgefill_jobs", "Jobs, by how they ended.", labels=["model", "ended"])
        for served in self._models:
            name, load = served.name, served.scheduler.load
            waiting.add_metric([name], load.waiting)
            running.add_metric([name], load.running)
            works.add_metric([name], served.works)
            steps.add_metric([name], load.steps)
            rows.add_metric([name, "used"], load.rows_used)
            rows.add_metric([name, "there"], load.rows_there)
            for phase, spent in load.seconds.items():
                seconds.add_metric([name, phase], spent)
            for ended, count in load.finished.items():
                jobs.add_metric([name, ended], count)
        yield from (waiting, running, works, steps, rows, seconds, jobs)
