"""A signature says whose a model is, and what is not exactly what was signed is refused in words."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import zipfile

import pytest

from edgefill.errors import BackendUnavailable, InputError, ModelError
from edgefill.model.bundle import Bundle, annotate, write_bundle, write_signed
from edgefill.model.catalogue import catalogue
from edgefill.model.container import MANIFEST, SIGNATURE
from edgefill.model.manifest import seal_of
from edgefill.model.signature import SIGNERS, open_model, sign, signer_of
from tests.bundles import tiny_joined
from tests.signing import NOBODY, make_keys, public_key

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs OpenSSH's ssh-keygen")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signature(keys, tmp_path_factory):
    """The maker's of the tiny model."""
    path = tmp_path_factory.mktemp("model") / "tiny.edgefill"
    path.write_bytes(tiny_joined())
    sign(Bundle.open(path), keys / "maker", path)
    return Bundle.open(path).signature


@pytest.fixture
def path(tmp_path):
    """A model that nobody signed."""
    path = tmp_path / "tiny.edgefill"
    path.write_bytes(tiny_joined())
    return path


def put(path, **entries: bytes) -> None:
    """Replaces the manifest or the signature in the zip at ``path``."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents |= {{"manifest": MANIFEST, "signature": SIGNATURE}[name]: its for name, its in entries.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def refusal(path, signers) -> str:
    with pytest.raises(ModelError) as error:
        signer_of(Bundle.open(path), signers)
    return str(error.value)


@pytest.mark.parametrize("name", ["signed.edgefill", "signed"])
def test_signed_model_is_the_same_and_says_whose_it_is(path, tmp_path, keys, name):
    sign(Bundle.open(path), keys / "maker", tmp_path / name)
    before, after = Bundle.open(path), Bundle.open(tmp_path / name)
    assert signer_of(after, keys / "signers") == "maker@example.org"
    assert (after.statement, after.stored()) == (before.statement, before.stored())
    sign(after, keys / NOBODY, tmp_path / name)
    assert "nobody who may sign" in refusal(tmp_path / name, keys / "signers")


def test_what_is_made_of_a_signed_model_is_not_signed(path, signature):
    write_signed(path, Bundle.open(path), signature)
    annotate(path, origin="elsewhere")
    assert Bundle.open(path).signature == b""


def test_signature_of_another_model_is_refused(path, signature, keys):
    bundle = Bundle.open(path)
    other = dataclasses.replace(bundle.manifest, name="other")
    write_bundle(path, other, bundle.stored())
    write_signed(path, Bundle.open(path), signature)
    said = refusal(path, keys / "signers")
    assert "is none of its manifest" in said and "changed after it was signed" in said


def test_edited_licence_is_refused_even_with_a_new_seal(path, signature, keys):
    write_signed(path, Bundle.open(path), signature)
    manifest = json.loads(Bundle.open(path).statement)
    manifest["licence"] = "for any use"
    put(path, manifest=json.dumps(manifest).encode())
    with pytest.raises(ModelError, match="was changed after the model was written"):
        Bundle.open(path)
    put(path, manifest=json.dumps({**manifest, "seal": seal_of(manifest)}).encode())
    assert Bundle.open(path).manifest.licence == "for any use"
    assert "changed after it was signed" in refusal(path, keys / "signers")


def test_signature_for_another_purpose_is_refused(path, keys):
    command = ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", str(keys / "maker")]
    done = subprocess.run(command, input=Bundle.open(path).statement, capture_output=True, check=True)
    put(path, signature=done.stdout)
    assert "namespace" in refusal(path, keys / "signers")


def test_signer_who_is_unknown_or_may_not_sign_models_is_refused(path, signature, keys, tmp_path):
    put(path, signature=signature)
    others = tmp_path / "signers"
    others.write_text(f"else@example.org {public_key(keys / NOBODY)}\n")
    said = refusal(path, others)
    assert "signed with ED25519 key SHA256:" in said and "No principal matched" in said
    others.write_text(f'maker@example.org namespaces="git" {public_key(keys / "maker")}\n')
    assert "not permitted" in refusal(path, others)
    others.write_text(f'a@example.org,*@example.org namespaces="edgefill" {public_key(keys / "maker")}\n')
    assert signer_of(Bundle.open(path), others) == "a@example.org"


@pytest.mark.parametrize("length", [0, 1, 100, -40])
def test_signature_that_was_cut_is_refused(path, signature, keys, length):
    put(path, signature=signature[:length])
    assert ("is not signed" if length == 0 else "is none of its manifest") in refusal(path, keys / "signers")


def test_signature_too_large_to_be_one_is_not_read(path):
    put(path, signature=bytes(1 << 20))
    with pytest.raises(ModelError, match=r"manifest\.json\.sig .* has 1,048,576 bytes; at most 16,384"):
        Bundle.open(path)


def test_models_are_run_only_of_the_signers_that_the_environment_names(path, signature, keys, monkeypatch):
    assert open_model(path).signature == b""
    monkeypatch.setenv(SIGNERS, str(keys / "signers"))
    with pytest.raises(ModelError, match="is not signed; expected a signature by one of"):
        open_model(path)
    put(path, signature=signature)
    assert open_model(path).manifest.name == "tiny"
    monkeypatch.setenv(SIGNERS, str(keys / "none"))
    with pytest.raises(InputError, match="none is no file; expected one of signers"):
        open_model(path)
    monkeypatch.setenv(SIGNERS, "")
    with pytest.raises(InputError, match="EDGEFILL_SIGNERS is empty"):
        open_model(path)


def test_catalogue_says_whose_a_model_is_only_where_it_was_compared(
    path, signature, keys, tmp_path, monkeypatch
):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("edgefill.model.catalogue._bundled", list)
    (tmp_path / "cache" / "models").mkdir(parents=True)
    put(path, signature=signature)
    path.rename(tmp_path / "cache" / "models" / "tiny.edgefill")
    (entry,) = catalogue()
    assert (entry.is_signed, entry.signed_by, entry.distrust) == (True, "", "")
    (entry,) = catalogue(keys / "signers")
    assert (entry.is_signed, entry.signed_by, entry.distrust) == (True, "maker@example.org", "")
    put(entry.path, signature=signature[:-40])
    (entry,) = catalogue(keys / "signers")
    assert (entry.is_signed, entry.signed_by) == (True, "") and "none of its manifest" in entry.distrust


def test_key_that_is_none_is_an_error_in_words(path, keys, tmp_path):
    for key, words in ((keys / "signers", "cannot sign with"), (tmp_path / "none", "is no file")):
        with pytest.raises(InputError, match=words):
            sign(Bundle.open(path), key, path)
    assert path.read_bytes() == tiny_joined()


def test_without_openssh_it_says_how_to_get_it(path, signature, keys, monkeypatch, tmp_path):
    put(path, signature=signature)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match="comes with OpenSSH: apt-get install openssh-client"):
        signer_of(Bundle.open(path), keys / "signers")
