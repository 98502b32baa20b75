"""Importing as a whole: what is written, what is proven, and MI-GAN's own file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from edgefill.errors import InputError, ModelError
from edgefill.export.importing import importer, simplifying
from edgefill.export.importing.importer import examine, import_network
from edgefill.export.importing.packaging import PACKAGINGS, packaging_in
from edgefill.export.importing.scene import scene
from edgefill.export.importing.told import Told
from edgefill.model.bundle import Bundle
from edgefill.model.interface import Input, Mask, Sizes
from tests.export.importing.zoo import CONVENTIONS, SIDE, network
from tests.export.test_quantised import with_layers

LAMA = CONVENTIONS["Qualcomm's LaMa"]


def saved(tmp_path, convention=LAMA):
    path = tmp_path / "it.onnx"
    onnx.save(network(convention), path)
    return path


def drawn(bundle, picture, known, precision=None):
    interface = bundle.manifest.passed
    session = onnxruntime.InferenceSession(bundle.graph("completion", precision))
    (value,) = session.run([interface.output.name], interface.feeds(picture, known))
    return interface.drawn({interface.output.name: value})


def test_a_bundle_says_what_it_is_and_where_it_comes_from(tmp_path):
    said = []
    manifest = import_network(
        saved(tmp_path), tmp_path / "own.edgefill", licence="CC0", origin="here", report=said.append
    )
    assert (manifest.name, manifest.licence, manifest.origin) == ("own", "CC0", "here")
    assert (manifest.precision, manifest.weights, manifest.opset) == ("fp32", "fp32", 17)
    assert (
        manifest.proof["hole"] < 0.1
        and manifest.proof["known"] < 1e-3
        and manifest.proof["simplified"] < 1e-5
    )
    assert Bundle.open(tmp_path / "own.edgefill").manifest.passed == manifest.passed
    assert "takes 'image' (float32 NCHW): the picture" in said
    assert "the mask is 0 where pixels are known and 1 where they are missing" in said


def test_a_contract_is_any_part_of_an_interface(tmp_path):
    from edgefill.export import Told, import_network

    path, out = saved(tmp_path), tmp_path / "own.edgefill"
    manifest = import_network(
        path, out, told=Told(sees="grey"), contract={"range": "0..1", "trained_side": 99}
    )
    assert (manifest.passed.sees, manifest.passed.trained_side) == ("grey", 99)
    with pytest.raises(ModelError, match="--mask-means hole"):
        import_network(path, out, contract={"mask": {"known": 1.0, "missing": 0.0}})


def test_equal_files_give_equal_bundles_without_traces_of_where_they_were_made(tmp_path):
    path = saved(tmp_path)
    for name in ("a", "b"):
        import_network(path, tmp_path / f"{name}.edgefill", name="same", origin="x")
    assert (tmp_path / "a.edgefill").read_bytes() == (tmp_path / "b.edgefill").read_bytes()


@pytest.mark.parametrize("precision", ["fp16", "both"])
def test_fp16_is_converted_with_the_proof_of_the_difference(tmp_path, precision):
    manifest = import_network(saved(tmp_path), tmp_path / "it.edgefill", precision=precision)
    bundle = Bundle.open(tmp_path / "it.edgefill")
    assert bundle.precisions == (("fp16",) if precision == "fp16" else ("fp32", "fp16"))
    assert 0 < manifest.proof["fp16 hole"] < 0.01
    picture, known = scene(SIDE, SIDE)
    missing = np.broadcast_to(known == 0, picture.shape)
    assert np.abs(drawn(bundle, picture, known, "fp16") - picture)[missing].mean() < 0.1
    kinds = {
        tensor.data_type
        for tensor in onnx.load_from_string(bundle.graph("completion", "fp16")).graph.initializer
    }
    assert onnx.TensorProto.FLOAT16 in kinds


def test_fp16_that_draws_another_picture_is_refused(tmp_path, monkeypatch):
    def wrong(model, name):
        other = onnx.ModelProto()
        other.CopyFrom(model)
        last = other.graph.node[-1].output[0]
        other.graph.node[-1].output[0] = "right"
        other.graph.node.append(onnx.helper.make_node("Neg", ["right"], [last]))
        return other

    monkeypatch.setattr(importer, "in_half", wrong)
    with pytest.raises(
        ModelError, match=r"in fp16 it.onnx draws another picture: .*import it with --precision fp32"
    ):
        import_network(saved(tmp_path), tmp_path / "it.edgefill", precision="both")
    assert not (tmp_path / "it.edgefill").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "int4"}, r"precision is 'int4'; expected one of .*'both', 'int8'"),
        ({"precision": "int8"}, "int8 needs pictures to calibrate by.*--calibration FOLDER"),
        ({"calibration": "photos"}, "calibration is for int8; found the precision 'fp32'"),
        ({"precision": "int8", "calibration": "nowhere"}, "the calibration nowhere is no folder"),
    ],
)
def test_another_precision_is_refused(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        import_network(saved(tmp_path), tmp_path / "it.edgefill", **options)
    assert not (tmp_path / "it.edgefill").exists()


def test_int8_is_calibrated_by_pictures_and_completes(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    picture, known = scene(SIDE, SIDE)
    for number in range(4):
        pixels = np.uint8(np.rint((np.roll(picture[0], 9 * number, 2).transpose(1, 2, 0) + 1) * 127.5))
        Image.fromarray(pixels).save(photos / f"{number}.png")
    onnx.save(with_layers(0, 0, 0), tmp_path / "it.onnx")
    manifest = import_network(
        tmp_path / "it.onnx", tmp_path / "it.edgefill", precision="int8", calibration=photos
    )
    assert (manifest.precision, manifest.weights) == ("int8", "int8")
    assert manifest.proof["int8 loss"] < 0.5 and 0 < manifest.proof["int8 noise"] < 0.04
    bundle = Bundle.open(tmp_path / "it.edgefill")
    kinds = [node.op_type for node in onnx.load_from_string(bundle.graph("completion")).graph.node]
    assert bundle.precisions == ("int8",) and "QuantizeLinear" in kinds
    missing = np.broadcast_to(known == 0, picture.shape)
    assert np.abs(drawn(bundle, picture, known) - picture)[missing].mean() < 0.1


def test_a_simplification_that_moves_the_picture_is_left_out(tmp_path, monkeypatch):
    def wrong(model, feed):
        other = onnx.ModelProto()
        other.CopyFrom(model)
        weight = next(each for each in other.graph.initializer if each.dims[-2:] == [15, 15])
        weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * 1.1).tobytes()
        return other

    monkeypatch.setattr(simplifying, "simplified", wrong)
    path = saved(tmp_path)
    manifest = import_network(path, tmp_path / "it.edgefill")
    assert "simplified" not in manifest.proof
    _picture, _known = scene(SIDE, SIDE)
    bundle = Bundle.open(tmp_path / "it.edgefill")
    own = onnx.load_from_string(bundle.graph("completion")).graph.initializer
    for tensor in onnx.load(path).graph.initializer:
        assert any(each.raw_data == tensor.raw_data for each in own), "nothing of the weights changes"


def test_importing_needs_no_torch():
    code = (
        "import sys; from edgefill.export import import_network; import edgefill.export.importing.precision;"
        "from onnxruntime.transformers import float16; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_core_of_a_packaging_is_cut_out_by_its_tensors():
    packaging = replace(
        PACKAGINGS[0],
        whole=LAMA.interface,
        seen="inner",
        drawn="outer",
        core=replace(
            CONVENTIONS["MI-GAN's generator"].interface, inputs=(Input("seen", ("mask", "picture")),)
        ),
    )
    make = onnx.helper.make_node
    nodes = [
        make("Concat", ["mask", "image"], ["inner"], axis=1),
        make("Slice", ["inner", "one", "four", "one"], ["outer"]),
        make("Sub", ["outer", "mask"], ["painted_image"]),
    ]
    model = network(LAMA)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    weights = {"one": np.array([1]), "four": np.array([4])}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(each, name) for name, each in weights.items())
    assert packaging.is_in(model) and not packaging.is_in(network(LAMA)) and packaging_in(model) is None
    core = packaging.cut(model)
    onnx.checker.check_model(core, full_check=True)
    assert [each.op_type for each in core.graph.node] == ["Slice"]
    feeds = {"seen": np.random.default_rng(0).random((2, 4, SIDE, SIDE), np.float32)}
    (found,) = onnxruntime.InferenceSession(core.SerializeToString()).run(None, feeds)
    np.testing.assert_array_equal(found, feeds["seen"][:, 1:])


def test_mi_gan_is_known_by_its_hash_and_taken_out_of_its_packaging(tmp_path, migan):
    manifest = import_network(migan, tmp_path / "migan.edgefill")
    found = manifest.passed
    assert found.inputs == (Input("seen", ("mask", "picture")),) and found.mask == Mask(0.5, -0.5)
    assert found.sizes == Sizes(512, 512, (512, 512)) and found.output.hole_only and found.batch is None
    assert (manifest.family, manifest.licence) == ("MI-GAN", "MIT")
    assert manifest.proof["hole"] < 0.04 and manifest.proof["simplified"] < 1e-4
    bundle = Bundle.open(tmp_path / "migan.edgefill")
    model = onnx.load_from_string(bundle.graph("completion"))
    kinds = [node.op_type for node in model.graph.node]
    assert len(kinds) < 210 and set(kinds) == {"Add", "Conv", "LeakyRelu", "Resize"}
    pair = np.concatenate([(scenes := scene(512, 512))[0], scenes[0][..., ::-1]])
    known = np.concatenate([scenes[1], scenes[1][..., ::-1]])
    both = drawn(bundle, pair, known)
    np.testing.assert_allclose(both[1:], drawn(bundle, pair[1:], known[1:]), atol=1e-4)


def test_mi_gan_may_keep_its_packaging(tmp_path, migan):
    manifest = import_network(migan, tmp_path / "migan.edgefill", whole=True)
    found = manifest.passed
    assert [each.dtype for each in found.inputs] == ["uint8", "uint8"] and found.mask == Mask(255, 0)
    assert found.sizes.fixed is None and found.batch == 1 and not found.output.hole_only
    assert manifest.proof["seen in the hole"] > 0.02, "it leaks"
    picture, known = scene(300, 400)
    whole = drawn(Bundle.open(tmp_path / "migan.edgefill"), picture, known)
    assert whole.shape == picture.shape


@pytest.mark.parametrize(
    ("told", "mends"),
    [(Told(mask_means="hole"), "--mask-values 0.5,-0.5"), (Told(sees="white"), "--sees")],
)
def test_what_is_wrongly_told_of_mi_gan_is_refused(tmp_path, migan, told, mends):
    with pytest.raises(ModelError, match=mends):
        import_network(migan, tmp_path / "migan.edgefill", told=told)
    assert not list(tmp_path.iterdir())


def test_mi_gans_network_alone_is_recognised_by_its_shape(tmp_path, migan):
    packaging = PACKAGINGS[0]
    core = packaging.cut(onnx.load(migan))
    onnx.save(core, tmp_path / "core.onnx")
    examined = examine(tmp_path / "core.onnx")
    assert examined.interface == replace(packaging.core, sizes=Sizes(fixed=(512, 512)))
    assert examined.known is None and examined.family == "unknown"


def test_the_table_has_the_hash_of_mi_gans_file(migan):
    from edgefill.model.known import known_by_hash

    known = known_by_hash(hashlib.sha256(migan.read_bytes()).hexdigest())
    assert known is not None and known.name == "MI-GAN"
