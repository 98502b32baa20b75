from __future__ import annotations

import numpy as np
import pytest

from edgefill.errors import InputError
from edgefill.kernels.arguments import SEARCH, compose_arguments, search_arguments, structs
from edgefill.kernels.solvers import SHIPPED, Momentum
from edgefill.methods.latent.settings import SearchSettings

STRUCTS = {struct.name: struct.dtype for struct in structs(SHIPPED)}


@pytest.mark.parametrize("name", STRUCTS)
def test_numpy_lays_a_struct_out_as_c_does(host, name):
    struct = STRUCTS[name]
    of_numpy = [number for kind, offset in struct.fields.values() for number in (offset, kind.itemsize)] + [
        struct.itemsize
    ]
    assert host.layout(name) == of_numpy


def test_settings_and_addresses_find_their_fields():
    solver = Momentum(normalise=True, momentum=0.7)
    settings = SearchSettings(solver, patience=5)
    addresses = {name: 2**40 + i for i, name in enumerate((*SEARCH.dtype.names, "rates", "velocity"))}
    found = search_arguments(settings, addresses, rows=3, z_dim=100, bound=2.0)
    search = found["search"]
    assert found.shape == () and search["status"] == addresses["status"] and search["z"] == 2**40
    assert (search["rows"], search["z_dim"], search["patience"], search["goal"]) == (3, 100, 5, -np.inf)
    assert found["velocity"] == addresses["velocity"] and found["normalise"] == 1
    assert found["momentum_ahead"] == np.float32(1.7)
    with pytest.raises(KeyError, match="gradient"):
        search_arguments(settings, {"z": 1, "loss": 2}, rows=1, z_dim=1, bound=1.0)


def test_more_pixels_than_the_kernel_counts_are_refused():
    addresses = dict.fromkeys(("generated", "target", "known", "composed"), 0)
    compose_arguments(addresses, rows=2**31 // 4096 - 1, channels=3, height=64, width=64)
    with pytest.raises(InputError, match="use a smaller --batch"):
        compose_arguments(addresses, rows=2**31 // 4096, channels=3, height=64, width=64)
