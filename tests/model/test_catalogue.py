from __future__ import annotations

import os

import pytest

from edgefill.errors import ModelError
from edgefill.model.catalogue import cache_folder, catalogue, find
from tests.bundles import tiny_bundle


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "hands.edgefill").write_bytes(tiny_bundle())
    return tmp_path


def test_a_model_is_found_by_name_or_path(cache, tmp_path, monkeypatch):
    assert find("hands") == cache / "models" / "hands.edgefill"
    monkeypatch.chdir(tmp_path / "models")
    assert find("hands.edgefill").samefile(cache / "models" / "hands.edgefill")
    assert find(cache) == cache


def test_a_missing_model_lists_those_there_are_and_guesses(cache):
    with pytest.raises(ModelError, match=r"no model 'hand'.*hands.*did you mean 'hands'\?.*edgefill export"):
        find("hand")


def test_every_model_is_listed_with_its_size(cache):
    (entry,) = [entry for entry in catalogue() if entry.source == "cached"]
    assert (entry.name, entry.bytes, entry.manifest.channels) == ("hands", len(tiny_bundle()), 1)


def test_a_cache_that_is_not_there_is_empty(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "none"))
    assert [entry for entry in catalogue() if entry.source == "cached"] == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX homes")
def test_without_a_home_there_is_no_cache(monkeypatch):
    for name in ("EDGEFILL_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache_folder() is None
    assert all(entry.source == "bundled" for entry in catalogue())


def test_the_platform_s_cache_is_used(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGEFILL_CACHE_DIR", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "edgefill"
