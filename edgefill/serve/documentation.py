"""The OpenAPI document as a page to read, without a script."""

from __future__ import annotations

from html import escape
from typing import Any

from edgefill.serve.problems import KINDS

_CURL = "curl -F picture=@photo.jpg -F mask=@mask.png http://127.0.0.1:8000/v1/complete -o filled.png"


def html(document: dict[str, Any]) -> str:
    """The page of ``document``, as ``openapi.document`` gives it."""
    info = document["info"]
    title = f"{info['title']} {info['version']}"
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}: the interface</title>",
            '<link rel="icon" href="/favicon.svg"><link rel="stylesheet" href="/page.css"></head>',
            f'<body class="reading"><main><h1>{escape(title)}</h1><p>{escape(info["description"])}</p>',
            f"<pre><code>{escape(_CURL)}</code></pre>",
            '<p><a href="/openapi.json">openapi.json</a> · <a href="/">the page to paint on</a></p>',
            *(_route(path, operations) for path, operations in document["paths"].items()),
            _problems(),
            "</main></body></html>",
        ]
    )


def _route(path: str, operations: dict[str, Any]) -> str:
    return "".join(
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
        f"{_body(operation)}<p>Answers {escape(_answers(operation))}.</p></section>"
        for method, operation in operations.items()
    )


def _body(operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(
        f"<p>Takes <code>{escape(media_type)}</code>:</p>{_table(each['schema'])}"
        for media_type, each in content.items()
    )


def _table(schema: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(each))}</td>"
        f"<td>{escape(each.get('description', ''))}</td></tr>"
        for name, each in schema["properties"].items()
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']:,}"
    return "file" if schema.get("format") == "binary" else str(schema["type"])


def _answers(operation: dict[str, Any]) -> str:
    status, answer = next(iter(operation["responses"].items()))
    return f"{status} {' or '.join(answer['content'])}".strip()


def _problems() -> str:
    rows = "".join(
        f'<tr id="{name}"><td>{kind.status}</td><td><code>{name}</code></td><td>{escape(kind.title)}</td>'
        f"<td>{escape(kind.advice)}</td></tr>"
        for name, kind in KINDS.items()
    )
    return f'<section><h2>Problems</h2><div class="scroll"><table>{rows}</table></div></section>'
