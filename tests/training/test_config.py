import json
from dataclasses import asdict, replace

import pytest

from edgefill.errors import InputError, ModelError
from edgefill.networks.config import NetworkConfig
from edgefill.training.config import TrainingConfig, differences


def test_json_and_back_is_the_same():
    config = TrainingConfig(network=NetworkConfig(filters=7), lr=1e-3, mirror=False)
    assert TrainingConfig.from_json(config.to_json()) == config


def changed(**changes):
    return json.dumps({"kind": "dcgan", **asdict(TrainingConfig()), **changes})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (changed(speed=3), "unknown key 'speed'"),
        (changed(network={"size": 64, "depth": 3}), "unknown key 'network.depth'"),
        (changed(network={}), "'network.z_dim' is missing"),
        (changed(network=[]), "found list"),
        (changed(epochs="many"), "'epochs' is 'many', expected a value of type int"),
        (changed(epochs=True), "'epochs' is True"),
        (changed(epochs=0), "epochs cannot be 0"),
        (changed(lr=float("nan")), "lr cannot be nan"),
        ('{"kind": "dcgan"}', "'network' is missing"),
        ("{}", "of the kind None, expected 'dcgan'"),
        ("[1]", ""),
        ("{", ""),
        ("[" * 100_000, ""),
        (b"\xff\xfe", ""),
    ],
)
def test_a_config_that_is_none_says_why(text, says):
    with pytest.raises(ModelError, match="cannot read the config") as caught:
        TrainingConfig.from_json(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch", 0),
        ("precision", "fp8"),
        ("beta1", 1.0),
        ("lr", float("inf")),
        ("lr_decay", 1.5),
        ("seed", -1),
    ],
)
def test_a_value_out_of_range_is_refused(key, value):
    with pytest.raises(InputError, match=key):
        TrainingConfig(**{key: value})


def test_differences_name_key_old_and_new():
    old = TrainingConfig()
    new = replace(old, epochs=9, network=NetworkConfig(filters=8))
    assert differences(old, new) == {"epochs": (25, 9), "network.filters": (32, 8)}
    assert differences(old, old) == {}
