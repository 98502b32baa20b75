from __future__ import annotations

import numpy as np
import pytest

from edgefill.errors import InputError
from edgefill.kernels.arguments import MOST_PAIRS, SEARCH, compose_arguments, search_arguments
from edgefill.kernels.compile import read_sources
from edgefill.methods.latent.settings import SearchSettings
from tests.kernels.host import STRUCTS


@pytest.mark.parametrize("name", STRUCTS)
def test_numpy_lays_a_struct_out_as_c_does(host, name):
    struct = STRUCTS[name]
    of_numpy = [number for kind, offset in struct.fields.values() for number in (offset, kind.itemsize)] + [
        struct.itemsize
    ]
    assert host.layout(name) == of_numpy


def test_settings_and_addresses_find_their_fields():
    settings = SearchSettings(
        "momentum", normalise=True, momentum=0.7, beta2=0.9999, patience=5, hmc_size=0.3
    )
    addresses = {name: 2**40 + i for i, name in enumerate(SEARCH.names)}
    found = search_arguments(settings, addresses, rows=3, z_dim=100, bound=2.0)
    assert found.shape == () and found["status"] == addresses["status"] and found["z"] == 2**40
    assert (found["rows"], found["z_dim"], found["normalise"], found["patience"]) == (3, 100, 1, 5)
    assert found["momentum_ahead"] == np.float32(1.7) and found["beta2_rest"] == np.float32(1 - 0.9999)
    assert found["half_size"] == np.float32(0.15) and found["goal"] == -np.inf
    with pytest.raises(KeyError, match="gradient"):
        search_arguments(settings, {"z": 1, "loss": 2}, rows=1, z_dim=1, bound=1.0)


def test_the_kernel_has_room_for_as_many_pairs_as_settings_allow():
    assert f"enum {{ MOST_PAIRS = {MOST_PAIRS} }};" in read_sources()["lbfgs.cu"]


def test_more_pixels_than_the_kernel_counts_are_refused():
    addresses = dict.fromkeys(("generated", "target", "known", "composed"), 0)
    compose_arguments(addresses, rows=2**31 // 4096 - 1, channels=3, height=64, width=64)
    with pytest.raises(InputError, match="use a smaller --batch"):
        compose_arguments(addresses, rows=2**31 // 4096, channels=3, height=64, width=64)
