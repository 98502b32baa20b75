"""EXIF, XMP, resolution, texts and profile go with the picture, upright; what a format lacks is said."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from edgefill.pictures.images import read_picture, save_picture
from edgefill.pictures.metadata import HOLDS, Metadata

_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6" dc:title="T"/></x:xmpmeta>'
_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def photograph(tmp_path):
    """A JPEG that lies on its side and says who made it, where, and how large it is to be printed."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Somebody"
    exif[ExifTags.Base.Copyright] = "All rights"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.ISOSpeedRatings: 200,
        ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05",
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    path = tmp_path / "p.jpg"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(
        path, exif=exif, xmp=_XMP, dpi=(300, 150), icc_profile=_PROFILE
    )
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_what_a_photograph_says_goes_with_it_upright(photograph, suffix, tmp_path):
    picture = read_picture(photograph)
    assert picture.size == (30, 20)
    save_picture(picture, tmp_path / f"q.{suffix}")
    with Image.open(tmp_path / f"q.{suffix}") as image:
        exif = image.getexif()
        assert exif[ExifTags.Base.Artist] == "Somebody"
        assert exif[ExifTags.Base.Copyright] == "All rights"
        assert exif.get(ExifTags.Base.Orientation, 1) == 1
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 200
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
        assert b'dc:title="T"' in image.info["xmp"]
        assert b'Orientation="1"' in image.info["xmp"]
        assert image.info["icc_profile"] == _PROFILE
        if "dpi" in HOLDS[{"jpg": "jpeg"}.get(suffix, suffix)]:
            assert [round(float(each)) for each in image.info["dpi"]] == [150, 300]  # it was turned
    again = read_picture(tmp_path / f"q.{suffix}")
    assert again.size == (30, 20)


def test_texts_of_a_png_stay_and_our_own_record_does_not(tmp_path):
    info = PngInfo()
    info.add_text("Author", "Ä")
    info.add_itxt("Title", "größer ✓")
    info.add_text("edgefill", "{}")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png", pnginfo=info)
    save_picture(read_picture(tmp_path / "a.png"), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert dict(image.text) == {"Author": "Ä", "Title": "größer ✓"}


def test_what_a_format_does_not_hold_is_named(photograph):
    metadata = read_picture(photograph).metadata
    assert metadata.left_out("png") == []
    assert metadata.left_out("webp") == ["resolution"]
    assert metadata.left_out("bmp") == ["EXIF data", "XMP data", "colour profile"]
    assert Metadata(texts={"a": "b"}).left_out("jpeg") == ["PNG text"]
    assert Metadata().left_out("bmp") == []


def test_thumbnail_stays_behind(photograph, tmp_path):
    picture = read_picture(photograph)
    assert b"\xff\xd8\xff" not in picture.metadata.exif


@pytest.mark.parametrize(
    "damage", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_exif_stops_nothing(damage, tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.jpg", exif=damage)
    picture = read_picture(tmp_path / "a.jpg")
    save_picture(picture, tmp_path / "b.jpg")


def test_16_bit_colour_ppm_is_said_to_be_read_as_8(tmp_path):
    values = np.arange(48, dtype=">u2") * 1000
    (tmp_path / "a.ppm").write_bytes(b"P6\n4 4\n65535\n" + values.tobytes())
    (tmp_path / "b.ppm").write_bytes(b"P6\n4 4\n255\n" + bytes(48))
    assert read_picture(tmp_path / "a.ppm").notices == ("16 bits a channel read as 8",)
    assert read_picture(tmp_path / "b.ppm").notices == ()
