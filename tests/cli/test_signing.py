"""``edgefill sign`` and ``edgefill verify``, and what the other commands make of a signature."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from edgefill.model.signature import SIGNERS
from tests.bundles import tiny_joined
from tests.signing import NOBODY, make_keys

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs OpenSSH's ssh-keygen")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mine.edgefill"
    path.write_bytes(tiny_joined())
    return path


def test_a_model_is_signed_in_its_place_and_verified(edgefill, path, keys):
    assert edgefill("verify", path, "--signers", keys / "signers").code == 4
    signed = edgefill("sign", path, "--key", keys / "maker")
    assert signed.code == 0 and f"wrote {path}" in signed.err
    assert "is signed by maker@example.org" in edgefill("verify", path, "--signers", keys / "signers").out
    document = json.loads(edgefill("verify", path, "--signers", keys / "signers", "--json").out)
    assert document["signed_by"] == "maker@example.org" and document["licence"] == "unknown"
    edgefill("sign", path, "--key", keys / NOBODY)
    refused = edgefill("verify", path, "--signers", keys / "signers", "--json")
    assert refused.code == 4 and "nobody who may sign" in json.loads(refused.out)["error"]["message"]


def test_an_installed_model_is_signed_elsewhere(edgefill, path, keys, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    shutil.copy(path, tmp_path / "models")
    refused = edgefill("sign", "mine", "--key", keys / "maker")
    assert refused.code == 3 and "expected --out MODEL.edgefill" in refused.err
    assert edgefill("sign", "no-such", "--key", keys / "maker").code == 4
    out = tmp_path / "signed.edgefill"
    assert edgefill("sign", "mine", "--key", keys / "maker", "--out", out).code == 0
    again = edgefill("sign", "mine", "--key", keys / "maker", "--out", out)
    assert again.code == 6 and "--force" in again.err
    out.rename(tmp_path / "models" / "signed.edgefill")
    monkeypatch.setenv(SIGNERS, str(keys / "signers"))
    entries = {entry["name"]: entry for entry in json.loads(edgefill("models", "--json").out)["models"]}
    assert entries["signed"]["signed_by"] == "maker@example.org" and "signed_by" not in entries["mine"]
    lines = {line.split()[0]: line for line in edgefill("models").out.splitlines()}
    assert lines["signed"].endswith("; signed by maker@example.org")
    assert lines["mine"].endswith("; not signed")
    monkeypatch.delenv(SIGNERS)
    listed = edgefill("models").out
    assert "signed, by whom was not asked" in listed and "maker" not in listed


def test_what_runs_a_model_runs_only_those_of_known_signers(edgefill, path, keys, tmp_path, monkeypatch):
    monkeypatch.setenv(SIGNERS, str(keys / "signers"))
    Image.new("RGB", (24, 16), (90, 60, 30)).save(tmp_path / "a.png")
    complete = (
        "complete",
        tmp_path / "a.png",
        "--out",
        tmp_path / "out",
        "--backend",
        "cpu",
        "--model",
        path,
    )
    for command in (
        complete,
        ("sample", "--model", path, "--out", tmp_path / "sheet.png"),
        ("bench", "--model", path),
        ("build", path),
        ("serve", "--model", path, "--port", 0),
    ):
        refused = edgefill(*command)
        assert refused.code == 4 and "is not signed; expected a signature by one of" in refused.err
    edgefill("sign", path, "--key", keys / "maker")
    assert edgefill(*complete).code == 0 and (tmp_path / "out" / "a.png").exists()
