"""What is true of the package as a whole: what importing costs, what it exports, what it never does."""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import edgefill
from edgefill.model.catalogue import SEPARATE

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for room in ("edgefill", "export", "kernels") for path in (ROOT / room).rglob("*.py"))
FORMS = {".cu", ".cuh", ".cubin", ".ptx", ".json"}  # of kernels, beside the Python
HEAVY = {"numpy", "PIL", "torch", "onnx", "onnxscript", "onnxruntime", "typer", "rich"}


def in_a_fresh_process(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_is_light_and_quick():
    code = f"""
import sys, time
begin = time.perf_counter()
import edgefill
print(time.perf_counter() - begin, *({HEAVY!r} & set(sys.modules)))
"""
    runs = [in_a_fresh_process(code).split() for _ in range(3)]
    assert all(loaded == [] for _, *loaded in runs)
    assert min(float(seconds) for seconds, *_ in runs) < 0.15


def test_public_names_are_sorted_and_all_there():
    assert edgefill.__all__ == sorted(edgefill.__all__)
    for name in edgefill.__all__:
        assert getattr(edgefill, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        _ = edgefill.paint


def test_export_room_exports_what_it_says():
    from edgefill import export

    assert all(callable(getattr(export, name)) for name in export.__all__)


def test_gradient_export_loads_nothing_of_completion():
    code = """
import sys
from edgefill.export import gradient_graph
print(*sorted(name for name in sys.modules if name.partition(".")[0] in ("edgefill", "PIL", "typer")))
"""
    rooms = {".".join(name.split(".")[:2]) for name in in_a_fresh_process(code).split()}
    assert not rooms & {"PIL", "typer"}
    assert not rooms & {
        f"edgefill.{room}" for room in ("completion", "training", "networks", "runtimes", "jobs")
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_executes_what_it_reads(path):
    """No pickle, eval, exec or shell; torch.load and np.load only where nothing is unpickled."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "yaml"}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert called not in ("eval", "exec", "os.system")
            assert options.get("shell") in (None, "False")
            assert options.get("allow_pickle") in (None, "False")
            if called in ("torch.load", "load") and "torch" in called:
                assert options.get("weights_only") == "True"


def test_torch_free_rooms_import_torch_nowhere():
    for path in SOURCES:
        if {"networks", "training", "export"} & set(path.relative_to(ROOT).parts[:2]):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                module = getattr(node, "module", None) or node.names[0].name
                assert module.split(".")[0] not in ("torch", "onnx", "onnxscript"), path


def test_training_and_completion_do_not_know_each_other():
    for room, stranger in (("training", "edgefill.completion"), ("completion", "edgefill.training")):
        for path in (ROOT / "edgefill" / room).rglob("*.py"):
            assert stranger not in path.read_text(), path


def test_wheels_hold_one_top_level_name_each_and_its_data(tmp_path):
    if importlib.util.find_spec("build") is None and importlib.util.find_spec("setuptools") is None:
        pytest.skip("needs setuptools, to build a wheel without a network")
    tree = tmp_path / "tree"  # A copy: a build folder of an older tree would end up in the wheel.
    for room in ("edgefill", "export", "kernels"):
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
    own = ("pyproject.toml", "README.md", "LICENSE")
    for name in (*own, *(f"models/{each}" for each in own)):
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--wheel-dir", tmp_path, tree, tree / "models"], check=True, capture_output=True
    )
    wheel, models = sorted(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"edgefill"}
    for name in (
        "edgefill/py.typed",
        "edgefill/export/engines/store.py",
        "edgefill/kernels/solvers/adam.cu",
        "edgefill/model/known_networks.json",
        "edgefill/serve/page/index.html",
        "edgefill/serve/page/page.css",
        "edgefill/serve/page/page.js",
        "edgefill/export/importing/simplification/graph.py",
    ):
        assert name in names
    kernels = [path for path in (ROOT / "kernels").rglob("*") if path.suffix in FORMS]
    assert len(kernels) > len(FORMS)
    assert {f"edgefill/{path.relative_to(ROOT)}" for path in kernels} <= set(names)
    weights = {Path(name).stem for name in names if name.endswith(".edgefill")}
    assert weights == {"hands64", "photos"}, "what anybody may use"
    for name in weights:
        assert f"edgefill/assets/{name}.md" in names
    others = set(zipfile.ZipFile(models).namelist())
    assert {name for name in others if name.endswith((".edgefill", ".md"))} == {
        f"edgefill_models/{name}{suffix}" for name in SEPARATE for suffix in (".edgefill", ".md")
    }
    (terms,) = (name for name in others if name.endswith("/LICENSE"))
    assert b"research use only" in zipfile.ZipFile(models).read(terms)
    the_lean_install_completes(wheel, models, tmp_path)


def the_lean_install_completes(wheel: Path, models: Path, tmp_path: Path) -> None:
    """It has no model of faces and says how to get them; with the other wheel beside it, it has."""
    site, site_of_models = tmp_path / "site", tmp_path / "site-of-models"
    zipfile.ZipFile(wheel).extractall(site)
    zipfile.ZipFile(models).extractall(site_of_models)
    Image.new("RGB", (24, 24), (90, 120, 30)).save(tmp_path / "flat.png")

    def edgefill_from(*sites: Path, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        paths = [*map(str, sites), sysconfig.get_paths()["purelib"]]
        code = f"import sys; sys.path[:0] = {paths}; from edgefill.cli import main; main()"
        run = [sys.executable, "-I", "-c", code, *arguments]
        return subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)

    done = edgefill_from(site, arguments=("complete", "flat.png", "--mask", "center", "--out", "filled"))
    assert done.returncode == 0, done.stderr
    assert "photos on" in done.stderr and (tmp_path / "filled" / "flat.png").is_file()
    listed = json.loads(edgefill_from(site, arguments=("models", "--json")).stdout)
    assert {each["name"] for each in listed["models"] if each["source"] == "bundled"} == {"hands64", "photos"}
    assert [each["name"] for each in listed["absent"]] == list(SEPARATE)
    refused = edgefill_from(site, arguments=("sample", "--out", "x.png", "--model", "faces64"))
    assert refused.returncode == 4 and "pip install ./models" in refused.stderr
    listed = json.loads(edgefill_from(site, site_of_models, arguments=("models", "--json")).stdout)
    assert {each["name"] for each in listed["models"]} >= {*SEPARATE, "photos"} and listed["absent"] == []
