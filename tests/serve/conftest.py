"""One server of tiny models for all tests that only ask."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason='needs the extra serve: pip install "edgefill[serve]"')
pytest.importorskip("uvicorn", reason='needs the extra serve: pip install "edgefill[serve]"')

from tests.serve.serving import bundled_models, running, waiting_model


@pytest.fixture(scope="session")
def server():
    with running(bundled_models()) as answering:
        yield answering


@pytest.fixture(scope="session")
def drawing():
    """A server of a model that is none: its searches take no time."""
    with running(waiting_model(batch=16)) as answering:
        yield answering
