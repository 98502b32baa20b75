"""A run of pictures by Ray Data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefill.completion import Request
from edgefill.errors import BackendUnavailable, InputError, OutputError
from edgefill.extras import install_line

if TYPE_CHECKING:
    import pyarrow.fs as fs
    import ray.data

    from edgefill.ray.places import Input, Place

_CALL = 4  # times a batch, the rows of one call: an actor reads and writes some while others are searched for
_RETRIES = 5  # of a call whose actor died: a picture that kills each of them ends the run, and not never


def complete(
    pictures: str | Path | Sequence[str | Path] | ray.data.Dataset,
    out: str | Path | None = None,
    *,
    model: str = "photos",
    request: Request | None = None,
    masks: str | Path | None = None,
    skip_existing: bool = False,
    workers: int | tuple[int, int] = 1,
    num_cpus: float = 1,
    num_gpus: float = 0,
    batch: int = 16,
    backend: str = "auto",
    filesystem: fs.FileSystem | None = None,
    **options: Any,
) -> ray.data.Dataset:
    """A dataset with one row for each of ``pictures``; they are completed as its rows are taken.

    ``pictures`` and ``masks`` are paths, or URIs such as s3://bucket/folder, of files or folders that every
    machine finds there, or in ``filesystem``, one of pyarrow's. Each picture becomes a PNG below ``out``, or
    the row's ``completed`` without it; ``skip_existing`` leaves out those that are there. Or ``pictures`` is
    a dataset: with the columns ``bytes`` (of a file), ``image`` (an array) or ``path``, with ``name`` (below
    ``out``, each another but for the suffix; else it is the path) and ``mask`` (bytes, an array, or a path).

    The rows have path, output, completed, ended, steps, seconds, notices, error and kind: a picture that
    cannot be completed is a row with an ``error``. So many ``workers`` (or from, to) with a Completer each,
    of ``num_cpus`` and ``num_gpus``, take them as a stream; where one dies its pictures go to another.
    ``options`` are those of ``edgefill.load``.

    Raises BackendUnavailable without Ray, InputError where there is no picture, and where two would be
    written to one file, OutputError where an output exists.
    """
    data = _ray_data()
    from edgefill.ray.places import Place
    from edgefill.ray.worker import Worker

    request = _portable(request or Request(), has_masks=masks is not None)
    into = None if out is None else Place.named(str(out), filesystem)
    options.setdefault("threads", max(1, int(num_cpus)))
    if isinstance(pictures, data.Dataset):
        if masks is not None or skip_existing:
            raise InputError(
                "masks and skip_existing are for paths, and pictures is a dataset; expected a column mask, "
                "and rows that are to be done"
            )
        rows, files, mask_files = pictures, filesystem, filesystem
    else:
        sources = [Place.named(str(each), filesystem) for each in _several(pictures)]
        files = _one_of(sources)
        mask_place = None if masks is None else Place.named(str(masks), filesystem)
        mask_files = mask_place and mask_place.files
        rows = _rows(_planned(sources, into, mask_place, skip_existing=skip_existing), _CALL * batch)
    return rows.map_batches(
        Worker,
        fn_constructor_args=(model, backend, options, batch, request, files, mask_files, into),
        batch_size=_CALL * batch,
        batch_format="numpy",
        compute=data.ActorPoolStrategy(**_pool(workers)),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_restarts=-1,
        max_task_retries=_RETRIES,
    )


def _pool(workers: int | tuple[int, int]) -> dict[str, int]:
    if isinstance(workers, int):
        return {"size": workers}
    least, most = workers
    return {"min_size": least, "max_size": most}


def _ray_data() -> Any:
    try:
        import ray.data
    except ImportError as error:
        raise BackendUnavailable(
            f"Ray Data cannot be imported ({error}); it comes with: {install_line('ray')}"
        ) from error
    return ray.data


def _portable(request: Request, *, has_masks: bool) -> Request:
    """``request`` as it can go to other machines: with a mask's content in place of its path."""
    spec = request.mask_spec
    if spec.kind == "folder":
        raise InputError(f"the mask of a request to Ray is the folder {str(spec.path)!r}; give it as masks")
    if spec.path is None or has_masks:
        return request
    try:
        return replace(request, mask=spec.path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the mask {str(spec.path)!r}: {error.strerror}; check it") from error


def _several(pictures: str | Path | Iterable[str | Path]) -> list[str | Path]:
    return [pictures] if isinstance(pictures, str | Path) else list(pictures)


def _one_of(sources: Sequence[Place]) -> fs.FileSystem:
    """The filesystem of all ``sources``. Raises InputError."""
    if not sources:
        raise InputError("there is no picture: the list of paths is empty; expected some")
    files = sources[0].files
    if any(not each.files.equals(files) for each in sources):
        raise InputError("the pictures lie in several filesystems; expected one; run them apart")
    return files


def _planned(
    sources: Sequence[Place], out: Place | None, masks: Place | None, *, skip_existing: bool
) -> list[Input]:
    """What is to be done. Raises EdgefillError."""
    from edgefill.ray.places import find_inputs, output_name, with_masks

    inputs = find_inputs(sources, out)
    if out is not None:
        there = set(out.names())
        left = [each for each in inputs if output_name(each.name) not in there]
        if len(left) < len(inputs) and not skip_existing:
            raise OutputError(
                f"{len(inputs) - len(left)} of {len(inputs)} outputs exist already in {out.path!r}; expected "
                "none; leave them out by skip_existing=True, or choose another folder"
            )
        inputs = left
    return inputs if masks is None else with_masks(inputs, masks)


def _rows(inputs: Sequence[Input], a_block: int) -> Any:
    """A dataset of ``inputs`` in blocks of so many, each of which is done, or done again, as one."""
    import pyarrow
    import ray.data

    columns = {name: pyarrow.array([getattr(each, name) for each in inputs], pyarrow.string())
               for name in ("path", "name", "mask")}  # fmt: skip
    table = pyarrow.table(columns)
    starts = range(0, max(1, table.num_rows), a_block)
    return ray.data.from_arrow([table.slice(start, a_block) for start in starts])
