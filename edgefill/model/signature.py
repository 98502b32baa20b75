"""Whose a model is: OpenSSH's signature over its manifest, which holds the sha256 of everything else.

``ssh-keygen`` signs and compares, as it does for git, whose file of allowed signers says whose a key is. No
key passes through edgefill.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgefill.errors import BackendUnavailable, InputError, ModelError
from edgefill.model.bundle import Bundle, write_signed
from edgefill.model.catalogue import find

NAMESPACE = "edgefill"  # What is signed for another purpose is no signature of a model.
SIGNERS = "EDGEFILL_SIGNERS"  # Set to a file of signers, it is all that models are run of.
_SECONDS = 60  # that comparing a signature may take; signing may wait for somebody


def sign(bundle: Bundle, key: Path, out: Path) -> None:
    """Writes ``bundle`` to ``out`` with a signature by ``key``, in the place of one that it had.

    ``key`` is OpenSSH's file of a private key, or of the public one of a key that an agent holds. Raises
    InputError where it cannot be used, OutputError, and BackendUnavailable without ssh-keygen.
    """
    key = key.expanduser()
    if not key.is_file():
        raise InputError(f"{key} is no file; expected an OpenSSH key, such as ~/.ssh/id_ed25519")
    done = _ssh_keygen("sign", "-n", NAMESPACE, "-f", _absolute(key), message=bundle.statement)
    if done.returncode or not done.stdout:
        raise InputError(
            f"cannot sign with {key}: {_words(done)}; expected an OpenSSH private key; `ssh-keygen -t "
            "ed25519` makes one"
        )
    write_signed(out, bundle, done.stdout)


def signer_of(bundle: Bundle, signers: Path) -> str:
    """Who signed ``bundle``, by a name of the file ``signers``.

    Raises ModelError unless it is one of them and signed this very manifest, InputError where there is no
    such file, and BackendUnavailable without ssh-keygen.
    """
    signers = signers.expanduser()
    if not signers.is_file():
        raise InputError(
            f"{signers} is no file; expected one of signers: a line NAME ssh-ed25519 KEY for each"
        )
    if not bundle.signature:
        raise ModelError(
            f"{bundle.path} is not signed; expected a signature by one of {signers}; get the model from who "
            "signs it, or sign it: `edgefill sign`"
        )
    with _kept(bundle.signature) as signature:
        about = ("-n", NAMESPACE, "-s", signature)
        valid = _ssh_keygen("check-novalidate", *about, message=bundle.statement)
        if valid.returncode:
            raise ModelError(
                f"the signature in {bundle.path} is none of its manifest for {NAMESPACE}: {_words(valid)}: "
                "the model was changed after it was signed, or the signature was; get the model as it was"
            )
        name, why = _principal(bundle.statement, signature, signers)
    if name:
        return name
    key = valid.stdout.decode(errors="replace").rpartition(" with ")[2].strip() or "a key"
    raise ModelError(
        f"{bundle.path} is signed with {key}, and {signers} has nobody who may sign models with it: {why}; "
        "get the model from one of them, or add the key if you know whose it is"
    )


def open_model(model: str | Path) -> Bundle:
    """The bundle of ``model``, a name or a path, to be run. Raises as ``find`` and ``trusted`` do."""
    return trusted(find(model))


def trusted(path: Path) -> Bundle:
    """The bundle at ``path``, to be run: signed by one of EDGEFILL_SIGNERS where that is set.

    Raises as ``Bundle.open`` does, and then as ``signer_of`` does.
    """
    bundle = Bundle.open(path)
    signers = trusted_signers()
    if signers is not None:
        signer_of(bundle, signers)
    return bundle


def _principal(statement: bytes, signature: str, signers: Path) -> tuple[str, str]:
    """Who of ``signers`` signed the ``statement``, as they may; or "", and why it is nobody."""
    known = ("-s", signature, "-f", _absolute(signers))
    done = _ssh_keygen("find-principals", *known)
    for name in done.stdout.decode(errors="replace").replace(",", "\n").splitlines():
        done = _ssh_keygen("verify", "-n", NAMESPACE, "-I", name, *known, message=statement)
        if not done.returncode:
            return name, ""
    return "", _words(done)


def trusted_signers() -> Path | None:
    """The file that EDGEFILL_SIGNERS names; None where it is not set. Raises InputError where it is empty."""
    named = os.environ.get(SIGNERS)
    if named == "":
        raise InputError(f"{SIGNERS} is empty; expected a file of signers; unset it to run any model")
    return Path(named) if named else None


def _ssh_keygen(action: str, *arguments: str, message: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """``ssh-keygen -Y``; signing may ask for a password, which it reads from the terminal."""
    command = ["ssh-keygen", "-Y", action, *arguments]
    seconds = None if action == "sign" else _SECONDS
    try:
        return subprocess.run(command, input=message, capture_output=True, timeout=seconds)
    except FileNotFoundError as error:
        raise BackendUnavailable(
            "ssh-keygen is not here, which signs models and compares signatures; it comes with OpenSSH: "
            "apt-get install openssh-client (or, on Windows, the optional feature OpenSSH Client)"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BackendUnavailable(
            f"ssh-keygen did not answer in {_SECONDS} s; try `ssh-keygen -Y {action}` by hand"
        ) from error


@contextmanager
def _kept(signature: bytes) -> Iterator[str]:
    """A file of ``signature``, as ssh-keygen wants it."""
    with tempfile.TemporaryDirectory(prefix="edgefill-") as folder:
        path = Path(folder) / "manifest.sig"
        path.write_bytes(signature)
        yield str(path)


def _absolute(path: Path) -> str:
    """``path`` so that it is no option."""
    return str(path.absolute())


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    """What ssh-keygen says is wrong, in one line."""
    lines = done.stderr.decode(errors="replace").splitlines()
    said = [
        line.strip().rstrip(".") for line in lines if line.strip() and not line.startswith("Signing data")
    ]
    return "; ".join(said) or "ssh-keygen does not say why"
