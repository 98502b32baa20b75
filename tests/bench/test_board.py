from __future__ import annotations

import ctypes
import time

import pytest

from edgefill.bench import board
from edgefill.bench.board import Rails, Silent, open_board
from tests.fakes.nvml import FakeNvml


@pytest.fixture
def nvml(monkeypatch):
    """Puts a library, or None, where NVML would be; the GPU is at 65:00."""

    def put(library, bus="0000:65:00.0"):
        def load(name):
            if library is None:
                raise OSError(name)
            return library

        monkeypatch.setattr(ctypes, "CDLL", load)
        monkeypatch.setattr(board, "pci_bus", lambda: bus)
        return library

    return put


@pytest.fixture
def root(tmp_path):
    """A file system of a Jetson: ``root({"VDD_IN": (millivolts, milliamperes)})``."""

    def write(rails, clock="", chip="1-0040"):
        monitors = tmp_path / "sys/bus/i2c/drivers/ina3221" / chip / "hwmon/hwmon1"
        monitors.mkdir(parents=True)
        for channel, (name, (volts, amperes)) in enumerate(rails.items(), start=1):
            (monitors / f"in{channel}_label").write_text(name + "\n")
            (monitors / f"in{channel}_input").write_text(f"{volts}\n")
            (monitors / f"curr{channel}_input").write_text(f"{amperes}\n")
        if clock:
            gpu = tmp_path / "sys/class/devfreq/17000000.gpu"
            gpu.mkdir(parents=True, exist_ok=True)
            (gpu / "cur_freq").write_text(clock)
        return tmp_path

    return write


def test_gpu_counts_its_energy(nvml, tmp_path):
    library = nvml(FakeNvml(millijoules=12_500))
    with open_board(True, tmp_path) as found:
        assert found.joules() == 12.5 and found.clock_mhz() == 1980 and "NVML" in found.source
        library.millijoules += 3_000
        assert found.joules() == 15.5


def test_energy_of_the_gpu_is_nothing_to_a_cpu(nvml, tmp_path):
    nvml(FakeNvml())
    with open_board(False, tmp_path) as found:
        assert isinstance(found, Silent) and found.joules() is found.source is found.clock_mhz() is None


def test_a_gpu_that_counts_no_energy_says_none(nvml, tmp_path):
    nvml(FakeNvml(counts=False, megahertz=0))
    with open_board(True, tmp_path) as found:
        assert found.joules() is found.source is found.clock_mhz() is None


@pytest.mark.parametrize(
    ("library", "bus"),
    [
        (None, "0000:65:00.0"),
        (FakeNvml(fails=9), "0000:65:00.0"),
        (FakeNvml(), "0000:17:00.0"),
        (FakeNvml(), None),
    ],
    ids=["no NVML", "no driver", "another GPU", "no GPU"],
)
def test_without_a_gpu_that_nvml_knows_nothing_is_reported(nvml, tmp_path, library, bus):
    nvml(library, bus)
    with open_board(True, tmp_path) as found:
        assert isinstance(found, Silent)


def test_the_rail_of_the_whole_module_is_not_counted_twice(root):
    place = root({"VDD_IN": (5000, 2000), "VDD_CPU_GPU_CV": (5000, 900), "VDD_SOC": (5000, 400)}, "918000000")
    with open_board(True, place) as found:
        assert found.source == "INA3221, VDD_IN" and found.clock_mhz() == 918


def test_rails_are_added_up_where_none_holds_the_others(root):
    found = Rails(board._rails(root({"VDD_GPU_SOC": (19000, 500), "VDD_CPU_CV": (19000, 100)})))
    assert found.source == "INA3221, VDD_GPU_SOC + VDD_CPU_CV" and found.clock_mhz() is None


def test_energy_is_power_over_time_as_trapezoids(root):
    now = [0.0]
    place = root({"VDD_IN": (5000, 2000), "VDD_SOC": (5000, 1000)})  # 10 W, of which 5 W there
    found = Rails(board._rails(place), place, clock=lambda: now[0])
    now[0] = 3.0
    assert found.joules() == pytest.approx(30)
    next(place.rglob("curr1_input")).write_text("4000")  # 20 W; between the readings 15 W in the mean
    now[0] = 5.0
    assert found.joules() == pytest.approx(60)
    next(place.rglob("curr1_input")).unlink()  # a rail that answers no more draws nothing
    now[0] = 6.0
    assert found.joules() == pytest.approx(70)


def test_rails_are_read_beside_the_work_until_the_board_is_closed(root, monkeypatch):
    monkeypatch.setattr(board, "_SECONDS", 0.001)
    place = root({"VDD_IN": (5000, 2000)})
    ticks = iter(range(10**9))
    ends_at = time.monotonic() + 60
    with Rails(board._rails(place), place, clock=lambda: next(ticks)) as found:
        while found._joules < 100:  # which the reader alone adds to
            assert time.monotonic() < ends_at
            time.sleep(0.001)
    assert not found._reader.is_alive()


def test_channels_that_cannot_be_read_are_left_out(root):
    place = root({"VDD_IN": (5000, 2000), "NC": (0, 0)})
    next(place.rglob("curr2_input")).unlink()
    next(place.rglob("in1_input")).write_text("")
    assert board._rails(place) == {}
