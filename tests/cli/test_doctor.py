from __future__ import annotations

import json
import os
import subprocess
import sys

from edgefill.surroundings import PACKAGES


def test_report_is_plain_text_with_a_status_on_each_line(run_edgefill, tmp_path):
    home = tmp_path / "home" / "alice"
    home.mkdir(parents=True)
    surroundings = {**os.environ, "HOME": str(home), "USER": "alice", "COLUMNS": "40", "FORCE_COLOR": "1"}
    done = run_edgefill("doctor", env=surroundings)
    assert done.stderr == "" and "\x1b" not in done.stdout and "alice" not in done.stdout
    for line in done.stdout.splitlines():
        assert line.startswith(("ok ", "missing ", "problem ")) or line.lstrip().startswith("-> ")
    subjects = [line[8:].split("  ")[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    for subject in ("python", "gpu", "onnxruntime", "cache", "backend cpu", "backend rtx"):
        assert subject in subjects


def test_doctor_needs_none_of_the_packages_that_it_looks_for():
    """In its own process, that is: those in which it imports them are another's."""
    blocked = ("numpy", "PIL", "onnxruntime", "torch", "onnx", "tensorrt_rtx", "pycuda", "openvino")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked})); sys.argv = ['edgefill', 'doctor']; "
        "from edgefill import surroundings; surroundings.PACKAGES = {'tensorrt': ('none', ())}; "
        "from edgefill.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "backend cpu" in done.stdout


def test_json_is_one_document_with_the_same_findings(edgefill, monkeypatch):
    needed = {name: PACKAGES[name] for name in ("numpy", "pillow", "onnxruntime", "tensorrt")}
    monkeypatch.setattr("edgefill.surroundings.PACKAGES", needed)
    findings = json.loads(edgefill("doctor", "--json").out)["findings"]
    by_subject = {finding["subject"]: finding for finding in findings}
    assert by_subject["backend cpu"] == {
        "subject": "backend cpu", "status": "ok", "found": "ready", "mend": ""
    }  # fmt: skip
    assert by_subject["nvcc"]["status"] == "ok" and "not needed" in by_subject["nvcc"]["found"]
