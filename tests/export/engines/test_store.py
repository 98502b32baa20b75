"""Engines are built once, kept, and never handed out when anything about them is not as it should be."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from hashlib import sha256

import onnx
import pytest

from edgefill import __version__
from edgefill.errors import EngineError, InputError, ModelError, OutputError
from edgefill.export import import_network
from edgefill.export.engines.recipe import static
from edgefill.export.engines.store import Engines
from edgefill.model import catalogue
from edgefill.model.bundle import Bundle
from tests.export.importing.zoo import CONVENTIONS, crops_by_its_mask, network
from tests.fakes.tensorrt import FakeTensorRT

BUILD = "build_serialized_network"


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open(catalogue.find("faces64"))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEFILL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def said():
    return []


@pytest.fixture
def engines(bundle, tensorrt, orin, said):
    """The engines of faces64 on a Jetson with TensorRT 10.3."""
    return Engines(bundle, "tensorrt", say=said.append)


def folder(cache):
    (found,) = (path for path in (cache / "engines").iterdir() if path.is_dir())
    return found


def test_missing_engine_is_built_once_and_said_so(engines, tensorrt, said, bundle, cache):
    plan, recipe = engines.load("step", 3)
    assert (recipe.graph, recipe.precision, recipe.batch, recipe.sm) == ("step", "fp16", (4, 4, 4), (87,))
    assert plan.endswith(bundle.graph("step", "fp16")) and tensorrt.count(BUILD) == 1
    (line,) = said
    assert "no engine step-tensorrt-fp16-b4.engine" in line and "TensorRT 10.3.0" in line
    assert engines.load("step", 4) == (plan, recipe)
    assert Engines(bundle, "tensorrt", say=said.append).load("step", 2) == (plan, recipe)
    assert tensorrt.count(BUILD) == 1 and len(said) == 1
    assert engines.build_seconds > 0
    for private in (folder(cache), folder(cache).parent):
        assert private.stat().st_mode & 0o777 == 0o700


def test_smallest_engine_that_holds_the_rows_is_taken(engines, tensorrt):
    for batch in (static(16), static(4), (1, 8, 64)):
        engines.build("step", batch)
    engines.build("generator", static(2))
    assert engines.batches() == [(4, 4, 4), (16, 16, 16), (1, 8, 64)]
    assert engines.batches("generator") == [(2, 2, 2)]
    for rows, batch in ((1, (4, 4, 4)), (5, (16, 16, 16)), (17, (1, 8, 64)), (64, (1, 8, 64))):
        assert engines.load("step", rows)[1].batch == batch
    assert tensorrt.count(BUILD) == 4
    assert engines.load("step", 65)[1].batch == (128, 128, 128)


def test_engine_that_is_far_too_large_is_not_taken_unless_it_runs_few_rows_as_well(engines, tensorrt):
    engines.build("step", static(64))
    assert engines.load("step", 8)[1].batch == static(64)
    assert engines.load("step", 7)[1].batch == static(8)
    engines.build("generator", (1, 8, 64))
    assert engines.load("generator", 1)[1].batch == (1, 8, 64)
    assert tensorrt.count(BUILD) == 3


def test_precision_is_part_of_what_is_looked_for(engines, bundle, tensorrt, said):
    engines.load("step", 1)
    plain = Engines(bundle, "tensorrt", precision="fp32", say=said.append)
    assert plain.batches() == []
    assert plain.load("step", 1)[0].endswith(bundle.graph("step", "fp32"))


def change(cache, **changes):
    (path,) = folder(cache).glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "here"),
    [
        ({"library_version": "10.1.0"}, "library_version is 10.1.0, here it is 10.3.0"),
        ({"sm": [86]}, "sm is 86, here it is 87"),
        ({"source_sha256": "00ff"}, "source_sha256 is 00ff, here it is "),
        ({"precision": "fp32"}, "precision is fp32, here it is fp16"),
        ({"graph": "generator"}, "graph is generator, here it is step"),
        ({"library": "rtx"}, "library is rtx, here it is tensorrt"),
        ({"sha256": "0" * 64}, "damaged or was changed"),
    ],
)
def test_engine_that_does_not_fit_names_what_differs_and_is_built_again(
    changes, here, engines, bundle, tensorrt, said, cache
):
    plan, _ = engines.load("step", 1)
    change(cache, **changes)
    strict = Engines(bundle, "tensorrt", say=said.append, rebuild=False)
    with pytest.raises(EngineError) as error:
        strict.load("step", 1)
    assert here in str(error.value)
    assert str(error.value).endswith("run: edgefill build faces64 --for tensorrt --precision fp16 --batch 1")
    assert strict.batches() == [] and tensorrt.count("deserialize_cuda_engine") == 0
    assert engines.load("step", 1)[0] == plan
    assert tensorrt.count(BUILD) == 2 and here in said[-1]
    assert strict.load("step", 1)[0] == plan


def test_newer_tensorrt_and_another_gpu_are_named_together(engines, bundle, monkeypatch, orin):
    engines.load("step", 1)
    FakeTensorRT("11.4.0", sm=90).install(monkeypatch)
    orin.gpus = [("NVIDIA H200", (9, 0), 1 << 37)]
    with pytest.raises(
        EngineError, match=r"version is 10.3.0, here it is 11.4.0; sm is 87, here it is 90; run: "
    ):
        Engines(bundle, "tensorrt", rebuild=False).load("step", 1)


@pytest.mark.parametrize("position", [0, 1000, -1])
def test_one_changed_byte_is_noticed(position, engines, bundle, cache):
    engines.load("step", 1)
    (path,) = folder(cache).glob("*.engine")
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(EngineError, match="damaged or was changed"):
        Engines(bundle, "tensorrt", rebuild=False).load("step", 1)


@pytest.mark.parametrize("sidecar", [None, "", "{}", "[1]", '{"schema": 1}'])
def test_engine_that_nothing_vouches_for_is_not_used(sidecar, engines, bundle, tensorrt, cache):
    engines.load("step", 1)
    (path,) = folder(cache).glob("*.json")
    path.unlink()
    if sidecar is not None:
        path.write_text(sidecar)
    with pytest.raises(EngineError, match=r"step-tensorrt-fp16-b1\.engine.*run: edgefill build"):
        Engines(bundle, "tensorrt", rebuild=False).load("step", 1)
    engines.load("step", 1)
    assert tensorrt.count(BUILD) == 2


@pytest.mark.parametrize("depth", [0, 1])
def test_folder_that_is_open_to_others_is_refused(depth, engines, cache, tensorrt):
    engines.load("step", 1)
    opened = (folder(cache), folder(cache).parent)[depth]
    opened.chmod(0o770)
    with pytest.raises(EngineError, match=f"mode 0770, expected 0700.*chmod 700 {opened}$"):
        engines.load("step", 1)
    with pytest.raises(EngineError, match="mode 0770"):
        engines.build("step", static(1))
    opened.chmod(0o700)
    engines.load("step", 1)
    assert tensorrt.count(BUILD) == 1


def test_folder_of_somebody_else_is_refused(engines, monkeypatch):
    engines.load("step", 1)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(EngineError, match="belongs to user"):
        engines.load("step", 1)


def test_link_to_a_folder_is_refused(engines, cache, tmp_path):
    cache.mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (cache / "engines").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match="is a link"):
        engines.load("step", 1)


def test_cache_that_cannot_be_made_says_what_to_set(bundle, tensorrt, orin, cache):
    cache.write_text("a file")
    with pytest.raises(OutputError, match="EDGEFILL_CACHE_DIR"):
        Engines(bundle, "tensorrt").load("step", 1)


def test_built_engine_is_kept_unless_it_is_wanted_otherwise(engines, tensorrt):
    assert engines.build("step", static(1)).built
    assert not engines.build("step", static(1)).built
    assert engines.build("step", static(1), level=5).built
    assert not engines.build("step", static(1)).built
    assert engines.build("step", static(1), level=4).built
    assert engines.build("step", static(1), force=True).built
    assert tensorrt.count(BUILD) == 4


def test_sidecar_says_what_the_engine_is(engines, bundle):
    sidecar = engines.build("step", (1, 4, 8), level=2).sidecar
    assert sidecar.source_sha256 == sha256(bundle.graph("step", "fp16")).hexdigest()
    assert (sidecar.library, sidecar.library_version, sidecar.sm) == ("tensorrt", "10.3.0", (87,))
    assert (sidecar.batch, sidecar.level, sidecar.edgefill) == ((1, 4, 8), 2, __version__)
    assert sidecar.build_seconds > 0 and re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}Z", sidecar.created)


def test_interrupted_build_leaves_nothing_and_can_be_repeated(engines, tensorrt, cache):
    tensorrt.interrupt = lambda: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        engines.build("step", static(1))
    assert [path.name for path in folder(cache).iterdir()] == [".lock"]
    tensorrt.interrupt = lambda: None
    assert engines.build("step", static(1)).built


def test_build_uses_what_the_board_has_free_and_keeps_timings(engines, tensorrt, cache):
    engines.build("step", static(1))
    ((_, config),) = tensorrt.arguments(BUILD)
    assert config.pools["WORKSPACE"] == 4 << 30
    assert (cache / "engines" / "timings-10.3.0-sm87.cache").is_file()


def test_two_that_need_the_same_engine_build_it_once(engines, bundle, tensorrt, said):
    other = Engines(bundle, "tensorrt", say=said.append)
    plans = []
    threads = [
        threading.Thread(target=lambda it=it: plans.append(it.load("step", 1))) for it in (engines, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (plan, recipe), (same, other_recipe) = plans
    assert plan == same and recipe.name == other_recipe.name and tensorrt.count(BUILD) == 1
    assert 0 in (engines.build_seconds, other.build_seconds)  # who only waited has not built


def test_tensorrt_builds_for_the_gpu_that_is_here_only(engines):
    assert engines.build("step", static(1), sm=[87]).recipe.sm == (87,)
    with pytest.raises(InputError, match=r"builds for the GPU that is here \(sm 87\), not for sm 86"):
        engines.build("step", static(1), sm=[86])


def test_rtx_builds_for_the_gpus_that_are_named_the_one_here_or_any(bundle, monkeypatch, orin):
    FakeTensorRT("1.7.1", rtx=True).install(monkeypatch)
    orin.gpus = [("RTX 3090", (8, 6), 24 << 30)]
    engines = Engines(bundle, "rtx")
    assert engines.build("step", static(1)).recipe.sm == (86,)
    assert engines.build("step", static(1), sm=[75, 89]).recipe.sm == (75, 89)
    assert engines.batches() == []  # not for this GPU
    assert not engines.build("step", static(1), sm=[75, 89]).built
    orin.gpus = []
    assert Engines(bundle, "rtx").build("step", static(2)).recipe.sm == ()


def test_name_of_a_model_cannot_lead_out_of_the_cache(bundle, tensorrt, orin, cache):
    from dataclasses import replace

    evil = Bundle(replace(bundle.manifest, name="../../evil"), bundle.path, bundle._files)
    Engines(evil, "tensorrt", say=lambda line: None).load("step", 1)
    assert folder(cache).name.startswith(".._.._evil-")


def test_engines_elsewhere_are_held_to_the_same(bundle, tensorrt, orin, tmp_path):
    elsewhere = Engines(bundle, "tensorrt", folder=tmp_path / "mine", rebuild=False)
    path = elsewhere.build("step", static(1)).path
    assert path == tmp_path / "mine" / "step-tensorrt-fp16-b1.engine"
    assert elsewhere.load("step", 1)[0] == path.read_bytes()
    path.parent.chmod(0o755)
    with pytest.raises(EngineError, match="mode 0755"):
        elsewhere.load("step", 1)


def test_runtime_loads_neither_torch_nor_onnx_nor_tensorrt():
    code = (
        "import sys, edgefill.export.engines.store; "
        "print({'torch', 'onnx', 'tensorrt', 'tensorrt_rtx', 'pycuda'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_graph_whose_shapes_depend_on_the_mask_is_refused_before_anything_is_made(
    tmp_path, tensorrt, cache
):
    onnx.save(crops_by_its_mask(network(CONVENTIONS["Qualcomm's LaMa"])), tmp_path / "it.onnx")
    import_network(tmp_path / "it.onnx", tmp_path / "it.edgefill")
    engines = Engines(Bundle.open(tmp_path / "it.edgefill"), "tensorrt")
    with pytest.raises(
        ModelError, match=r"cannot build an engine of it: .*NonZero.*import it without --whole"
    ):
        engines.build("completion", static(1))
    assert tensorrt.count(BUILD) == 0 and not list(cache.rglob("*.engine"))
