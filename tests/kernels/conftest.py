from __future__ import annotations

import pytest

from tests.kernels.host import HostKernels


@pytest.fixture(scope="session")
def host(tmp_path_factory) -> HostKernels:
    return HostKernels(tmp_path_factory.mktemp("kernels"))
