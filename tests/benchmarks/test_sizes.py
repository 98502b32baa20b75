"""What pictures of several sizes cost and give: that it is counted and scored right."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from benchmarks import record, sizes
from edgefill.networks.config import NetworkConfig
from edgefill.networks.dcgan import Generator


@pytest.fixture(scope="module")
def hands_scored(hands, tmp_path_factory) -> dict:
    """Two photographs of hands, by the bundled model and by none."""
    place = tmp_path_factory.mktemp("sizes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "record", lambda *args: record.record(*args, folder=place))
        sizes.main(
            ["hands64", "smooth"], hands / "test", pictures=2, batch=2, mask="center", networks="",
            name="sizes", sheet_path=place / "sheet.png",
        )  # fmt: skip
    with Image.open(place / "sheet-center.png") as image:
        assert image.width >= 4 * 128 and image.height >= 2 * 128
    return json.loads((place / "sizes.json").read_text())["figures"]


def test_every_model_has_its_scores(hands_scored):
    centre = hands_scored["masks"]["center"]
    assert list(centre) == ["hands64", "smooth"] and hands_scored["pictures"] == 2
    assert centre["hands64"]["steps"] > 0 == centre["smooth"]["steps"]
    for row in centre.values():
        assert 5 < row["psnr"] < 40 and 0 < row["lpips"] < 1 and row["ms a picture"] > 0


def test_what_is_counted_is_what_a_step_multiplies():
    config = NetworkConfig(size=8, filters=4)
    costs = sizes._counted(Generator(config).eval().requires_grad_(False), config)
    # 100 numbers to 4 channels of 4×4 cells, with a norm, which kernels of 5×5 and a bias make 3 of pictures.
    assert costs["numbers in G"] == 100 * 4 * 16 + 2 * 4 + 4 * 3 * 25 + 3
    assert costs["multiplications"] == 2 * (100 * 4 * 16 + 4 * 3 * 25 * 16)  # forward and back
