"""A checkpoint that TensorFlow 2.21 wrote (tensorflow/write.py) draws here what it drew there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edgefill.cli.importing_generators import is_generator
from edgefill.errors import ModelError
from edgefill.export.weights.formats import TENSORFLOW, format_of, index_of
from edgefill.export.weights.importer import examine_generator
from edgefill.export.weights.tables import LARGEST, masked_checksum, read_table
from edgefill.export.weights.tensorflow import read_checkpoint

FOLDER = Path(__file__).parent / "tensorflow"
NAME = "DCGAN.model-2"
INDEX, DATA = f"{NAME}.index", f"{NAME}.data-00000-of-00001"


@pytest.fixture
def copy(tmp_path):
    for name in ("checkpoint", INDEX, DATA):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def entries():
    return read_table((FOLDER / INDEX).read_bytes())


def varint(value):
    """As tables and protocol buffers write numbers."""
    low, high = value & 127, value >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def block(pairs, kind=0):
    content = b"".join(
        b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs.items()
    )
    content += bytes(4) + b"\1\0\0\0"
    return content, _closed(content, kind)


def _closed(content, kind=0):
    content += bytes([kind])
    return content + masked_checksum(content).to_bytes(4, "little")


def table(pairs, *, kind=0, handles=None):
    content, closed = block(pairs, kind)
    index, closed_index = block(handles or {b"\xff": varint(0) + varint(len(content))})
    footer = varint(0) + varint(0) + varint(len(closed)) + varint(len(index))
    magic = (FOLDER / INDEX).read_bytes()[-8:]
    return closed + closed_index + footer.ljust(40, b"\0") + magic


def same_as_tensorflow(found):
    """Whether G draws the pictures that TensorFlow drew, and D judges them alike."""
    expected = {name: torch.from_numpy(value) for name, value in np.load(FOLDER / "expected.npz").items()}
    pictures = expected["pictures"].permute(0, 3, 1, 2)
    assert pictures.std() > 0.3
    with torch.no_grad():
        assert torch.allclose(found.generator(expected["z"]), pictures, rtol=0, atol=1e-5)
        assert torch.allclose(found.discriminator(pictures), expected["logits"].flatten(), rtol=0, atol=1e-4)
    return True


def test_g_draws_and_d_judges_as_in_tensorflow():
    found = examine_generator(FOLDER / INDEX)
    assert same_as_tensorflow(found)
    assert (found.z_dim, found.spatial_z, found.prior) == (8, False, "uniform")
    assert "maps of 8-40-6-4-3-3 channels, pictures of 32×32" in found.found[0]
    assert "as the programs have it that write such checkpoints: z from the uniform" in found.found[1]
    assert examine_generator(FOLDER / INDEX, prior="normal").prior == "normal"


@pytest.mark.parametrize("name", [INDEX, DATA, f"{NAME}.meta", NAME, "checkpoint", ""])
def test_a_checkpoint_is_told_by_any_of_its_files_and_by_its_folder(copy, name):
    (copy / f"{NAME}.meta").write_bytes(b"a graph")
    assert format_of(copy / name) == TENSORFLOW and is_generator(copy / name)
    assert index_of(copy / name) == copy / INDEX
    (copy / "g.onnx").write_bytes(b"no part of it")
    shutil.copy(copy / INDEX, copy / "g.onnx.index")
    assert not is_generator(copy / "g.onnx")


@pytest.mark.parametrize(
    "named",
    [
        lambda name: name.split("/", 1)[-1].replace("d_h4_lin", "d_h3_lin"),
        lambda name: name.replace("d_bn1", "d_bn0").replace("d_bn2", "d_bn1").replace("d_bn3", "d_bn2"),
    ],
    ids=["bamos, first", "bamos, last"],
)
def test_other_names_of_the_same_layers_are_known(copy, entries, named):
    renamed = {named(key.decode()).encode(): value for key, value in entries.items()}
    (copy / INDEX).write_bytes(table(renamed))
    assert same_as_tensorflow(examine_generator(copy / NAME))


def _entry(type_=1, shape=(10,), shard=0, offset=0, size=40, more=b""):
    axes = b"".join(b"\x12" + varint(1 + len(varint(axis))) + b"\x08" + varint(axis) for axis in shape)
    return (
        b"\x08" + varint(type_) + b"\x12" + varint(len(axes)) + axes + b"\x18" + varint(shard) + b"\x20"
        + varint(offset) + b"\x28" + varint(size) + more
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator/g_bn0/gamma": _entry(type_=9)}, "is no whole tensor of floating-point numbers (type 9)"),
        ({"generator/g_bn0/gamma": _entry(more=b"\x3a\x00")}, "is no whole tensor of floating-point numbers"),
        ({"generator/g_bn0/gamma": _entry(shape=[2] * 300)}, "is no whole tensor of floating-point numbers"),
        ({"generator/g_bn0/gamma": _entry(shape=[2**62, 2**62])}, "has 40 bytes, which are no numbers of"),
        ({"generator/g_bn0/gamma": _entry(shape=[2**40], size=2**42)}, "ends beyond DCGAN.model-2.data"),
        ({"generator/g_bn0/gamma": _entry(offset=2**63)}, "ends beyond DCGAN.model-2.data-00000-of-00001"),
        ({"generator/g_bn0/gamma": _entry(shard=3)}, "is said to be in part 3 of 1"),
        ({"generator/g_bn0/gamma": b"\x0b"}, "an entry has a field of the kind 3"),
        ({"generator/g_bn0/gamma": b"\x0a\x01x"}, "an entry has text for a number"),
        ({"generator/g_bn0/gamma": b"\x08" + b"\xff" * 11}, "a number has more than 64 bits"),
        ({"generator/g_bn0/gamma": _entry()[:-1]}, "1 bytes are said to come where 0 are left"),
        ({"generator/g_h0_lin/Matrix": _entry(shape=[8, 5], size=160)}, "does not fit the 10 channels"),
        ({"generator/g_h1_lin/Matrix": _entry(shape=[5, 2])}, "takes labels too"),
        (
            {"generator/g_h0_lin/Matrix": None, "generator/g_h0_lin/bias": None},
            "begins with g_bn0; expected g_h0_lin",
        ),
        ({"discriminator/d_h7_conv/w": _entry()}, "ends with d_h7_conv; expected d_h4_lin"),
        ({"other/g_bn0/gamma": _entry()}, "has two of g_bn0/gamma"),
        ({"generator/g_bn0/moving_mean": None}, "lacks g_bn0/moving_mean: early programs keep"),
        ({"generator/g_h1/w": None}, "lacks g_h1.weight"),
        ({"": None}, "lacks its header"),
        ({"": b"\x08\x01\x10\x01"}, "in the order of another machine's bytes"),
        ({"": b"\x08\x02"}, "data-00000-of-00002 cannot be read: No such file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(copy, entries, changes, words):
    changed = {**entries, **{name.encode(): value for name, value in changes.items()}}
    (copy / INDEX).write_bytes(table({name: value for name, value in changed.items() if value is not None}))
    with pytest.raises(ModelError) as error:
        examine_generator(copy / NAME)
    assert words in str(error.value)


def test_a_discriminator_of_other_pictures_is_left_out_with_the_reason(copy, entries):
    (copy / INDEX).write_bytes(
        table({**entries, b"discriminator/d_h4_lin/Matrix": _entry(shape=[10, 1], size=40)})
    )
    found = examine_generator(copy / NAME)
    assert found.discriminator is None
    assert "it takes 10 numbers, where 40 come in" in found.found[2]


def test_tensors_that_share_their_bytes_do_not_fill_the_memory(copy, entries):
    many = {f"g_h{index}/w".encode(): _entry(shape=[17000], size=68000) for index in range(300)}
    (copy / INDEX).write_bytes(table({b"": entries[b""], **many}))
    with pytest.raises(ModelError, match=r"the tensor g_h1/w ends beyond"):
        examine_generator(copy / NAME)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (table({b"a": b"b"}, kind=1), r"a block is compressed \(type 1\)"),
        (table({b"a": b"b"}, handles={b"a": b"\0\x0d", b"b": b"\0\x0d"}), "its blocks overlap"),
        (table({b"a": b"b"}, handles={b"a": b"\0" + b"\xff" * 8 + b"\1"}), "are said to come where"),
        (table({b"a": b"b"}, handles={b"a": b"\xff" * 8 + b"\1\1"}), "are said to come where"),
        (table({b"k" * 5000: b""}), "a key of 5000 bytes shares 0 with one of 0"),
        (table({b"a": b"b"}) * (LARGEST // 60), "bytes, where at most"),
        (table({}), "lacks its header"),
    ],
)
def test_a_hostile_table_is_refused(copy, content, words):
    (copy / INDEX).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        read_checkpoint(copy / NAME)


def test_a_damaged_checkpoint_is_refused_wherever_the_damage_is(copy):
    whole = (copy / INDEX).read_bytes()
    for place in range(0, len(whole) - 48, 61):
        (copy / INDEX).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ModelError, match=r"the index of a checkpoint that tf\.train\.Saver wrote"):
            read_checkpoint(copy / NAME)
    for end in (0, 8, 47, 1000, len(whole) - 1):
        (copy / INDEX).write_bytes(whole[:end])
        with pytest.raises(ModelError, match="it does not end as a table does"):
            read_checkpoint(copy / NAME)
    (copy / INDEX).write_bytes(whole)
    (copy / DATA).write_bytes((copy / DATA).read_bytes()[:-2000])
    with pytest.raises(ModelError, match="it is cut off"):
        examine_generator(copy / NAME)


def test_other_checkpoints_are_refused_in_words(copy, entries):
    (copy / INDEX).write_bytes(table({b"": entries[b""], b"dense/kernel": _entry()}))
    with pytest.raises(ModelError, match="holds no generator: expected variables such as g_h0_lin/Matrix"):
        examine_generator(copy)
    (copy / INDEX).rename(copy / "old.model-500")
    with pytest.raises(ModelError, match=r"a checkpoint of TensorFlow's first format, of before 0\.12"):
        examine_generator(copy / "old.model-500")
