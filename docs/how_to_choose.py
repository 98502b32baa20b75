"""Writes docs/how-to-choose.md from the recorded runs; a test fails where the two differ.

python docs/how_to_choose.py
"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

from edgefill.files import write_atomically

PAGE = Path(__file__).with_name("how-to-choose.md")
RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"

_TEXT = """# How to choose

Made by `python docs/how_to_choose.py` from [the recorded runs](../benchmarks/results); two cores of a
server's processor, medians of contenders that took turns; PSNR and SSIM are of the hole alone.

**Search or one pass?** Mostly **one pass**. Of a photograph with something to take away, `photos` has LPIPS
{photos_lpips}, a filling without a network {smooth_lpips}, and MI-GAN, imported, {migan_lpips} in
{migan_times:.0f} times the time of `photos` ([gallery], blobs; less is better). For scratches alone
`--model smooth` has {smooth_psnr} dB to the {photos_psnr} of `photos`, in {smooth_share} of the time
([gallery], strokes). Of faces, too, a network that was trained to fill them is ahead: {pass_psnr} dB, and
the search {search_psnr} ([one-pass], [time-to-quality]). Take the **search** for what only a search can do:
other answers and how sure they are (`--candidates`, `--confidence`), pictures of which only a small form is
known (`lowres`, {lowres_psnr} dB, [masks]), or a word where the picture is not of the model's kind: said of
{noticed_from:.0f} to {noticed_to:.0f} % of photographs and {false_from:.0f} to {false_to:.0f} % of faces
([foreign-faces64]).

**Which solver?** The default, L-BFGS from the encoder's z: {search_psnr} dB in {search_ms:.0f} ms a
picture. Without an encoder the default is Adam, with {random_psnr} dB in {random_ms:.0f} ms, so train one;
the thousand steps of `--preset reference` have {reference_psnr} dB in {reference_ms:,.0f} ms
([time-to-quality]). Of z alone that was (`--no-features`): the default moves what G's first layer makes
of z too, and has {features_center} dB where z alone has {alone_center}, where holes lie all over
the picture (`random`) {features_random} to {alone_random}, SSIM {features_ssim} to {alone_ssim}
([features-faces64]), where the thousand steps have {reference_ssim} ([masks]). Leave D out: with it
(`--lam`) nothing but z is moved, and a step takes {d_times:.1f} times as long ([step-faces64],
[fit-faces64]).

**Which precision?** On a processor fp32 for a search. For one pass INT8: {int8_psnr} dB instead of
{pass_psnr}, in {int8_from} to {int8_to} of the time and {int8_bytes} MB instead of {fp32_bytes}
([one-pass]). On a GPU fp16, as it is taken there: engines of {fp16_plan:.1f} MB instead of {fp32_plan:.1f}
([engines]).

**Which backend?** `auto`. On a processor it takes ONNX Runtime for a search, for which OpenVINO takes
{vino_1:.2f}, {vino_4:.2f} and {vino_16:.2f} times as long at batch 1, 4 and 16 ([fit-faces64]), and
OpenVINO, where it is installed, for one pass: {vino_pass:.2f} of the time ([photographs], strokes). A GPU
comes first where there is one; its speed is in none of these records."""
_RECORDS = (
    "gallery", "one-pass", "time-to-quality", "masks", "foreign-faces64", "fit-faces64", "step-faces64",
    "engines", "photographs", "features-faces64",
)  # fmt: skip
_WIDTH = 118
_OURS = "edgefill (ONNX Runtime)"


def page() -> str:
    """The whole page as Markdown."""
    found = {name: json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["figures"] for name in _RECORDS}
    figures = {
        **_of_photographs(found),
        **_of_searches(found),
        **_of_precisions(found),
        **_of_backends(found),
    }
    links = "\n".join(f"[{name}]: ../benchmarks/results/{name}.json" for name in _RECORDS)
    paragraphs = _TEXT.format(**figures).split("\n\n")
    filled = (fill(" ".join(each.split()), _WIDTH, break_on_hyphens=False) for each in paragraphs)
    return "\n\n".join([*filled, links]) + "\n"


def _of_photographs(found: dict[str, Any]) -> dict[str, Any]:
    strokes, blobs = (
        found["gallery"]["races"][f"kodak/{kind}"]["contenders"] for kind in ("strokes", "blobs")
    )
    own = {"photos": "photos-cpu", "smooth": "smooth-cpu", "migan": "migan-cpu"}
    rates = found["foreign-faces64"]["kinds"]
    noticed, false = (
        [100 * each["said to be foreign"] for each in rates[kind].values()] for kind in ("photos", "own")
    )
    return {
        **{f"{name}_lpips": f"{blobs[key]['lpips']:.4f}" for name, key in own.items()},
        **{f"{name}_psnr": f"{strokes[key]['psnr']:.2f}" for name, key in own.items()},
        "migan_times": blobs["migan-cpu"]["ms"] / blobs["photos-cpu"]["ms"],
        "smooth_share": _share(strokes["smooth-cpu"]["ms"], strokes["photos-cpu"]["ms"]),
        "noticed_from": min(noticed), "noticed_to": max(noticed),
        "false_from": min(false), "false_to": max(false),
    }  # fmt: skip


def _of_searches(found: dict[str, Any]) -> dict[str, Any]:
    center, random = found["time-to-quality"]["masks"]["center"], found["masks"]["masks"]["random"]
    names = {
        "search": "default, edgefill", "random": "default without an encoder, edgefill",
        "reference": "reference preset, edgefill",
    }  # fmt: skip
    step, fit = (found[f"{name}-faces64"]["batch"]["1"][_OURS]["ms"] for name in ("step", "fit"))
    features = {"alone": "default of z alone, edgefill", "features": names["search"]}
    behind = {
        (name, hole): found["features-faces64"]["masks"][hole][key]
        for name, key in features.items()
        for hole in ("center", "random")
    }
    return {
        **{f"{name}_psnr": f"{center[key]['psnr_in_hole'][-1]:.2f}" for name, key in names.items()},
        **{f"{name}_ms": center[key]["ms_per_picture"][-1] for name, key in names.items()},
        **{f"{name}_{hole}": f"{each['psnr_in_hole'][-1]:.2f}" for (name, hole), each in behind.items()},
        **{f"{name}_ssim": f"{behind[name, 'random']['ssim_in_hole'][-1]:.3f}" for name in features},
        "reference_ssim": f"{random[names['reference']]['ssim_in_hole'][-1]:.3f}",
        "lowres_psnr": f"{found['masks']['masks']['lowres'][names['search']]['psnr_in_hole'][-1]:.2f}",
        "d_times": step / fit,
    }


def _of_precisions(found: dict[str, Any]) -> dict[str, Any]:
    (own,) = (row for row in found["one-pass"]["quality"] if row["filters"] == 16)
    speed = found["one-pass"]["speed"]
    shares = sorted(speed[side]["edgefill INT8"]["times_ours"] for side in ("256", "512"))
    plans = {
        each["precision"]: each["plan_bytes"] / 1e6
        for each in found["engines"]["engines"]
        if each["graph"] == "fit" and each["batch"] == 1
    }
    return {
        "pass_psnr": f"{own['fp32']['psnr']:.2f}", "int8_psnr": f"{own['int8']['psnr']:.2f}",
        "int8_bytes": f"{own['int8']['bytes'] / 1e6:.2f}", "fp32_bytes": f"{own['fp32']['bytes'] / 1e6:.2f}",
        "int8_from": f"{shares[0]:.2f}", "int8_to": f"{shares[-1]:.2f}",
        "fp16_plan": plans["fp16"], "fp32_plan": plans["fp32"],
    }  # fmt: skip


def _of_backends(found: dict[str, Any]) -> dict[str, Any]:
    batches = found["fit-faces64"]["batch"]
    strokes = found["photographs"]["races"]["kodak/strokes"]["contenders"]
    return {
        **{f"vino_{batch}": batches[batch]["OpenVINO"]["times_ours"] for batch in ("1", "4", "16")},
        "vino_pass": strokes["migan-openvino"]["ms"] / strokes["migan-cpu"]["ms"],
    }


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2f}"


if __name__ == "__main__":
    write_atomically(PAGE, page())
