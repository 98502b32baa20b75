"""The server against the folder run, under more load than it can take, and over ten thousand requests.

python -m benchmarks.serve [--model faces64] [--folder PICTURES] [--name NAME]
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks.pictures import held_out
from benchmarks.record import record
from edgefill.completion import Completer, Failure, Request, load
from edgefill.files import write_atomically
from edgefill.pictures.images import encode_picture, find_pictures

_CLIENTS = (1, 8, 32)
_OVERLOAD = 4
_OVERLOAD_SECONDS = 20
_DEADLINE = 2.0  # seconds, of a job under overload


@dataclass
class Answers:
    """How long each request took, by its status."""

    seconds: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, seconds: float) -> None:
        self.seconds.setdefault(status, []).append(seconds)

    @property
    def statuses(self) -> dict[str, int]:
        return {str(status): len(times) for status, times in sorted(self.seconds.items())}

    def milliseconds(self) -> dict[str, float]:
        """Of those that were completed."""
        times = sorted(self.seconds.get(200, [0.0]))
        at = {"p50": len(times) // 2, "p99": int(0.99 * (len(times) - 1)), "max": len(times) - 1}
        return {name: round(1e3 * times[index], 2) for name, index in at.items()}


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    host: str
    port: int

    def weight(self) -> dict[str, float]:
        """Its memory, threads, and open files and sockets now."""
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(re.findall(r"^(\w+):\s+(\d+)", (folder / "status").read_text(), re.MULTILINE))
        return {
            "rss_mb": round(int(status["VmRSS"]) / 1024, 1),
            "threads": int(status["Threads"]),
            "files": len(list((folder / "fd").iterdir())),
        }


@contextlib.contextmanager
def serving(model: str, *options: object) -> Iterator[Server]:
    """A server of ``model`` at a free port."""
    command = [sys.executable, "-m", "edgefill", "serve", "--model", model, "--port", "0", *map(str, options)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        found = (re.search(r"serving at http://([\d.]+):(\d+)", line) for line in process.stderr)
        match = next(filter(None, found))
        with ThreadPoolExecutor(1) as drain:
            drain.submit(process.stderr.read)  # or its log fills the pipe, and it waits
            yield Server(process, match[1], int(match[2]))
            process.terminate()
            if process.wait(60):
                raise SystemExit(f"the server ended with {process.returncode}")
    finally:
        process.kill()


def message(picture: Path, **fields: object) -> bytes:
    """The bytes of a request for ``picture``."""
    files = {"picture": (picture.name, picture.read_bytes())}
    data = {"mask": "center", **{name: str(value) for name, value in fields.items()}}
    request = httpx.Request("POST", "http://127.0.0.1/v1/complete", files=files, data=data)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST /v1/complete HTTP/1.1\r\n{head}\r\n".encode() + request.read()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, content: bytes) -> int:
    """The status of the answer, which is read to its end."""
    writer.write(content)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head[9:12])


@contextlib.asynccontextmanager
async def connected(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=1 << 24)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def closed_loop(server: Server, messages: Sequence[bytes], clients: int) -> tuple[float, Answers]:
    """Seconds for all ``messages`` from ``clients`` that each wait for their answer, and what came."""
    left, answers = iter(messages), Answers()

    async def client() -> None:
        async with connected(server) as (reader, writer):
            for content in left:
                begin = time.perf_counter()
                answers.add(await exchange(reader, writer, content), time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - begin, answers


async def open_loop(server: Server, messages: Sequence[bytes], rate: float) -> Answers:
    """What comes of ``rate`` requests a second, whatever becomes of those before."""
    answers = Answers()

    async def one(content: bytes) -> None:
        begin = time.perf_counter()
        async with connected(server) as (reader, writer):
            answers.add(await exchange(reader, writer, content), time.perf_counter() - begin)

    begin, going = time.perf_counter(), []
    for number, content in enumerate(messages):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        going.append(asyncio.create_task(one(content)))
    await asyncio.gather(*going)
    return answers


def folder_run(completer: Completer, pictures: Sequence[Path], out: Path) -> float:
    """Seconds for ``pictures`` as `edgefill complete` does them."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(1) as writer:
        for number, outcome in enumerate(completer.complete_many(pictures, Request("center"))):
            if isinstance(outcome, Failure):
                raise outcome.error
            writer.submit(_write, out / f"{number}.png", outcome.picture)
    return time.perf_counter() - begin


def _write(path: Path, picture: Any) -> None:
    write_atomically(path, encode_picture(picture))


def throughput(
    server: Server, completer: Completer, pictures: Sequence[Path], rounds: int, out: Path
) -> dict[str, Any]:
    """Pictures a second of the folder run and of each number of clients; they take turns."""
    messages = [message(picture) for picture in pictures]
    offline: list[float] = []
    online: dict[int, list[float]] = {clients: [] for clients in _CLIENTS}
    answers = {clients: Answers() for clients in _CLIENTS}
    for _ in range(rounds):
        offline.append(len(pictures) / folder_run(completer, pictures, out))
        for clients in _CLIENTS:
            seconds, found = asyncio.run(closed_loop(server, messages, clients))
            online[clients].append(len(pictures) / seconds)
            for status, times in found.seconds.items():
                answers[clients].seconds.setdefault(status, []).extend(times)
    return {
        "folder": round(statistics.median(offline), 2),
        "clients": {
            str(clients): {
                "pictures_a_second": round(statistics.median(rates), 2),
                "of_folder": round(statistics.median(a / b for a, b in zip(rates, offline, strict=True)), 3),
                "ms": answers[clients].milliseconds(),
                "statuses": answers[clients].statuses,
            }
            for clients, rates in online.items()
        },
    }


def added(server: Server, completer: Completer, picture: Path, rounds: int) -> dict[str, float]:
    """Milliseconds of one picture here, by HTTP, and the median of their differences."""
    content = [message(picture)]
    here, there = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        encode_picture(completer.complete(picture).picture)
        here.append(time.perf_counter() - begin)
        there.append(asyncio.run(closed_loop(server, content, 1))[1].seconds[200][0])
    differences = [b - a for a, b in zip(here, there, strict=True)]
    medians = {"here": here, "http": there, "added": differences}
    return {name: round(1e3 * statistics.median(times), 2) for name, times in medians.items()}


def overload(server: Server, picture: Path, rate: float) -> dict[str, Any]:
    """What becomes of ``rate`` requests a second, more than it can complete."""
    before = server.weight()
    messages = [message(picture, seconds=_DEADLINE)] * int(rate * _OVERLOAD_SECONDS)
    answers = asyncio.run(open_loop(server, messages, rate))
    return {
        "requests_a_second": round(rate, 1),
        "deadline_ms": 1e3 * _DEADLINE,
        "statuses": answers.statuses,
        "ms": answers.milliseconds(),
        "before": before,
        "after": server.weight(),
    }


def endurance(server: Server, picture: Path, requests: int) -> dict[str, Any]:
    """What the server weighs after each tenth of ``requests``."""
    content, weights, statuses = message(picture), [server.weight()], Counter[str]()
    for _ in range(10):
        _, answers = asyncio.run(closed_loop(server, [content] * (requests // 10), 8))
        statuses.update(answers.statuses)
        weights.append(server.weight())
    return {"requests": requests, "statuses": dict(statuses), "weights": weights}


def main(
    model: Annotated[str, typer.Option(help="The model.")] = "faces64",
    folder: Annotated[
        Path | None, typer.Option(help="Pictures; held-out ones of the model if not given.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="How many, first by name.")] = 400,
    rounds: Annotated[int, typer.Option(help="Turns of each contender.")] = 5,
    requests: Annotated[int, typer.Option(help="Of the long run.")] = 10_000,
    threads: Annotated[int, typer.Option(help="Of the runtime, in every contender.")] = 2,
    backend: Annotated[str, typer.Option(help="Of every contender.")] = "cpu",
    name: Annotated[str, typer.Option(help="Of the recorded result; nothing is recorded without.")] = "",
) -> None:
    """Measures a server of MODEL and prints what was found."""
    paths = find_pictures([folder or held_out(model)])[:pictures]
    options = ("--backend", backend, "--threads", threads, "--waiting", 64)
    with (
        tempfile.TemporaryDirectory() as out,
        load(model, backend, threads=threads) as completer,
        serving(model, *options) as server,
    ):
        figures: dict[str, Any] = {"model": model, "pictures": len(paths), "cores": os.cpu_count()}
        figures["one_picture_ms"] = added(server, completer, paths[0], 40)
        figures["throughput"] = throughput(server, completer, paths, rounds, Path(out))
        rate = figures["throughput"]["clients"][str(_CLIENTS[-1])]["pictures_a_second"]
        figures["overload"] = overload(server, paths[0], _OVERLOAD * rate)
        figures["endurance"] = endurance(server, paths[0], requests)
    for key, value in figures.items():
        print(f"{key}: {value}")
    if name:
        print(f"recorded in {record(name, figures)}")


if __name__ == "__main__":
    typer.run(main)
