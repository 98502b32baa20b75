"""Ray is loaded when it is asked for, and never before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edgefill.ray
from edgefill.errors import BackendUnavailable


def test_nothing_of_ray_is_loaded_before_a_run():
    code = "import sys, edgefill, edgefill.ray; assert not {'ray', 'pyarrow', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_ray_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendUnavailable, match=r"pip install .*\[ray\]"):
        edgefill.ray.complete("pictures", "out")
