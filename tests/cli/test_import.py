"""``edgefill import`` as a user runs it."""

from __future__ import annotations

import json

import onnx
import pytest

from edgefill.model.bundle import Bundle
from tests.export.importing.zoo import CONVENTIONS, network


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lama.onnx"
    onnx.save(network(CONVENTIONS["Carve's LaMa"]), path)
    return path


def test_a_network_becomes_a_model_and_is_described(tmp_path, file, run_edgefill):
    done = run_edgefill(
        "import", file, "--out", tmp_path / "lama.edgefill", "--licence", "Apache-2.0", "--json"
    )
    document = json.loads(done.stdout)
    assert document["model"].endswith("lama.edgefill") and document["licence"] == "Apache-2.0"
    assert document["interface"]["output"]["range"]["deviation"] == [1 / 255]
    assert "the mask is 0 where pixels are known and 1 where they are missing" in done.stderr
    assert "next: edgefill complete PICTURE --mask MASK --model" in done.stderr
    assert Bundle.open(tmp_path / "lama.edgefill").manifest.name == "lama"


def test_what_is_there_is_replaced_by_force_only(tmp_path, file, edgefill):
    out = tmp_path / "lama.edgefill"
    out.write_text("mine")
    done = edgefill("import", file, "--out", out)
    assert done.code == 6 and "already there; choose another name or replace it with --force" in done.err
    assert out.read_text() == "mine"
    assert edgefill("import", file, "--out", out, "--force").code == 0
    assert Bundle.open(out)


def test_a_dry_run_writes_nothing_but_the_contract_which_is_read_again(tmp_path, file, edgefill):
    contract = tmp_path / "contract.json"
    done = edgefill("import", file, "--dry-run", "--write-contract", contract, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["interface"] == json.loads(contract.read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contract.json", "lama.onnx"]
    assert edgefill("import", file, "--contract", contract, "--out", tmp_path / "lama.edgefill").code == 0
    contract.write_text(json.dumps({"mask": {"known": 1.0, "missing": 0.0}}))
    wrong = edgefill("import", file, "--contract", contract, "--out", tmp_path / "b.edgefill")
    assert wrong.code == 4 and wrong.err.strip().endswith("give --mask-means hole")
    assert not (tmp_path / "b.edgefill").exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--mask-means", "white"], 3, "--mask-means is 'white'; expected one of known, hole"),
        (["--range", "0-1"], 3, "--range is '0-1'; expected -1..1, 0..1, 0..255, imagenet, or means and dev"),
        (["--output-range", "a/b"], 3, "--output-range is 'a/b'"),
        (["--mask-values", "1"], 3, "--mask-values is '1'; expected two numbers such as 0.5,-0.5"),
        (["--join", "picture,alpha"], 3, "--join is 'alpha'; expected one of picture, mask, ones"),
        (["--order", "GBR"], 3, "--order is 'GBR'"),
        (["--layout", "NWHC"], 3, "--layout is 'NWHC'"),
        (["--sees", "noise"], 3, "--sees is 'noise'"),
        (["--precision", "int4"], 3, "--precision is 'int4'; expected one of fp32, fp16, both"),
        (["--precision", "int8"], 3, "--calibration FOLDER"),
        (["--calibration", "photos"], 3, "calibration is for int8"),
        (["--contract", "none.json"], 3, "the contract none.json cannot be read"),
        (["--mask-means", "known"], 4, "give --mask-means hole"),
        (["--order", "BGR"], 4, "give --order RGB"),
        (["--mask-input", "hole"], 4, "has no input 'hole'; expected one of image, mask"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(tmp_path, file, edgefill, options, code, words):
    done = edgefill("import", file, "--out", tmp_path / "it.edgefill", *options, "--json")
    assert done.code == code and words in done.err
    assert json.loads(done.out)["error"]["exit_code"] == code
    assert [path.name for path in tmp_path.iterdir()] == ["lama.onnx"]


def test_without_a_place_to_write_to_nothing_begins(file, edgefill):
    done = edgefill("import", file)
    assert done.code == 3 and "expected --out MODEL.edgefill, or --dry-run" in done.err


@pytest.mark.parametrize("content", ["[]", '{"mask": {"unknown": 1}}', '{"rnge": "0..1"}', "{"])
def test_a_contract_that_is_none_is_refused(tmp_path, file, edgefill, content):
    (tmp_path / "contract.json").write_text(content)
    out = tmp_path / "it.edgefill"
    done = edgefill("import", file, "--contract", tmp_path / "contract.json", "--out", out)
    assert done.code in (3, 4) and "contract" in done.err and "Traceback" not in done.err
    assert not out.exists()
