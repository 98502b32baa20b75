from __future__ import annotations

import numpy as np
import pytest

from edgefill.kernels.arguments import SEARCH, loop_arguments
from edgefill.kernels.solvers import LBFGS


@pytest.mark.parametrize("order", [0, 1, 7])
@pytest.mark.parametrize("rows", [1, 3, 64, 65, 200])
def test_there_is_another_step_while_a_row_runs_below_its_limit(rows, order, host):
    rng, value = np.random.default_rng(rows), np.full(1, 99, np.uint32)
    for pending in (None, 0, rows - 1):
        arrays = {
            "status": rng.integers(1, 4, rows, np.int32),
            "steps": np.full(rows, 9, np.int32),
            "limit": rng.integers(7, 12, rows, np.int32),
        }
        arrays["status"][rng.random(rows) < 0.5], arrays["limit"][arrays["status"] == 0] = 0, 9
        if pending is not None:
            arrays["status"][pending], arrays["limit"][pending] = 0, 10
        step = np.zeros((), LBFGS().struct(SEARCH).dtype)
        for name, array in arrays.items():
            step["search"][name] = array.ctypes.data
        step["search"]["rows"] = rows
        host.launch("search_again", 1, 64, loop_arguments(step, value.ctypes.data), order)
        assert value[0] == (pending is not None)
