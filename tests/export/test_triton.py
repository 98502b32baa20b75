"""Model repositories for Triton: their configuration by Triton's own schema, and what they run."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from edgefill.errors import InputError, ModelError, OutputError
from edgefill.export.engines import builder
from edgefill.export.engines.builder import Plan
from edgefill.export.triton import config, export_triton
from edgefill.model.bundle import Bundle, write_bundle
from edgefill.model.catalogue import find
from tests.bundles import tiny_joined


class Tensor:
    def __init__(self, name: str, values: np.ndarray) -> None:
        self.name, self.values = name, values

    def as_numpy(self) -> np.ndarray:
        return self.values


TRITON = SimpleNamespace(
    Tensor=Tensor,
    TritonError=lambda message: message,
    InferenceResponse=lambda tensors=(), error=None: SimpleNamespace(tensors=tensors, error=error),
    get_input_tensor_by_name=lambda request, name: next(
        (each for each in request if each.name == name), None
    ),
)


def parsed(text: str):
    """config.pbtxt as Triton reads it."""
    client = pytest.importorskip(
        "tritonclient.grpc", reason="needs: pip install --no-deps tritonclient grpcio"
    )
    schema = client.model_config_pb2
    from google.protobuf import text_format

    return text_format.Parse(text, schema.ModelConfig())


def picture_and_hole(channels: int) -> tuple[np.ndarray, np.ndarray]:
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, channels), np.uint8)
    mask = np.zeros((50, 70), np.uint8)
    mask[20:30, 30:45] = 255
    return picture, mask


@pytest.mark.parametrize(
    ("model", "plan", "inputs", "platform"),
    [
        ("faces64", False, {"picture": 3, "mask": 2, "seed": 1}, ("python", "")),
        ("faces64-glcic", False, {"picture": 3, "mask": 2}, ("onnxruntime", "")),
        ("faces64-glcic", True, {"picture": 3, "mask": 2}, ("tensorrt", "tensorrt_plan")),
    ],
)
def test_configuration_is_one_by_tritons_own_schema(model, plan, inputs, platform):
    read = parsed(config(Bundle.open(find(model)).manifest, "m", plan=plan))
    assert (read.name, read.max_batch_size, (read.backend, read.platform)) == ("m", 0, platform)
    assert {each.name: len(each.dims) for each in read.input} == inputs
    assert [each.optional for each in read.input] == [each.name == "seed" for each in read.input]
    assert [(each.name, list(each.dims)) for each in read.output] == [("completed", [-1, -1, 1])]


def test_network_of_one_pass_is_its_pipeline(tmp_path, monkeypatch):
    monkeypatch.setattr("edgefill.export.pipeline._proven", lambda *_: 0.0)  # its own tests do that
    (tmp_path / "tiny.edgefill").write_bytes(tiny_joined())
    _, folder = export_triton(tmp_path / "tiny.edgefill", tmp_path / "repository")
    text = (folder / "config.pbtxt").read_text()
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx")
    assert 'backend: "onnxruntime"' in text
    tensors = [*session.get_inputs(), *session.get_outputs()]
    assert re.findall(r'name: "(\w+)"', text) == ["tiny", *(each.name for each in tensors)]
    assert [len(each.split(",")) for each in re.findall(r"dims: \[(.+?)\]", text)] == [
        len(each.shape) for each in tensors
    ]
    picture, mask = picture_and_hole(3)
    (completed,) = session.run(["completed"], {"picture": picture, "mask": mask})
    assert np.array_equal(completed[mask == 0], picture[mask == 0])


def test_plan_is_the_pipeline_built_for_any_size_up_to_a_limit(tmp_path, monkeypatch):
    """That TensorRT takes the pipeline so, the tests of engines show."""
    asked = []

    def build_plan(graph, recipe, *, shapes):
        names = [each.name for each in onnxruntime.InferenceSession(graph).get_inputs()]
        asked.append((names, recipe.library, shapes))
        return Plan(b"plan", 0.0, ())

    monkeypatch.setattr("edgefill.export.pipeline._proven", lambda *_: 0.0)
    monkeypatch.setattr(builder, "build_plan", build_plan)
    (tmp_path / "tiny.edgefill").write_bytes(tiny_joined())
    _, folder = export_triton(tmp_path / "tiny.edgefill", tmp_path / "repository", plan=True)
    assert 'platform: "tensorrt_plan"' in (folder / "config.pbtxt").read_text()
    assert [path.name for path in (folder / "1").iterdir()] == ["model.plan"]
    shapes = {
        "picture": ((1, 1, 3), (480, 640, 3), (4096, 4096, 3)),
        "mask": ((1, 1), (480, 640), (4096, 4096)),
    }
    assert asked == [(["picture", "mask"], "tensorrt", shapes)]
    with pytest.raises(InputError, match="faces64 searches"):
        export_triton(find("faces64"), tmp_path, plan=True)


def test_search_runs_in_the_python_backend(tmp_path, monkeypatch):
    _, folder = export_triton(find("faces64"), tmp_path)
    assert 'backend: "python"' in (folder / "config.pbtxt").read_text()
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", TRITON)
    spec = importlib.util.spec_from_file_location("model", folder / "1" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    parameters = {"parameters": {"backend": {"string_value": "cpu"}}}
    model.initialize(
        {"model_repository": str(folder), "model_version": "1", "model_config": json.dumps(parameters)}
    )
    picture, mask = picture_and_hole(1)
    good = [Tensor("picture", picture), Tensor("mask", mask), Tensor("seed", np.array([3]))]
    wrong = [Tensor("picture", picture), Tensor("mask", mask[:9])]
    first, second, third = model.execute([good, wrong, good[:2]])
    model.finalize()
    completed = first.tensors[0].as_numpy()
    assert completed.shape == picture.shape
    assert np.array_equal(completed[mask == 0], picture[mask == 0])
    assert "expected the picture's 70×50" in second.error and third.error is None


def test_what_is_there_is_replaced_only_if_that_is_asked_for(tmp_path):
    export_triton(find("faces64"), tmp_path)
    with pytest.raises(OutputError, match="already there"):
        export_triton(find("faces64"), tmp_path)
    export_triton(find("faces64"), tmp_path, force=True)


def test_model_that_is_a_folder_is_refused(tmp_path):
    bundle = Bundle.open(find("faces64"))
    graphs = {name: bundle.graph(name) for name in ("step", "generator", "discriminator", "encoder")}
    write_bundle(tmp_path / "faces", bundle.manifest, graphs)
    with pytest.raises(ModelError, match="is a folder"):
        export_triton(tmp_path / "faces", tmp_path / "repository")
