"""A bundle is read whole and verified, or refused with a ModelError; it is written whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import random
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

from edgefill import assets
from edgefill.errors import ModelError, OutputError
from edgefill.model.bundle import Bundle, write_bundle
from edgefill.model.catalogue import find
from edgefill.model.container import MANIFEST
from edgefill.model.manifest import FORMAT, GRAPHS, HALF, Manifest, graph_signatures, seal_of
from edgefill.model.onnx_file import extracted
from tests.bundles import Z, tiny_bundle


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tiny.edgefill"
    path.write_bytes(tiny_bundle())
    return path


def contents(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(path, entries, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def sealed(manifest) -> str:
    """The text of a manifest as somebody would write it who knows of the seal."""
    return json.dumps({**manifest, "seal": seal_of(manifest)})


def refused(path) -> str:
    with pytest.raises(ModelError) as error:
        bundle = Bundle.open(path)
        for name in GRAPHS:
            bundle.graph(name)
    return str(error.value)


def raiser(error: Exception):
    def fails(*_):
        raise error

    return fails


def test_manifest_says_what_was_exported(path):
    manifest = Bundle.open(path).manifest
    assert (manifest.name, manifest.z_dim, manifest.picture_shape) == ("tiny", Z, (1, 8, 8))
    assert (manifest.licence, manifest.origin, manifest.precision) == ("CC0", "tests", "fp32")
    assert manifest.proof["gradient"] < 1e-4


def test_metadata_in_the_graphs_equals_the_manifest(path):
    bundle = Bundle.open(path)
    for graph in GRAPHS:
        entries = onnx.load_from_string(bundle.graph(graph)).metadata_props
        metadata = {entry.key: entry.value for entry in entries}
        assert metadata["edgefill.graph"] == graph
        assert metadata["edgefill.z_dim"] == str(bundle.manifest.z_dim)
        assert metadata["edgefill.licence"] == bundle.manifest.licence
        assert metadata["Image.NominalPixelRange"] == "Normalized_1_1"


def test_folder_and_zip_hold_the_same(path, tmp_path):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "folder")
    zipped, folder = Bundle.open(path), Bundle.open(tmp_path / "folder")
    assert folder.manifest == zipped.manifest
    assert all(folder.graph(name) == zipped.graph(name) for name in GRAPHS)


@pytest.mark.parametrize("name", ["copy.edgefill", "copy"])
def test_written_bundle_reads_back_and_is_byte_equal(path, tmp_path, name):
    bundle = Bundle.open(path)
    graphs = {graph: contents(path)[f"{graph}.onnx"] for graph in GRAPHS}
    assert write_bundle(tmp_path / name, bundle.manifest, graphs) == bundle.manifest
    assert Bundle.open(tmp_path / name).manifest == bundle.manifest
    if name.endswith(".edgefill"):
        assert (tmp_path / name).read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.fixture
def folder(path, tmp_path):
    """The bundle as a folder, and the same under another name as what shall take its place."""
    graphs = {graph: contents(path)[f"{graph}.onnx"] for graph in GRAPHS}
    write_bundle(tmp_path / "model", Bundle.open(path).manifest, graphs)

    def overwrite() -> None:
        write_bundle(
            tmp_path / "model", dataclasses.replace(Bundle.open(path).manifest, name="newer"), graphs
        )

    return tmp_path / "model", overwrite


def test_a_folder_is_replaced_whole_and_nothing_is_left_beside_it(folder, tmp_path):
    place, overwrite = folder
    overwrite()
    assert Bundle.open(place).manifest.name == "newer"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("reason", [OSError("the disk is gone"), KeyboardInterrupt()], ids=["fault", "stop"])
@pytest.mark.parametrize("at", ["model", ".model.folder.old"])
def test_the_old_folder_stays_where_the_new_one_cannot_take_its_place(
    folder, tmp_path, monkeypatch, at, reason
):
    place, overwrite = folder
    replace, failed = Path.replace, []

    def fails(self: Path, target: Path) -> Path:
        if target.name == at and not failed:
            failed.append(target)
            raise reason
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        overwrite()
    assert failed
    assert Bundle.open(place).manifest.name == "tiny"
    assert not list(tmp_path.glob(".*"))


def test_a_writer_killed_between_its_two_renames_leaves_a_model_that_opens(folder, tmp_path, monkeypatch):
    """A kill runs no ``finally``: nothing is restored until the next writer comes."""
    place, overwrite = folder
    (tmp_path / ".model.folder.tmp").mkdir()
    place.rename(tmp_path / ".model.folder.old")
    assert Bundle.open(find(place)).manifest.name == "tiny"
    with monkeypatch.context() as patch:
        patch.setattr("edgefill.files.write_atomically", raiser(OSError("no space")))
        with pytest.raises(OutputError):
            overwrite()
    assert Bundle.open(place).manifest.name == "tiny"
    place.rename(tmp_path / ".model.folder.old")
    overwrite()
    assert Bundle.open(place).manifest.name == "newer"
    assert not list(tmp_path.glob(".*"))


def test_foreign_folder_is_not_replaced(path, tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").write_bytes(b"a photo")
    with pytest.raises(OutputError, match="something else lies there"):
        write_bundle(tmp_path / "holiday", Bundle.open(path).manifest, {})
    assert (tmp_path / "holiday" / "photo.jpg").read_bytes() == b"a photo"


def test_truncated_bundle_is_refused(path):
    whole = path.read_bytes()
    for part in range(21):
        path.write_bytes(whole[: len(whole) * part // 21])
        assert refused(path)


def test_flipped_bit_is_refused_or_changes_nothing(path):
    """A zip holds a few bits that say nothing of its contents (dates, versions); all others are caught."""
    whole, intact = path.read_bytes(), Bundle.open(path)
    original = {name: intact.graph(name) for name in GRAPHS}
    chooser = random.Random(0)
    harmless = 0
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[chooser.randrange(len(whole))] ^= 1 << chooser.randrange(8)
        path.write_bytes(damaged)
        try:
            bundle = Bundle.open(path)
        except ModelError:
            continue
        harmless += 1
        assert all(bundle.graph(name) == original[name] for name in GRAPHS)
    assert harmless < 10


def test_random_bytes_are_refused(path):
    path.write_bytes(random.Random(0).randbytes(4096))
    assert "no edgefill model" in refused(path)


def test_missing_model_names_the_command_that_lists(tmp_path):
    assert "edgefill models" in refused(tmp_path / "none.edgefill")


@pytest.mark.parametrize("name", ["../x.onnx", "/x.onnx", "sub/step.onnx", "STEP.onnx", "notes.txt"])
def test_foreign_file_name_is_refused_and_nothing_is_written(path, name, tmp_path):
    rezip(path, [*contents(path).items(), (name, b"")])
    before = sorted(tmp_path.rglob("*"))
    assert name.rpartition("/")[2] in refused(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_file_that_is_there_twice_is_refused(path):
    entries = [*contents(path).items(), ("step.onnx", b"")]
    with pytest.warns(UserWarning, match="Duplicate"):
        rezip(path, entries)
    assert "twice" in refused(path)


def test_link_in_a_zip_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents_of(tiny_bundle()).items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o120777 if name == "step.onnx" else 0o100644) << 16
            archive.writestr(entry, content)
    assert "link" in refused(path)


def contents_of(whole: bytes) -> dict[str, bytes]:
    return contents(io.BytesIO(whole))


def test_link_in_a_folder_is_refused(path, tmp_path):
    folder = tmp_path / "folder"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    shutil.move(folder / "step.onnx", tmp_path / "elsewhere.onnx")
    (folder / "step.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    assert "link" in refused(folder)


class Payload:
    """What an attacker would put into a pickle: code that runs when it is read."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return (Path.touch, (self.sentinel,))


@pytest.mark.parametrize("dump", [lambda thing, path: path.write_bytes(pickle.dumps(thing)), torch.save])
def test_pickle_is_refused_and_never_runs(dump, tmp_path):
    dump(Payload(tmp_path / "sentinel"), tmp_path / "model.edgefill")
    assert refused(tmp_path / "model.edgefill")
    assert not (tmp_path / "sentinel").exists()


def test_bomb_is_refused_before_it_is_unpacked(path):
    entries = contents(path)
    entries[MANIFEST] = b" " * (2 << 20)
    rezip(path, entries.items(), compression=zipfile.ZIP_DEFLATED)
    assert "at most 50 times" in refused(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest["latent"].pop("z_dim"), "z_dim"),
        (lambda manifest: manifest["latent"].update(z_dim=0), "z_dim"),
        (lambda manifest: manifest["latent"].update(z_dim=True), "z_dim"),
        (lambda manifest: manifest["latent"].update(height="8"), "height"),
        (lambda manifest: manifest.update(colour="blue"), "colour"),
        (lambda manifest: manifest.update(format=99), "update edgefill"),
        (lambda manifest: manifest.update(format=1), "format 1"),
        (lambda manifest: manifest.update(format=True), "format True"),
        (lambda manifest: manifest.update(precision="int4"), "precision"),
        (lambda manifest: manifest.update(precision=["fp32"]), "precision"),
        (lambda manifest: manifest.update(opset=99), "opset 99"),
        (lambda manifest: manifest.update(name="a\x1b[2J"), "line of text"),
        (lambda manifest: manifest.update(licence="a\nb"), "line of text"),
        (lambda manifest: manifest.update(proof={"a": 10**400}), "a number"),
        (lambda manifest: manifest["files"]["step.onnx"].update(bytes=1), "its manifest says 1"),
        (lambda manifest: manifest.update(name=3), "name"),
        (lambda manifest: manifest.update(files=[]), "files"),
        (lambda manifest: manifest["files"].pop("step.onnx"), "lists"),
        (lambda manifest: manifest["files"]["step.onnx"].update(sha256="0"), "damaged or was changed"),
        (lambda manifest: manifest["latent"].update(prior="gaussian"), "uniform, normal"),
        (lambda manifest: manifest["latent"].update(z_dim=5), "'N', 5"),
        (lambda manifest: manifest["latent"].update(channels=3), "shape"),
    ],
)
def test_wrong_manifest_names_the_first_difference(path, change, message):
    entries = contents(path)
    manifest = json.loads(entries[MANIFEST])
    change(manifest)
    rezip(path, (entries | {MANIFEST: sealed(manifest)}).items())
    assert message in refused(path)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_manifest_that_is_no_object_is_refused(path, text):
    rezip(path, (contents(path) | {MANIFEST: text}).items())
    assert "manifest" in refused(path)


def test_fp16_graphs_come_as_a_pair_or_not_at_all(path):
    entries, half = contents(path), f"step{HALF}.onnx"
    manifest = json.loads(entries[MANIFEST])
    manifest["files"][half] = manifest["files"]["step.onnx"]
    rezip(path, (entries | {MANIFEST: sealed(manifest), half: entries["step.onnx"]}).items())
    assert "holds" in refused(path)


def test_the_fit_is_the_step_without_d(path):
    """Half the work where D's gradient has no weight, and no byte more in the file."""
    bundle = Bundle.open(path)
    fit, step = (onnx.load_from_string(bundle.graph(name)) for name in ("fit", "step"))
    assert [value.name for value in fit.graph.output] == ["loss", "grad_z", "generated", "contextual"]
    assert "lam" not in {value.name for value in fit.graph.input}
    assert "fit" not in {value.name for value in step.graph.output}
    used = [{name for node in model.graph.node for name in node.input} for model in (fit, step)]
    weights = [{value.name for value in model.graph.initializer} for model in (fit, step)]
    assert all(values <= names for values, names in zip(weights, used, strict=True))
    assert weights[0] < weights[1]
    onnx.checker.check_model(fit, full_check=True)
    onnx.checker.check_model(step, full_check=True)


def test_a_bundle_with_an_encoder_has_its_graph_in_the_manifests_precision(tmp_path):
    path = tmp_path / "tiny.edgefill"
    path.write_bytes(tiny_bundle(encoder=True))
    bundle = Bundle.open(path)
    assert bundle.manifest.has_encoder and bundle.manifest.proof["encoder"] < 1e-4
    assert bundle.graph("encoder", "fp16") == bundle.graph("encoder") == contents(path)["encoder.onnx"]
    assert bundle.precision_of("encoder", "fp16") == "fp32" and bundle.precision_of("step", "fp16") == "fp16"


def test_a_graph_that_is_not_there_names_what_is(path):
    assert not Bundle.open(path).manifest.has_encoder
    with pytest.raises(ModelError, match=r"holds no encoder; export or import the model again$"):
        Bundle.open(path).graph("encoder")
    with pytest.raises(ModelError, match="--precision both"):
        Bundle.open(path).graph("step", "fp16")


@pytest.mark.parametrize("key", ["licence", "origin", "name"])
def test_manifest_that_was_edited_is_noticed(path, key):
    entries = contents(path)
    manifest = json.loads(entries[MANIFEST])
    manifest[key] = "mine"
    rezip(path, (entries | {MANIFEST: json.dumps(manifest)}).items())
    assert "was changed after the model was written" in refused(path)
    assert "CC0" in Bundle.open(_restored(path)).manifest.licence


def _restored(path):
    path.write_bytes(tiny_bundle())
    return path


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(assets.__path__[0]).glob("*.edgefill")))
def test_edited_manifest_of_a_model_that_comes_along_is_noticed(name, tmp_path):
    path = tmp_path / "m.edgefill"
    path.write_bytes(find(name).read_bytes())
    entries = contents(path)
    licence = Bundle.open(path).manifest.licence
    text = entries[MANIFEST].replace(licence.encode(), b"for any use", 1)
    assert text != entries[MANIFEST]
    rezip(path, (entries | {MANIFEST: text}).items())
    assert "was changed" in refused(path)


def _of_format(number: int) -> dict[str, bytes]:
    """The tiny bundle as the edgefill of that format wrote it."""
    entries = contents_of(tiny_bundle())
    manifest = json.loads(entries[MANIFEST])
    del manifest["seal"]
    manifest["format"] = number
    if number == 2:
        names = ("loss", "grad_z", "generated", "contextual", "perceptual")
        entries["step.onnx"] = extracted(entries["step.onnx"], {name: name for name in names})
        content = entries["step.onnx"]
        manifest["files"]["step.onnx"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
    if number <= 3:
        manifest |= {"kind": "dcgan", "picture_range": [-1.0, 1.0], **manifest.pop("latent")}
        del manifest["family"]
    return entries | {MANIFEST: json.dumps(manifest).encode()}


@pytest.mark.parametrize("number", range(2, FORMAT))
def test_bundle_of_an_older_format_opens_and_fits_alike(path, number):
    whole = Bundle.open(path)
    feeds = _feeds(whole)
    expected = _run(whole.graph("fit"), feeds)
    rezip(path, _of_format(number).items())
    old = Bundle.open(path)
    assert old.manifest.latent == whole.manifest.latent
    fit = onnx.load_from_string(old.graph("fit"))
    onnx.checker.check_model(fit, full_check=True)
    assert [value.name for value in fit.graph.output] == ["loss", "grad_z", "generated", "contextual"]
    for name, value in _run(old.graph("fit"), feeds).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    assert [value.name for value in onnx.load_from_string(old.graph("step")).graph.output][-1] == "perceptual"


def test_seal_cannot_be_avoided_by_claiming_an_older_format(path):
    entries = contents(path)
    manifest = json.loads(entries[MANIFEST]) | {"format": FORMAT - 1, "licence": "for any use"}
    rezip(path, (entries | {MANIFEST: json.dumps(manifest).encode()}).items())
    assert "was changed" in refused(path)


@pytest.mark.parametrize("name", sorted(path.stem for path in Path(assets.__path__[0]).glob("*.edgefill")))
def test_every_model_that_comes_along_is_sealed(name):
    with zipfile.ZipFile(find(name)) as archive:
        assert Manifest.from_json(archive.read(MANIFEST), name).is_sealed


def _feeds(bundle) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: rng.uniform(0.5, 1, [2 if side == "N" else side for side in shape]).astype(np.float32)
        for name, shape in graph_signatures(bundle.manifest)["fit"][0].items()
    } | {"power": np.ones(2, np.float32)}


def _run(content: bytes, feeds) -> dict[str, np.ndarray]:
    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_bundle_is_sized_up_before_it_is_read(path):
    """Two megabytes that claim gigabytes are refused by their names, their manifest and the sum of sizes."""
    entries = contents(path)
    for name in ("generator.onnx", "discriminator.onnx", "step.onnx"):
        entries[name] = bytes(80 << 20)
    rezip(path, entries.items(), compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    assert "claims to hold" in refused(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused(path, method):
    rezip(path, contents(path).items(), compression=method)
    assert "compressed by method" in refused(path)


def test_deflated_bundle_opens(path):
    rezip(path, contents(path).items(), compression=zipfile.ZIP_DEFLATED)
    assert Bundle.open(path).manifest.name == "tiny"


def test_odd_manifests_end_in_words(path):
    """Any value in the place of any other."""
    entries = contents(path)
    manifest = json.loads(entries[MANIFEST])
    places = [(manifest, key) for key in manifest] + [
        (manifest[key], inner) for key in ("latent", "files", "proof") for inner in manifest[key]
    ]
    for holder, key in places:
        before = holder[key]
        for value in (None, True, -1, 10**30, 1e308, "", "\x1b", [], [[]], {}, {"a": {}}, [None], "\ud800"):
            holder[key] = value
            text = sealed(manifest)
            try:
                Manifest.from_json(text.encode(), "it")
            except ModelError as error:
                assert "expected" in str(error) or "has no" in str(error) or "reads" in str(error)
        holder[key] = before
