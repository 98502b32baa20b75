"""Writes docs/python.md from the docstrings of the package; a test fails where the two differ.

python docs/python.py
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import edgefill
import edgefill.export
import edgefill.ray
from edgefill.files import write_atomically
from edgefill.jobs.request import Candidate, Trace
from edgefill.kernels.solvers import SOLVERS

PAGE = Path(__file__).with_name("python.md")
_INTRODUCTION = """# Python

Made from the docstrings by `python docs/python.py`. `import edgefill` loads nothing heavy; each name is
loaded when it is first used.

```python
import edgefill

with edgefill.load("faces64") as completer:
    result = completer.complete("photo.png", mask="center")
    result.image.save("out.png")
```

A mask is the name of a kind, or a picture of the input's size that is white (or True) where it is filled:

```python
import numpy as np
from PIL import Image

hole = np.zeros((64, 64), bool)
hole[20:40, 16:48] = True
with edgefill.load("faces64") as completer:
    short = edgefill.SearchSettings(steps=20)
    result = completer.complete(Image.open("photo.png"), mask=hole, settings=short, deadline=2.0)
```

Many pictures go through one batch, and come back in their order; any number of threads may share a completer:

```python
with edgefill.load("faces64") as completer:
    request = edgefill.Request(mask="random:0.3", seed=7)
    for outcome in completer.complete_many(["photo.png", "gone.png"], request):
        if isinstance(outcome, edgefill.Failure):
            print(outcome.error)
        else:
            print(outcome)
```

Jobs have a deadline, a priority and a way out each, and may be awaited:

```python
import asyncio

with edgefill.load("faces64") as completer:
    job = edgefill.Job("photo.png", deadline=1.0, priority=1)
    future = completer.scheduler.submit(job)
    print(future.result().ended)

    async def client():
        return await asyncio.wrap_future(completer.scheduler.submit(job))

    print(asyncio.run(client()))
```
"""
_WIDTH = 100
_FIRST = ("load", "Completer", "Request", "SearchSettings", "search_settings", "Result", "Failure")
_OF_RESULTS = (Trace, Candidate)  # what a Result holds
_EXPORTING = (
    '`edgefill.export` needs `pip install ".[export]"`; `import_network` and `Told` only `".[import]"`.'
)


def page() -> str:
    """The whole page as Markdown."""
    public = [name for name in edgefill.__all__ if not name.startswith("__")]
    errors = [name for name in public if _is_error(getattr(edgefill, name))]
    rest = [name for name in public if name not in (*_FIRST, *errors)]
    sections = [_section(name, getattr(edgefill, name)) for name in (*_FIRST, *rest)]
    sections += [_section(thing.__name__, thing) for thing in _OF_RESULTS]
    return "\n".join([_INTRODUCTION, *sections, _of_solvers(), _of_export(), _of_errors()])
    sections.append(_section("edgefill.ray.complete", edgefill.ray.complete))
    return "\n".join([_INTRODUCTION, *sections, _of_solvers(), _of_errors()])


def _is_error(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, Exception)


def _section(name: str, thing: Any) -> str:
    lines = [f"## {name}", "", f"    {_call(name, thing)}", "", _text(thing), ""]
    if isinstance(thing, type):
        lines += _of_fields(thing) if is_dataclass(thing) else []
        for own, member in vars(thing).items():
            if not own.startswith("_") and inspect.getdoc(member) and (callable(member) or _is_view(member)):
                lines += [f"### {name}.{own}", "", f"    {_call(own, member)}", "", _text(member), ""]
    return "\n".join(lines)


def _of_fields(thing: type) -> list[str]:
    """A line for each field that its source has a comment on, beside it or above it."""
    source = inspect.getsource(thing).splitlines()
    lines = []
    for each in fields(thing):
        row = next(row for row, line in enumerate(source) if line.startswith(f"    {each.name}: "))
        first = row
        while source[first - 1].startswith("    # "):
            first -= 1
        above = " ".join(line.strip(" #") for line in source[first:row])
        words = above[:1].lower() + above[1:] or source[row].partition("  # ")[2]
        if words:
            default = "" if each.default is MISSING else f" = {_default(each.default)}"
            lines.append(f"- `{each.name}`{default}: {words}")
    return [*lines, ""] if lines else []


def _is_view(member: Any) -> bool:
    return isinstance(member, property | cached_property)


def _call(name: str, thing: Any) -> str:
    """How it is written, one argument a line where there are many."""
    if _is_view(thing):
        return name
    found = inspect.signature(thing)
    stars = [each.name for each in found.parameters.values() if each.kind is each.KEYWORD_ONLY]
    arguments = []
    for each in found.parameters.values():
        if each.name in stars[:1]:
            arguments.append("*")
        if each.name not in ("self", "cls"):
            arguments.append(_argument(each))
    back = "" if isinstance(thing, type) else f" -> {_type(found.return_annotation)}"
    line = f"{name}({', '.join(arguments)}){back}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"        {argument}," for argument in arguments), f"    ){back}"])


def _argument(each: inspect.Parameter) -> str:
    prefix = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
    annotation = _type(each.annotation)
    default = "" if each.default is each.empty else f" = {_default(each.default, annotation)}"
    return f"{prefix}{each.name}: {annotation}{default}"


def _default(value: object, annotation: str = "") -> str:
    if "factory" in repr(value):  # of a dataclass's field, which makes an empty one
        return "{}" if annotation.startswith("Mapping") else f"{annotation}()"
    return "..." if inspect.isfunction(value) else repr(value)


def _type(annotation: Any) -> str:
    """As it is written in the source."""
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", repr(annotation))


def _text(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").replace("``", "`")


def _of_solvers() -> str:
    """Each with its own numbers."""
    lines = [
        "## Solvers",
        "",
        "`SearchSettings` takes one by its name, or one of `edgefill.kernels.solvers`:",
        "",
    ]
    for solver in SOLVERS.values():
        lines += [f"### {solver.__name__}, `{solver.name}`", "", _text(solver), ""]
        for each in fields(solver):
            limits, what = (each.metadata[name] for name in ("limits", "what"))
            lines.append(f"- `{each.name}` = {each.default}, {limits or 'True or False'}: {what}")
        lines.append("")
    return "\n".join(lines)


def _of_export() -> str:
    """The functions that make models, one level further down."""
    made = [_section(name, getattr(edgefill.export, name)) for name in edgefill.export.__all__]
    return "\n".join(["## Making models", "", _EXPORTING, "", *(f"#{section}" for section in made)])


def _of_errors() -> str:
    tree = inspect.getdoc(edgefill.errors) or ""
    return "## Errors\n\n" + tree + "\n"


if __name__ == "__main__":
    write_atomically(PAGE, page())
