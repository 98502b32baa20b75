"""How much memory there is: the least of what machine, container and process leave."""

from __future__ import annotations

import pytest

from edgefill.errors import InputError
from edgefill.memory import available_memory, check_memory, enough_memory


@pytest.fixture
def root(tmp_path):
    """A machine with 8 GB free."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable:  8000000 kB\n")
    return tmp_path


def test_machine_says_what_it_has(root):
    assert available_memory(root) == 8_000_000 << 10


@pytest.mark.parametrize("group", ["/", "/box/inner"])
def test_container_leaves_its_limit_less_what_is_used_but_for_pages_of_files(root, group):
    folder = root / "sys" / "fs" / "cgroup" / group.strip("/")
    folder.mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(f"0::{group}\n")
    (folder / "memory.max").write_text("1000000000\n")
    (folder / "memory.current").write_text("700000000\n")
    (folder / "memory.stat").write_text("anon 1\ninactive_file 100000000\n")
    assert available_memory(root) == 400_000_000


def test_limit_of_the_container_around_counts_too(root):
    cgroup = root / "sys" / "fs" / "cgroup"
    (cgroup / "box" / "inner").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text("0::/box/inner\n")
    for folder, limit in ((cgroup / "box" / "inner", "max"), (cgroup / "box", "500")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("200")
    assert available_memory(root) == 300


def test_first_version_of_control_groups_is_read(root):
    folder = root / "sys" / "fs" / "cgroup" / "memory"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("1000")
    (folder / "memory.usage_in_bytes").write_text("400")
    assert available_memory(root) == 600


def test_machine_that_says_nothing_refuses_nothing(tmp_path, monkeypatch):
    assert available_memory(tmp_path) is None
    monkeypatch.setattr("edgefill.memory.available_memory", lambda: None)
    check_memory(10**9, 30, "it")


def test_picture_is_refused_before_it_is_loaded(monkeypatch):
    monkeypatch.setattr("edgefill.memory.available_memory", lambda: 10**9)
    check_memory(30_000_000, 30, "it")
    with pytest.raises(InputError, match="need about 1,200 MB of memory, and 1,000 MB are left"):
        check_memory(40_000_000, 30, "it")


def test_memory_that_runs_out_is_an_error_of_that_picture():
    with pytest.raises(InputError, match="there is not enough memory"), enough_memory("a.png"):
        raise MemoryError
