"""What is claimed of a network is tried; what is wrong is named with the option that mends it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgefill.errors import ModelError
from edgefill.export.importing import trial as trial_module
from edgefill.export.importing.aspects import range_from_text
from edgefill.export.importing.importer import examine, import_network
from edgefill.export.importing.network import Network
from edgefill.export.importing.scene import scene
from edgefill.export.importing.told import Told
from edgefill.export.importing.trial import Trial, looks_into_the_hole
from edgefill.model.interface import Mask, Range
from tests.export.importing.zoo import CONVENTIONS, SIDE, network

LAMA, GMCNN, MIGAN = (CONVENTIONS[name] for name in ("Qualcomm's LaMa", "GMCNN", "MI-GAN's generator"))


def refused(tmp_path, convention, told) -> str:
    """The message with which the network is refused if ``told`` is said of it; nothing is written."""
    onnx.save(network(convention), tmp_path / "it.onnx")
    with pytest.raises(ModelError) as error:
        import_network(tmp_path / "it.onnx", tmp_path / "it.edgefill", told=told)
    assert not (tmp_path / "it.edgefill").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("convention", "told", "mends"),
    [
        (LAMA, Told(mask_means="known"), "--mask-means hole"),
        (LAMA, Told(mask=Mask(1, 0)), "--mask-means hole"),
        (LAMA, Told(contract={"mask": {"known": 1, "missing": 0}}), "--mask-means hole"),
        (LAMA, Told(range=range_from_text("-1..1")), "--range 0..1"),
        (LAMA, Told(range=range_from_text("0..255")), "--range 0..1"),
        (LAMA, Told(output_range=range_from_text("0..255")), "--output-range 0..1"),
        (LAMA, Told(contract={"output": {"range": "0..255"}}), "--output-range 0..1"),
        (LAMA, Told(order="BGR"), "--order RGB"),
        (CONVENTIONS["OpenCV's LaMa"], Told(order="RGB"), "--order BGR"),
        (GMCNN, Told(sees="zero"), "--sees white"),
        (MIGAN, Told(parts=("picture", "mask")), "--join mask,picture"),
        (MIGAN, Told(mask=Mask(1, 0)), "--mask-values 0.5,-0.5"),
        (CONVENTIONS["MI-GAN's pipeline"], Told(mask_means="hole", side=SIDE), "--mask-means known"),
    ],
)
def test_a_wrong_claim_is_refused_with_the_option_that_mends_it(tmp_path, convention, told, mends):
    message = refused(tmp_path, convention, told)
    assert message.startswith("it.onnx completes the trial's picture better if") and message.endswith(mends)


@pytest.mark.parametrize(
    "told",
    [
        Told(mask_means="hole", range=range_from_text("0..1"), output_range=range_from_text("0..1")),
        Told(order="RGB", sees="grey"),
        Told(contract={"mask": {"known": 0, "missing": 1}, "range": "0..1", "trained_side": 77}),
    ],
)
def test_a_right_claim_is_taken(tmp_path, told):
    onnx.save(network(LAMA), tmp_path / "it.onnx")
    found = examine(tmp_path / "it.onnx", told=told).interface
    assert (found.mask, found.order, str(found.range)) == (Mask(0, 1), "RGB", "0..1")
    assert found.sees == (told.sees or "zero") and found.trained_side == told.contract.get(
        "trained_side", SIDE
    )


def test_a_contract_may_say_all_of_it(tmp_path):
    convention = CONVENTIONS["DeepFill"]
    onnx.save(network(convention), tmp_path / "it.onnx")
    contract = examine(tmp_path / "it.onnx").interface.to_json()
    import json

    again = examine(tmp_path / "it.onnx", told=Told(contract=json.loads(json.dumps(contract))))
    assert again.interface.to_json() == contract


def test_a_wrong_contract_of_everything_is_refused_too(tmp_path):
    import json

    contract = json.loads(json.dumps({**LAMA.interface.to_json(), "mask": {"known": 1.0, "missing": 0.0}}))
    assert refused(tmp_path, LAMA, Told(contract=contract)).endswith("give --mask-means hole")


def test_a_contract_of_other_inputs_is_refused(tmp_path):
    contract = {"inputs": [{"name": "a", "parts": ["picture", "mask"]}], "mask": {"known": 1.0}}
    assert "the contract names the inputs ['a']; it.onnx has image" in refused(
        tmp_path, LAMA, Told(contract=contract)
    )


def broken(convention, change):
    """The network with ``change`` applied to what it draws."""
    model = network(convention)
    last = model.graph.node[-1]
    name = last.output[0]
    last.output[0] = "before"
    model.graph.node.append(change("before", name))
    return model


def test_nan_is_refused(tmp_path):
    model = broken(LAMA, lambda before, name: onnx.helper.make_node("Div", [before, "nothing"], [name]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "nothing"))
    onnx.save(model, tmp_path / "it.onnx")
    with pytest.raises(
        ModelError, match=r"it\.onnx returns NaN or Inf in 'painted_image'; expected a picture"
    ):
        examine(tmp_path / "it.onnx")


def test_a_network_that_does_not_complete_is_refused_with_the_best_reading(tmp_path):
    model = broken(LAMA, lambda before, name: onnx.helper.make_node("Mul", [before, "mask"], [name]))
    onnx.save(model, tmp_path / "it.onnx")
    with pytest.raises(ModelError, match=r"completes nothing: .* grey levels off .* --contract FILE"):
        examine(tmp_path / "it.onnx")


def test_a_filter_is_no_network_that_completes(tmp_path):
    assert "completes nothing" in refused_model(tmp_path, filter_of("Conv"))


def test_a_network_that_does_not_show_what_its_mask_means_asks_for_it(tmp_path):
    """It finds holes by their black, and adds a little where the mask is 1, whatever that means."""
    message = refused_model(tmp_path, filter_of("Div"))
    assert "does not show what the mask means: --mask-means hole and --mask-means known" in message
    assert message.endswith("give one of the two")


def test_a_tie_is_settled_by_the_option(tmp_path):
    onnx.save(filter_of("Div"), tmp_path / "it.onnx")
    assert examine(tmp_path / "it.onnx", told=Told(mask_means="known")).interface.mask == Mask(1, 0)


def filter_of(kind: str):
    """A network that means over all around ("Conv"), or over all that is not black there ("Div")."""
    model = network(LAMA)
    del model.graph.node[:]
    box = 3 if kind == "Conv" else 15
    weights = {
        "box": np.full((3, 1, box, box), box**-2.0, np.float32), "little": np.float32(0.015),
        "tiny": np.float32(1e-6),
        "black": np.float32(0), "white": np.float32(1),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(each, name) for name, each in weights.items())
    make = onnx.helper.make_node
    nodes = [
        make("Clip", ["image", "black", "white"], ["cut"]),
        make("Conv", ["cut", "box"], ["mean"], group=3, pads=[box // 2] * 4),
    ]
    if kind == "Div":
        nodes += [
            make("ReduceMax", ["cut"], ["most"], axes=[1]),
            make("Greater", ["most", "tiny"], ["is_seen"]),
            make("Cast", ["is_seen"], ["seen"], to=1),
            make("Expand", ["seen", "three"], ["seen_of_each"]),
            make("Conv", ["seen_of_each", "box"], ["share"], group=3, pads=[7] * 4),
            make("Add", ["share", "tiny"], ["some"]),
            make("Div", ["mean", "some"], ["mean_of_seen"]),
            make("Where", ["is_seen", "cut", "mean_of_seen"], ["filled"]),
            make("Mul", ["mask", "little"], ["offset"]),
            make("Add", ["filled", "offset"], ["painted_image"]),
        ]
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 1, 1]), "three"))
    else:
        nodes[1].output[0] = "painted_image"
    model.graph.node.extend(nodes)
    return model


def refused_model(tmp_path, model) -> str:
    onnx.save(model, tmp_path / "it.onnx")
    with pytest.raises(ModelError) as error:
        import_network(tmp_path / "it.onnx", tmp_path / "it.edgefill")
    assert not (tmp_path / "it.edgefill").exists()
    return str(error.value)


def test_what_stands_in_the_hole_counts_for_one_that_does_not_hide_it(tmp_path):
    for convention, looks in ((LAMA, False), (MIGAN, True), (GMCNN, True)):
        onnx.save(network(convention), tmp_path / "it.onnx")
        examined = examine(tmp_path / "it.onnx")
        assert (examined.proof["seen in the hole"] > 0.1) == looks
        assert any("looks at what stands in the hole" in line for line in examined.found) == looks


def test_the_scene_is_always_the_same_and_in_whole_grey_levels():
    (picture, known), (again, _) = scene(48, 80), scene(48, 80)
    assert picture.shape == (1, 3, 48, 80) and known.shape == (1, 1, 48, 80)
    assert np.array_equal(picture, again) and 0.02 < 1 - known.mean() < 0.2
    assert np.abs((picture + 1) * 127.5 - np.rint((picture + 1) * 127.5)).max() < 1e-4
    assert picture.min() < -0.9 and picture.max() > 0.9 and (picture[:, 0] >= picture[:, 2]).mean() > 0.9


def test_a_trial_of_the_wrong_range_is_worse(tmp_path):
    trial = Trial(Network(network(LAMA), "it"), (SIDE, SIDE), 3)
    right = trial.outcome(LAMA.interface)
    wrong = trial.outcome(replace(LAMA.interface, range=Range.named("-1..1")))
    assert right.error < 0.1 < wrong.error and right.farthest < 1e-3
    assert looks_into_the_hole(trial, right) == 0


def test_readings_that_differ_in_how_the_output_is_read_share_one_run(monkeypatch):
    trial = Trial(Network(network(LAMA), "it"), (SIDE, SIDE), 3)
    runs, run = [], trial.network.run
    monkeypatch.setattr(trial.network, "run", lambda feeds: runs.append(feeds) or run(feeds))
    for output_range in ("0..1", "-1..1", "0..255"):
        for mask in (Mask(0, 1), Mask(1, 0)):
            output = replace(LAMA.interface.output, range=range_from_text(output_range))
            trial.outcome(replace(LAMA.interface, mask=mask, output=output))
    assert len(runs) == 2


def test_no_more_is_kept_of_what_was_drawn_than_there_is_room_for(monkeypatch):
    trial = Trial(Network(network(LAMA), "it"), (SIDE, SIDE), 3)
    monkeypatch.setattr(trial_module, "_KEPT_BYTES", 2 * SIDE * SIDE * 3 * 4)
    for number in range(6):
        trial.outcome(replace(LAMA.interface, mask=Mask(0, 1 + number)))
    assert len(trial._drawn) <= 3
