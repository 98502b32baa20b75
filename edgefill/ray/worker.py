"""What a Ray actor does: it holds a Completer, and is given rows and gives rows."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow
import pyarrow.fs as fs

from edgefill.completion import Job, JobFuture, Request, Result, load
from edgefill.errors import EdgefillError, InputError
from edgefill.memory import too_large
from edgefill.pictures.images import encode_picture
from edgefill.ray.places import Place, output_name

_READERS = 8  # threads that wait for files
SCHEMA = pyarrow.schema(
    {
        "path": pyarrow.string(),
        "output": pyarrow.string(),  # where it was written; null where it was not
        "completed": pyarrow.large_binary(),  # a PNG, where there is no folder to write to
        "ended": pyarrow.string(),
        "steps": pyarrow.int64(),
        "seconds": pyarrow.float64(),
        "notices": pyarrow.list_(pyarrow.string()),
        "error": pyarrow.string(),  # null where all went well
        "kind": pyarrow.string(),  # of the error, such as InputError
    }
)


class Worker:
    """Completes batches of rows: each becomes one row of SCHEMA, whatever happens to its picture."""

    def __init__(
        self, model: str, backend: str, options: dict[str, Any], batch: int, request: Request,
        files: fs.FileSystem | None, mask_files: fs.FileSystem | None, out: Place | None,
    ) -> None:  # fmt: skip
        self._completer = load(model, backend, **options)
        self._completer.scheduler.batch = batch
        self._request, self._files, self._mask_files, self._out = request, files, mask_files, out
        self._readers = ThreadPoolExecutor(_READERS, "edgefill-reader")

    def __call__(self, batch: Mapping[str, np.ndarray]) -> pyarrow.Table:
        """The rows of ``batch``, of columns as arrays, completed. Raises EdgefillError of all."""
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        begun = self._readers.map(self._submitted, rows)
        ended = [self._ended(row, future) for row, future in zip(rows, list(begun), strict=True)]
        return pyarrow.Table.from_pylist(ended, schema=SCHEMA)

    def _submitted(self, row: Mapping[str, Any]) -> JobFuture[dict[str, Any]]:
        """Read, and on its way to be completed and written."""
        try:
            if self._out is not None:
                name_of(row)  # which it needs, before there is any work
            job = Job(self._source(row), self._asked(row))
            return self._completer.scheduler.submit(job, lambda result: self._written(row, result))
        except (EdgefillError, MemoryError) as error:
            failed: JobFuture[dict[str, Any]] = JobFuture()
            failed.settle(error=error)
            return failed

    def _source(self, row: Mapping[str, Any]) -> bytes | np.ndarray:
        for column in ("bytes", "image"):
            if row.get(column) is not None:
                content: bytes | np.ndarray = row[column]
                return content
        return self._read(row["path"], self._files)

    def _asked(self, row: Mapping[str, Any]) -> Request:
        mask = row.get("mask")
        if mask is None:
            return self._request
        return replace(
            self._request, mask=self._read(mask, self._mask_files) if isinstance(mask, str) else mask
        )

    @staticmethod
    def _read(path: str, files: fs.FileSystem | None) -> bytes:
        return (Place(files, str(path)) if files is not None else Place.named(str(path))).read()

    def _written(self, row: Mapping[str, Any], result: Result) -> dict[str, Any]:
        """Of a picture that is completed, the row; it is written first, in the thread that finished it."""
        content = encode_picture(result.picture)
        told: dict[str, Any] = {
            "path": path_of(row), "ended": result.ended, "steps": result.steps, "seconds": result.seconds,
            "notices": list(result.notices),
        }  # fmt: skip
        if self._out is None:
            return told | {"completed": content}
        place = self._out.below(output_name(name_of(row)))
        place.write(content)
        return told | {"output": place.path}

    @staticmethod
    def _ended(row: Mapping[str, Any], future: JobFuture[dict[str, Any]]) -> dict[str, Any]:
        try:
            return future.result()
        except (EdgefillError, MemoryError) as failure:
            if future.concerns_all:
                raise
            error = failure if isinstance(failure, EdgefillError) else too_large(path_of(row))
            return {"path": path_of(row), "error": str(error), "kind": type(error).__name__}


def path_of(row: Mapping[str, Any]) -> str | None:
    """What a row is told apart by, where it has a path or a name."""
    found = row.get("path") if row.get("path") is not None else row.get("name")
    return None if found is None else str(found)


def name_of(row: Mapping[str, Any]) -> str:
    """Where the picture of a row belongs below the folder for all: its name, else its path from the root.

    Raises InputError where it has neither, and for one that leads out of that folder.
    """
    named = row.get("name") if row.get("name") is not None else path_of(row)
    name = PurePosixPath(str(named or "").rpartition("://")[2].lstrip("/"))
    if not name.name or ".." in name.parts:
        raise InputError(
            f"cannot write a picture of the name {named!r}: expected a column name, such as holiday/a.jpg, "
            "or a column path"
        )
    return str(name)
