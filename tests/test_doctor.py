"""What the doctor says of machines that are made up: one that lacks nothing, and each trap by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgefill.doctor import OK, Finding, examine, redact
from edgefill.extras import EXTRAS, install_line
from edgefill.machine import Driver, Gpu, Jetson
from edgefill.model.catalogue import Entry
from edgefill.model.manifest import Manifest
from edgefill.surroundings import ABSENT, Package, Surroundings

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
GPU_BACKENDS = ("tensorrt", "rtx", "cuda")
HERE = Package("1.0")


def desktop(**changes) -> Surroundings:
    """A machine that lacks nothing, but for ``changes``."""
    whole = Surroundings(
        commit="1a2b3c4",
        python="3.11.7",
        system="Linux x86_64",
        driver=Driver((Gpu("NVIDIA RTX 4090", (8, 9), 24 << 30),), (13, 2), "590.44"),
        packages={
            "onnxruntime": Package("1.31.1", distributions=("onnxruntime-gpu",), providers=PROVIDERS),
            "tensorrt": Package("10.16.1", cuda=13),
            "tensorrt_rtx": Package("1.7.1", cuda=13),
            "openvino": HERE,
            "pycuda": HERE,
            "cuda.bindings": HERE,
            **dict.fromkeys(("numpy", "pillow"), HERE),
            **{name: HERE for extra in EXTRAS.values() for name in extra.packages if name != "onnxruntime"},
        },
        cubins=(75, 80, 86, 87, 89, 90),
        cache=Path("/var/cache/edgefill"),
        cache_writable=True,
        engines_mode=0o700,
    )
    return replace(whole, **changes)


def orin(**changes) -> Surroundings:
    """A Jetson with JetPack 6, seen from an environment that sees the system's packages."""
    packages = {**desktop().packages, "tensorrt": Package("10.3.0"), "tensorrt_rtx": ABSENT}
    packages["onnxruntime"] = Package("1.23", providers=PROVIDERS[1:])
    board = Jetson("NVIDIA Jetson AGX Orin Developer Kit", "36.4.3", 6, "MAXN")
    driver = Driver((Gpu("Orin", (8, 7), 64 << 30),), (12, 6), "540.4.0")
    return replace(desktop(jetson=board, driver=driver, packages=packages), **changes)


def without(around: Surroundings, *names: str, **others: Package) -> Surroundings:
    return replace(around, packages={**around.packages, **dict.fromkeys(names, ABSENT), **others})


def find(around: Surroundings, subject: str) -> Finding:
    (finding,) = [finding for finding in examine(around) if finding.subject == subject]
    return finding


def faults(around: Surroundings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(around) if finding.status != "ok"}


def test_machine_that_lacks_nothing_has_nothing_to_mend():
    findings = examine(desktop())
    assert {finding.status for finding in findings} == {"ok"}
    assert not any(finding.mend for finding in findings)
    assert len({finding.subject for finding in findings}) == len(findings)
    assert find(desktop(), "gpu").found == "NVIDIA RTX 4090, sm_89, 24.0 GiB"
    assert find(desktop(), "driver").found == "release 590.44, runs CUDA up to 13.2"


def test_every_fault_is_one_line_and_says_what_to_do():
    for around in (
        Surroundings(),
        Surroundings(jetson=Jetson(None, None, None, None)),
        without(desktop(), *desktop().packages),
    ):
        for finding in examine(around):
            assert "\n" not in finding.found + finding.mend
            assert finding.status in ("ok", "missing", "problem")
    for finding in faults(without(desktop(), *desktop().packages)).values():
        assert finding.mend or finding.found == "not installed"


def test_no_driver_leaves_the_cpu_and_says_where_a_gpu_would_be_mended():
    around = desktop(driver=Driver(problem="libcuda.so.1 cannot be loaded: no NVIDIA driver is here"))
    assert find(around, "backend cpu").status == "ok"
    assert "install its driver" in find(around, "gpu").mend and find(around, "gpu").status == "missing"
    for name in GPU_BACKENDS:
        assert find(around, f"backend {name}").status == "missing"
        assert "NVIDIA GPU" in find(around, f"backend {name}").found


def test_driver_without_a_gpu_is_a_problem_in_its_own_words():
    problem = "the driver cannot start: CUDA_ERROR_NO_DEVICE (100)"
    gpu = find(desktop(driver=Driver((), (12, 6), "550.54", problem)), "gpu")
    assert (gpu.status, gpu.found) == ("problem", problem) and "CUDA_VISIBLE_DEVICES" in gpu.mend


def test_kernel_module_without_its_library_is_a_container_started_without_the_gpu():
    gpu = find(desktop(driver=Driver(release="550.54", problem="libcuda.so.1 cannot be loaded")), "gpu")
    assert gpu.status == "problem" and "docker run --gpus all" in gpu.mend
    board = find(orin(driver=Driver(release="540.4.0", problem="libcuda.so.1 cannot be loaded")), "gpu")
    assert "docker run --runtime nvidia" in board.mend


def test_driver_too_old_for_the_kernels_names_both_versions():
    old = replace(desktop().driver, cuda=(11, 8))
    for subject in ("kernels", *(f"backend {name}" for name in GPU_BACKENDS)):
        finding = find(desktop(driver=old), subject)
        assert finding.status == "problem" and "12.0" in finding.found and "11.8" in finding.found
        assert finding.mend == "install an NVIDIA driver of release 525 or newer"
    assert find(desktop(driver=replace(old, cuda=(12, 0))), "kernels").status == "ok"


def test_gpu_older_than_every_compiled_form_is_named():
    pascal = replace(desktop().driver, gpus=(Gpu("GTX 1080", (6, 1), 8 << 30),))
    kernels = find(desktop(driver=pascal), "kernels")
    assert kernels.status == "problem" and "GTX 1080 is sm_61" in kernels.found and "sm_75" in kernels.found
    blackwell = replace(desktop().driver, gpus=(Gpu("RTX 5090", (12, 0), 32 << 30),))
    assert find(desktop(driver=blackwell), "backend rtx").status == "ok"


def test_kernels_that_are_not_installed_stop_every_gpu_backend():
    assert set(faults(desktop(cubins=()))) == {"kernels", *(f"backend {name}" for name in GPU_BACKENDS)}


def test_package_built_for_a_newer_cuda_than_the_driver_runs():
    around = desktop(driver=replace(desktop().driver, cuda=(12, 8)))
    rtx = find(around, "backend rtx")
    assert rtx.status == "problem" and "CUDA 13" in rtx.found and "12.8" in rtx.found and "580" in rtx.mend
    assert find(around, "backend cuda").status == "ok"


@pytest.mark.parametrize(
    ("package", "broken"),
    [
        ("onnxruntime", {"cpu": "cpu", "cuda": "gpu"}),
        ("openvino", {"openvino": "openvino"}),
        ("tensorrt", {"tensorrt": "tensorrt"}),
        ("tensorrt_rtx", {"rtx": "rtx"}),
        ("pycuda", {"tensorrt": "tensorrt", "rtx": "rtx", "cuda": "gpu"}),
    ],
)
def test_missing_package_names_the_extra_for_each_backend_that_needs_it(package, broken):
    around = without(desktop(), package)
    for name in ("cpu", "openvino", *GPU_BACKENDS):
        finding = find(around, f"backend {name}")
        if name in broken:
            assert finding.status == "missing" and finding.found == f"{package}: not installed"
            assert finding.mend == install_line(broken[name])
        else:
            assert finding.status == "ok"


def test_cuda_bindings_are_a_loss_of_speed_only():
    rtx = find(without(desktop(), "cuda.bindings"), "backend rtx")
    assert rtx.status == "ok" and "without CUDA graphs" in rtx.found and install_line("rtx") in rtx.mend
    assert not find(without(desktop(), "cuda.bindings"), "backend cpu").mend


def test_package_that_cannot_be_imported_says_why():
    torn = Package("10.3.0", "ImportError: libnvinfer.so.10: cannot open", ("tensorrt",))
    around = without(desktop(), tensorrt=torn)
    finding = find(around, "tensorrt")
    assert finding.status == "problem" and "libnvinfer.so.10" in finding.found
    assert finding.mend == "pip install --force-reinstall --no-deps tensorrt"
    assert find(around, "backend tensorrt").status == "problem"


def test_package_that_lacks_the_driver_is_not_reinstalled():
    problem = "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory"
    finding = find(without(desktop(driver=Driver()), pycuda=Package("2026.1", problem)), "pycuda")
    assert finding.status == "problem" and finding.mend == "it comes with the NVIDIA driver, see gpu"


def test_onnxruntime_without_cuda_is_enough_for_the_cpu_only():
    plain = Package("1.31.1", distributions=("onnxruntime",), providers=PROVIDERS[1:])
    around = without(desktop(), onnxruntime=plain)
    assert set(faults(around)) == {"backend cuda"}
    assert faults(around)["backend cuda"].mend == install_line("gpu")


def test_two_runtimes_side_by_side_are_taken_out_together():
    both = replace(desktop().packages["onnxruntime"], distributions=("onnxruntime", "onnxruntime-gpu"))
    (finding,) = faults(without(desktop(), onnxruntime=both)).values()
    assert "overwrite each other" in finding.found
    assert finding.mend.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && ")


def test_jetson_that_sees_its_own_tensorrt_is_ready():
    assert set(faults(orin())) == {"tensorrt_rtx", "backend rtx", "backend cuda"}
    assert "JetPack 6" in find(orin(), "jetson").found and "MAXN" in find(orin(), "jetson").found
    assert "does not support Jetson" in find(orin(), "backend rtx").found
    assert "pip install" not in find(orin(), "backend cuda").mend


def test_jetson_in_a_venv_is_shown_the_way_to_the_tensorrt_of_the_system():
    hidden = Path("/usr/lib/python3.10/dist-packages/tensorrt")
    around = without(orin(system_tensorrt=hidden), "tensorrt")
    for subject in ("tensorrt of the system", "backend tensorrt"):
        assert "python3 -m venv --system-site-packages" in find(around, subject).mend
    assert str(hidden) in find(around, "tensorrt of the system").found


def test_jetson_never_takes_tensorrt_from_pip():
    assert (
        find(without(orin(), "tensorrt"), "backend tensorrt").mend
        == "sudo apt-get install python3-libnvinfer"
    )
    torn = Package("10.3.0", "ImportError: libnvdla_compiler.so: cannot open shared object file")
    for subject in ("tensorrt", "backend tensorrt"):
        mend = find(without(orin(), tensorrt=torn), subject).mend
        assert "apt-get install --reinstall" in mend and "--runtime nvidia" in mend
    pycuda = find(without(orin(), "pycuda"), "backend tensorrt").mend
    assert pycuda == 'PATH=/usr/local/cuda/bin:$PATH pip install pycuda "cuda-bindings<13"'


def test_two_libnvinfer_are_named_with_their_places():
    one = Path("/usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0")
    other = Path("/srv/venv/lib/python3.10/site-packages/tensorrt_libs/libnvinfer.so.10")
    assert not faults(desktop(inference_libraries=(one,)))
    (finding,) = faults(desktop(inference_libraries=(one, other))).values()
    assert finding.subject == "libnvinfer" and str(one) in finding.found and str(other) in finding.found


def test_cuda_h_matters_only_where_pycuda_is_to_be_built():
    assert "cuda.h" not in {finding.subject for finding in examine(desktop())}
    no_gpu = without(desktop(driver=Driver()), "pycuda")
    assert "cuda.h" not in {finding.subject for finding in examine(no_gpu)}
    bare = without(desktop(), "pycuda")
    assert find(bare, "cuda.h").status == "missing" and "toolkit" in find(bare, "cuda.h").mend
    header = Path("/usr/local/cuda/include/cuda.h")
    assert find(replace(bare, cuda_header=header), "cuda.h").status == "ok"


def test_nvcc_is_not_needed_and_that_is_said():
    assert find(desktop(), "nvcc") == Finding(
        "nvcc", "ok", "absent and not needed: the kernels come compiled"
    )
    assert "not needed" in find(desktop(nvcc=Path("/usr/bin/nvcc")), "nvcc").found


def test_folders_that_cannot_be_used_or_trusted():
    assert "EDGEFILL_CACHE_DIR" in find(desktop(cache_writable=False), "cache").mend
    assert "EDGEFILL_CACHE_DIR" in find(desktop(cache=None, engines_mode=None), "cache").mend
    assert find(desktop(engines_mode=0o740), "engines").status == "problem"
    engines = find(desktop(engines_mode=0o755), "engines")
    assert engines.status == "problem" and "0755" in engines.found
    assert engines.mend == "chmod 700 /var/cache/edgefill/engines"


def test_broken_numpy_stops_every_backend_but_not_the_doctor():
    around = without(
        desktop(), numpy=Package("1.21.5", "ImportError: numpy.core.multiarray failed to import")
    )
    for name in ("cpu", "openvino", *GPU_BACKENDS):
        assert find(around, f"backend {name}").found.startswith("numpy: ImportError")


def test_each_extra_names_what_is_missing():
    finding = find(without(desktop(), "torch", "onnx"), "train and export")
    assert finding.found == "without torch, onnx" and finding.mend == install_line("train")
    for name, extra in EXTRAS.items():
        assert find(desktop(), extra.brings).found == "ready"
        missing = find(without(desktop(), *extra.packages), extra.brings)
        assert missing.status == "missing" and missing.mend == install_line(name)
        assert missing.found == f"without {', '.join(extra.packages)}"
    torn = Package("4.14", "ImportError: libGL.so.1: cannot open", ("opencv-python",))
    faces = find(without(desktop(), opencv=torn), "find faces")
    assert faces.status == "problem" and "libGL.so.1" in faces.found
    assert faces.mend == "pip install --force-reinstall --no-deps opencv-python"


def test_models_that_are_damaged_or_not_sealed_are_named():
    models = (
        Entry("whole", Path("a"), "bundled", 1, Manifest("whole", seal="of it")),
        Entry("old", Path("b"), "cached", 1, Manifest("old")),
        Entry("torn", Path("c"), "cached", 1, None, problem="torn.edgefill cannot be read"),
    )
    around = desktop(models=models)
    assert find(around, "model whole").found == "bundled"
    assert "not sealed" in find(around, "model old").found and find(around, "model old").status == "ok"
    torn = find(around, "model torn")
    assert (torn.status, torn.found) == ("problem", "torn.edgefill cannot be read") and torn.mend


def test_report_names_no_user_and_no_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("USER", "alice")
    torn = Package("1", "ImportError: /home/alice/venv/x.so: cannot open", ("pycuda",))
    around = without(desktop(cache=Path("/mnt/alice/cache")), pycuda=torn)
    around = replace(around, variables={"EDGEFILL_CACHE_DIR": "/home/alice"}, engines_mode=0o755)
    text = " ".join(finding.found + finding.mend for finding in examine(around))
    assert "alice" not in text
    assert "~/venv/x.so:" in text and "chmod 700 /mnt/USER/cache/engines" in text
    assert find(around, "EDGEFILL_CACHE_DIR").found == "~"


def test_only_whole_names_are_taken_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/al")
    monkeypatch.setenv("USER", "nvidia")
    assert redact("/home/alice/x, /home/al/x") == "/home/alice/x, ~/x"
    assert redact("site-packages/nvidia/cuda /home/nvidia") == "site-packages/nvidia/cuda /home/USER"
    monkeypatch.delenv("USER")
    monkeypatch.setattr(Path, "home", lambda: Path("/srv/of/the/account"))  # HOME is unset
    assert redact("/srv/of/the/account/x") == "~/x"

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert redact("/home/al") == "/home/al"


@pytest.mark.parametrize(
    ("capability", "ready"), [((8, 9), True), ((12, 0), True), ((9, 0), False), ((10, 0), False)]
)
def test_tensorrt_for_rtx_is_ready_on_the_gpus_that_it_knows(capability, ready):
    gpu = Gpu("a GPU", capability, 24 << 30)
    found = find(desktop(driver=Driver((gpu,), (13, 2), "590.44")), "backend rtx")
    assert (found.status == OK) is ready
    assert ready or (f"a GPU is sm_{gpu.sm}" in found.found and found.mend == "use --backend tensorrt")
