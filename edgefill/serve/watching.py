"""``/v1/jobs``: a job of which one hears while it is done, and whose results are fetched afterwards."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from edgefill.completion import JobFuture
from edgefill.jobs.job import Progress
from edgefill.pictures.images import Picture, encode_picture, from_unit
from edgefill.serve.answers import Encoded
from edgefill.serve.asking import Asked
from edgefill.serve.completing import read_request
from edgefill.serve.kept import Watched
from edgefill.serve.log import log_error
from edgefill.serve.models import Served
from edgefill.serve.problems import Problem, problem_of
from edgefill.serve.service import Service

_NEWS = 0.01  # of a job, by which it must have gone on for an event of its own


async def submit(request: Request, service: Service) -> Response:
    """Takes the job and answers at once: 202, with the places of its events and of its result."""
    with ExitStack() as stack:
        claim = stack.enter_context(service.held.claim())
        served, asked = await read_request(request, service, claim)
        job, future = _start(served, asked, service)
        following = _follow(job, future, request.scope["request_id"])
        job.task = asyncio.get_running_loop().create_task(following)
        job.task.add_done_callback(_closing(stack.pop_all()))  # what was sent is held until the end
    return JSONResponse(job.about(), 202, {"Location": f"/v1/jobs/{job.id}"})


async def status(request: Request, service: Service) -> Response:
    """What is known of a job."""
    return JSONResponse(_job(request, service).about())


async def events(request: Request, service: Service) -> Response:
    """What happens to a job, as server-sent events: progress, frame, then done or failed."""
    stream = _lines(_job(request, service).listen())
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def result(request: Request, service: Service) -> Response:
    """The completed picture, or one of its candidates."""
    encoded = _ended(_job(request, service))
    text = request.query_params.get("candidate", "1")
    if text == "1":
        return Response(encoded.picture, headers=encoded.headers(), media_type=encoded.media_type)
    if not (text.isascii() and text.isdecimal() and 1 < int(text[:4]) <= len(encoded.candidates)):
        raise Problem("not-found", f"there is no candidate {text[:8]!r}; there are {len(encoded.candidates)}")
    return Response(encoded.candidates[int(text) - 1], media_type=encoded.media_type)


async def confidence(request: Request, service: Service) -> Response:
    """The map of the confidence, where it was asked for."""
    encoded = _ended(_job(request, service))
    if encoded.confidence is None:
        raise Problem("not-found", "the confidence was not asked for")
    return Response(encoded.confidence, media_type="image/png")


async def cancel(request: Request, service: Service) -> Response:
    """Ends a job, and forgets it."""
    service.kept.remove(_job(request, service))
    return Response(status_code=204)


def _job(request: Request, service: Service) -> Watched:
    return service.kept.find(request.path_params["id"])


def _ended(job: Watched) -> Encoded:
    if job.problem:
        raise job.problem
    if job.result is None:
        raise Problem("not-found", "the job has no result yet; listen to its events", {"Retry-After": "1"})
    return job.result


def _closing(stack: ExitStack) -> Callable[[object], None]:
    return lambda _: stack.close()


def _start(served: Served, asked: Asked, service: Service) -> tuple[Watched, JobFuture[Encoded]]:
    """Submits the job; whatever its thread tells is passed on to the loop's."""
    loop = asyncio.get_running_loop()
    job = Watched(cancel=lambda: None, patience=service.limits.idle_seconds)

    def on_progress(progress: Progress) -> None:
        loop.call_soon_threadsafe(_tell, job, progress)

    future = service.submit(served, asked, on_progress)
    job.cancel = _canceller(future)
    service.kept.add(job)
    return job, future


def _canceller(future: JobFuture[Encoded]) -> Callable[[], None]:
    def cancel() -> None:
        future.cancel()

    return cancel


async def _follow(job: Watched, future: JobFuture[Encoded], request_id: str) -> None:
    """Waits for the end of the job and keeps what came of it."""
    try:
        job.finish(await asyncio.wrap_future(future))
    except asyncio.CancelledError:
        job.fail(
            Problem("cancelled", "nobody waited for the job any more, or it was told to end"), request_id
        )
    except Exception as error:  # noqa: BLE001  whatever it is, who listens has to hear of it
        problem = problem_of(error)
        if problem.kind == "failed":
            log_error(error, request=request_id)
        job.fail(problem, request_id)


def _tell(job: Watched, progress: Progress) -> None:
    if progress.done >= job.told + _NEWS or progress.done == 1:
        job.told = progress.done
        job.tell("progress", done=round(progress.done, 4), steps=progress.steps)
    if progress.generated is not None and progress.photograph is not None:
        job.tell("frame", picture=_drawing(progress.generated), box=list(progress.photograph.box))


def _drawing(generated: Any) -> str:
    """G(z) as a data URL, at the size of the model: a page scales it itself."""
    values = from_unit(generated.transpose(1, 2, 0))
    return "data:image/png;base64," + base64.b64encode(encode_picture(Picture(values))).decode()


async def _lines(events: AsyncIterator[tuple[str, dict[str, Any]] | None]) -> AsyncIterator[bytes]:
    """Server-sent events; a comment is a sign of life."""
    async for event in events:
        if event is None:
            yield b": still here\n\n"
        else:
            name, data = event
            yield f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n".encode()
