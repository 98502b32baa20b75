"""Which models a server opens."""

from __future__ import annotations

from edgefill.serve.models import open_models
from tests.bundles import tiny_joined


def test_a_path_with_the_name_of_an_installed_model_is_the_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hands64").write_bytes(tiny_joined())
    models = open_models(["./hands64"], "cpu", batch=1, waiting=1, say=lambda _: None, threads=1)
    try:
        assert models.first.model.name == "tiny"
    finally:
        models.close()
