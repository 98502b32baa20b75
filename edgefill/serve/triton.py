"""A search as a model of NVIDIA's Triton, by its Python backend; `edgefill export --triton` writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgefill.completion import Completer, Job, Request, load
from edgefill.errors import EdgefillError


class TritonPythonModel:
    """What Triton makes one of for each instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the model beside the module that Triton has loaded; its parameters may name a ``backend``."""
        triton = import_module("triton_python_backend_utils")  # only that backend has it

        self._triton = triton
        parameters = json.loads(args["model_config"]).get("parameters", {})
        backend = parameters.get("backend", {}).get("string_value", "auto")
        path = Path(args["model_repository"]) / args["model_version"] / "model.edgefill"
        self._completer: Completer = load(path, backend)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """The answer to each of ``requests``; they are searched for together."""
        futures = [self._submitted(request) for request in requests]
        return [self._answer(future) for future in futures]

    def finalize(self) -> None:
        self._completer.close()

    def _submitted(self, request: Any) -> Any:
        """The future of the result, or what is wrong with the request."""
        picture, mask, seed = (self._input(request, name) for name in ("picture", "mask", "seed"))
        try:
            asked = Request(mask, 0 if seed is None else int(seed.ravel()[0]))
            return self._completer.scheduler.submit(Job(picture, asked))
        except EdgefillError as error:
            return error

    def _answer(self, future: Any) -> Any:
        try:
            if isinstance(future, EdgefillError):
                raise future
            completed = np.ascontiguousarray(future.result().picture.values)
        except EdgefillError as error:
            return self._triton.InferenceResponse(error=self._triton.TritonError(str(error)))
        return self._triton.InferenceResponse([self._triton.Tensor("completed", completed)])

    def _input(self, request: Any, name: str) -> Any:
        tensor = self._triton.get_input_tensor_by_name(request, name)
        return None if tensor is None else tensor.as_numpy()
