import pytest

from edgefill.errors import InputError
from edgefill.networks.config import NetworkConfig


def test_widths_double_inwards_up_to_eight_times_the_filters():
    assert NetworkConfig(filters=32, size=64).widths == (32, 64, 128, 256)
    assert NetworkConfig(filters=3, size=8).widths == (3,)
    assert NetworkConfig(filters=2, size=256).widths == (2, 4, 8, 16, 16, 16)


@pytest.mark.parametrize("wrong", [{"size": 48}, {"size": 4}, {"channels": 2}, {"filters": 0}, {"z_dim": -1}])
def test_what_is_no_network_is_refused(wrong):
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
        NetworkConfig(**wrong)
