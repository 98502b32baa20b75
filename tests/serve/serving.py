"""Servers for tests: at a free port, in a thread, with models that are quick, or that wait."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager

import httpx
import numpy as np
from PIL import Image

from edgefill.serve.limits import Limits
from edgefill.serve.models import Models, Served, open_models
from edgefill.serve.server import Server, address_of, listen
from edgefill.serve.service import Service
from tests.completion.fakes import fake_model, fake_runtime

SEARCH, PASS = "faces64", "faces64-glcic"
PATIENT = Limits(idle_seconds=120, receive_seconds=120, seconds=120, drain_seconds=120)  # with a busy machine


class Running:
    """A server that answers: its address, its service, and a client."""

    def __init__(self, server: Server, service: Service, listener: socket.socket) -> None:
        self.server, self.service, self.url = server, service, address_of(listener)
        self.address = listener.getsockname()
        headers = {"Authorization": f"Bearer {service.token}"} if service.token else {}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=120)

    def complete(self, **form) -> httpx.Response:
        """What ``POST /v1/complete`` answers to a picture, a mask, and ``form``."""
        return self.client.post("/v1/complete", **parts(**form))

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=120)


def until(condition, seconds: float = 120) -> None:
    """Waits until ``condition()`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


@contextmanager
def running(models: Models, limits: Limits = PATIENT, **options):
    """A server of ``models`` for the length of the block; it is drained at its end."""
    service = Service(models, limits, **options)
    listener = listen("127.0.0.1", 0)
    started = threading.Event()
    server = Server(service, started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert started.wait(120)
        answering = Running(server, service, listener)
        with answering.client:
            yield answering
    finally:
        server.handle_exit(15, None)
        thread.join(120)
        listener.close()
        assert not thread.is_alive()


def bundled_models() -> Models:
    """A model that searches and one of one pass, both small and grey."""
    return open_models([SEARCH, PASS], "cpu", batch=4, waiting=8, say=lambda _: None, threads=1)


class Gate:
    """Holds a runtime at its first step until it is opened."""

    def __init__(self) -> None:
        self._open, self.reached = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self._open.wait(120)

    def open(self) -> None:
        self._open.set()


def waiting_model(gate: Gate | None = None, *, waiting: int = 2, batch: int = 1) -> Models:
    """A model that draws z as an 8×8 picture, once ``gate`` is open."""
    model = fake_model()
    runtime = fake_runtime(model)
    step = runtime.step

    def gated(z: np.ndarray, task):
        if gate:
            gate()
        return step(z, task)

    runtime.step = gated
    runtime.close = lambda: None
    served = Served("waits", model, runtime, batch=batch, waiting=waiting)
    served.works = True
    return Models([served])


def png(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png", **options)
    return buffer.getvalue()


def picture(height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def hole(height: int = 40, width: int = 48) -> np.ndarray:
    """A mask, 255 where a box in the middle is to be filled."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : height // 2, width // 3 : width // 2] = 255
    return mask


def parts(picture=None, mask=None, **fields) -> Mapping[str, object]:
    """The form of a completion, as httpx takes it; ``picture`` and ``mask`` are files' contents."""
    own = png(globals()["picture"]()) if picture is None else picture
    files = {"picture": ("photo.png", own)}
    if isinstance(mask, str):
        fields["mask"] = mask
    else:
        files["mask"] = ("mask.png", png(hole()) if mask is None else mask)
    return {"files": files, "data": {name: str(value) for name, value in fields.items()}}


def decoded(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)
