"""What the help of each command shows at its end: lines that work as they stand."""

from __future__ import annotations

_EXAMPLES = {
    "bench": ("edgefill bench --model faces64 --batch 1,8", "edgefill bench --backend cpu --json"),
    "build": ("edgefill build faces64 --for rtx --sm 86,89 --batch 1,8 --out engines",),
    "complete": (
        "edgefill complete photo.jpg --mask mask.png --out filled",
        "edgefill complete scans --mask masks --out filled --format same --json",
        "edgefill complete photo.jpg --box 175,85,98,76 --mask center --out part --strip",
        "edgefill complete portrait.jpg --mask mask.png --out faces --model faces64-glcic --align",
        "edgefill complete scans --mask masks --out filled --skip-existing --shard 3/16",
        "edgefill complete - --mask center < photo.jpg > filled.png",
    ),
    "doctor": ("edgefill doctor", "edgefill doctor --json"),
    "export": (
        "edgefill export runs/mine --out mine.edgefill --licence CC0-1.0",
        "edgefill export mine.edgefill --precision both --out faster.edgefill",
        "edgefill export pass.edgefill --pipeline --out pass.onnx",
    ),
    "import": (
        "edgefill import network.onnx --out network.edgefill",
        "edgefill import network.onnx --dry-run --mask-means hole",
        "edgefill import netG.pth --discriminator netD.pth --out faces.edgefill",
    ),
    "models": ("edgefill models", "edgefill models --known", "edgefill models --signers signers"),
    "sample": (
        "edgefill sample --out samples.png --count 64",
        "edgefill sample --out walk.gif --interpolate 7,42",
    ),
    "sign": ("edgefill sign mine.edgefill --key ~/.ssh/id_ed25519",),
    "train": (
        "edgefill train pictures --out runs/mine --epochs 25",
        "edgefill train runs/mine --stage encoder",
        "edgefill train pictures --out runs/mine --resume",
    ),
    "verify": ("edgefill verify mine.edgefill --signers signers",),
}


def examples(command: str) -> str:
    """For the end of the help of ``command``."""
    return "\n\n".join(["Examples:", *_EXAMPLES[command]])
