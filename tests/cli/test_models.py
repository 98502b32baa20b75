from __future__ import annotations

import json
import zipfile

import pytest


@pytest.fixture
def cache(tmp_path, monkeypatch, model):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "hands.edgefill").write_bytes(model.read_bytes())
    (tmp_path / "models" / "torn.edgefill").write_bytes(model.read_bytes()[:1000])
    return tmp_path


def test_json_describes_each_model_and_says_which_is_damaged(edgefill, cache, model):
    done = edgefill("models", "--json")
    entries = {entry["name"]: entry for entry in json.loads(done.out)["models"]}
    hands = entries["hands"]
    assert (hands["family"], hands["width"], hands["height"], hands["channels"]) == ("dcgan", 8, 8, 1)
    assert hands["bytes"] == model.stat().st_size and hands["source"] == "cached"
    assert hands["licence"] == "CC0" and hands["origin"] == "tests" and not hands["problem"]
    assert "torn.edgefill" in entries["torn"]["problem"] and done.code == 0


def test_a_model_of_a_format_without_seals_is_listed_as_not_sealed(edgefill, cache, model):
    with zipfile.ZipFile(model) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(contents["manifest.json"])
    del manifest["seal"]
    contents["manifest.json"] = json.dumps({**manifest, "format": 4}).encode()
    with zipfile.ZipFile(cache / "models" / "old.edgefill", "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    entries = {entry["name"]: entry for entry in json.loads(edgefill("models", "--json").out)["models"]}
    assert (entries["old"]["sealed"], entries["hands"]["sealed"]) == (False, True)
    assert not any(entries[name]["signed"] or "signed_by" in entries[name] for name in ("old", "hands"))
    lines = {line.split()[0]: line for line in edgefill("models").out.splitlines()}
    assert "; not sealed: an edited manifest would not be noticed" in lines["old"]
    assert "not sealed" not in lines["hands"]


def test_the_list_is_a_line_for_each_model(edgefill, cache):
    done = edgefill("models")
    lines = done.out.splitlines()
    assert any(
        line.startswith("hands  dcgan, latent search, 8×8 grey, fp32, 0.0 MB, cached; from tests")
        for line in lines
    )
    assert any(line.startswith("torn  cached, damaged") for line in lines)
    assert str(cache / "models") in done.err
