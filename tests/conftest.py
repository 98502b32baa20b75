"""What tests share: where the real pictures lie, and how the command line is run."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnxruntime
import pytest

from tests.driver import StubDriver, plugged_in
from tests.driver.build import CannotBuild, built

_began: dict[int, Any] = {}  # the states of modules' generators
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_finish() -> None:
    """What is there before the first test stays, so that no garbage collection looks at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test draws the same random numbers whatever ran before it in its process, and in every run.

    Generators that its module has begin where they were when the first of its tests began.
    """
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
    for each in vars(getattr(item, "module", None) or object).values():
        if isinstance(each, np.random.Generator):
            each.bit_generator.state = _began.setdefault(id(each), each.bit_generator.state)


@pytest.fixture(scope="session", autouse=True)
def one_thread_unless_told() -> Iterator[None]:
    """Sessions of ONNX Runtime that nobody gives threads have one: more would wait actively, on the cores
    that other tests compute on.
    """
    session = onnxruntime.InferenceSession
    open_session = session.__init__

    def opened(self, model, sess_options=None, *arguments, **options) -> None:
        sess_options = sess_options or onnxruntime.SessionOptions()
        sess_options.intra_op_num_threads = sess_options.intra_op_num_threads or 1
        open_session(self, model, sess_options, *arguments, **options)

    with mock.patch.object(session, "__init__", opened):
        yield


@pytest.fixture(scope="session")
def faces() -> Path:
    """The folder with ``train`` and ``test`` pictures of faces; skips where it is absent."""
    return _pictures("faces64")


@pytest.fixture(scope="session")
def hands() -> Path:
    """The same of hands."""
    return _pictures("hands")


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder with photographs, their masks and ``score.py``; skips where it is absent."""
    return _pictures("photos")


def _pictures(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs the real pictures in {folder}, which are not on this machine")
    return folder


@pytest.fixture
def driver() -> Iterator[StubDriver]:
    """A GPU without one: a stub driver under the real pycuda; skips where it is not built."""
    try:
        built()
    except CannotBuild as missing:
        pytest.skip(str(missing))
    with plugged_in() as stub:
        yield stub


@pytest.fixture
def run_edgefill():
    """Runs the command line in a process of its own, as a user does."""

    def run(*arguments: object, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgefill", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run
