"""The pages: they load nothing from elsewhere, and describe what there is."""

from __future__ import annotations

import re

from edgefill.serve.app import ROUTES
from edgefill.serve.asking import FIELDS
from edgefill.serve.problems import KINDS

_OF_THE_PAGE = {"/page.js", "/page.css", "/favicon.svg"}


def test_document_describes_every_route(server):
    document = server.client.get("/openapi.json").json()
    described = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    assert described == {(method, path) for method, path, _ in ROUTES if path not in _OF_THE_PAGE}
    form = document["paths"]["/v1/complete"]["post"]["requestBody"]["content"]["multipart/form-data"][
        "schema"
    ]
    assert set(form["properties"]) == {"picture", "mask", "model", *FIELDS}
    assert document["openapi"].startswith("3.1")


def test_page_of_the_interface_has_all_of_it(server):
    text = server.client.get("/docs").text
    assert all(f"{method} {path}" in text for method, path, _ in ROUTES if path not in _OF_THE_PAGE)
    assert all(f'id="{kind}"' in text for kind in KINDS)
    assert all(f"<code>{name}</code>" in text for name in FIELDS)


def test_nothing_is_loaded_from_elsewhere(server):
    for place in ("/", "/docs", "/page.css", "/page.js"):
        text = server.client.get(place).text
        outside = re.findall(r"""(?:src|href|url|import|fetch)\s*[=(]?\s*["'(](?:https?:)?//[^"')]+""", text)
        assert outside == [], place
    assert "script" not in re.findall(r"<(\w+)", server.client.get("/docs").text)
    page = server.client.get("/").text
    assert "style=" not in page and not re.search(r"\son\w+=", page)


def test_unchanged_page_is_not_sent_again(server):
    tag = server.client.get("/page.js").headers["etag"]
    again = server.client.get("/page.js", headers={"If-None-Match": tag})
    assert again.status_code == 304 and again.content == b""


def test_every_name_that_the_script_looks_for_is_on_the_page(server):
    page, script = server.client.get("/").text, server.client.get("/page.js").text
    names = set(re.findall(r'\$\("([\w-]+)"\)', script))
    assert names and all(f'id="{name}"' in page for name in names), names
    assert set(re.findall(r'href="#([\w-]+)"', page)) <= set(re.findall(r'id="([\w-]+)"', page))
