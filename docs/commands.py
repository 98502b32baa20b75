"""Writes docs/commands.md from the commands themselves; a test fails where the two differ.

python docs/commands.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer.main

import edgefill.cli
from edgefill.cli.app import app
from edgefill.files import write_atomically

PAGE = Path(__file__).with_name("commands.md")
_INTRODUCTION = """# Commands

Made from the commands' own help by `python docs/commands.py`.

stdout is data, stderr talks. Exit codes: 0 done, 1 unexpected, 2 usage, 3 a picture or setting, 4 a model,
5 a backend or package that is not there, 6 a file that cannot be written, 130 interrupted. `edgefill --debug
COMMAND …` shows the traceback of an error.
"""


def page() -> str:
    """The whole page as Markdown."""
    assert edgefill.cli.main  # the import above has registered every command
    group: Any = typer.main.get_command(app)
    return "\n".join(
        [_INTRODUCTION, *(_section(name, group.commands[name]) for name in sorted(group.commands))]
    )


def _section(name: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join(["edgefill", name, *(argument.name.upper() for argument in arguments), "[OPTIONS]"])
    rows = [f"| `{argument.name.upper()}` | {argument.help} | |" for argument in arguments]
    rows += [f"| {_names(option)} | {option.help} | {_default(option)} |" for option in options]
    return "\n".join(
        [
            f"## {name}",
            "",
            f"    {usage}",
            "",
            command.help.strip(),
            "",
            "| | | default |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if isinstance(option.show_default, str):
        return option.show_default
    return "" if option.default in (None, "", False) else f"{option.default}"


if __name__ == "__main__":
    write_atomically(PAGE, page())
