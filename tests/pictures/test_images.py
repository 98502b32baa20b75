"""Pictures come in whole, upright and with their meaning, or not at all."""

import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgefill.errors import InputError, OutputError
from edgefill.pictures.images import (
    Picture,
    encode_picture,
    find_pictures,
    from_unit,
    join_luminance,
    luminance,
    read_picture,
    save_picture,
    split_luminance,
    to_unit,
)

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims ``width`` × ``height``."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


class TestReading:
    def test_a_file_gives_its_pixels_and_name(self, tmp_path):
        Image.fromarray(RGB).save(tmp_path / "photo.png")
        picture = read_picture(str(tmp_path / "photo.png"))
        assert np.array_equal(picture.values, RGB)
        assert (picture.name, picture.size, picture.notices, picture.alpha) == (
            "photo.png",
            (40, 60),
            (),
            None,
        )

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (63, 65)])
    def test_any_size(self, tmp_path, size):
        Image.new("L", size).save(tmp_path / "p.png")
        assert read_picture(tmp_path / "p.png").size == size[::-1]

    @pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif", "ppm"])
    def test_every_format(self, tmp_path, suffix):
        Image.new("RGB", (9, 5), (200, 30, 30)).save(tmp_path / f"p.{suffix}")
        values = read_picture(tmp_path / f"p.{suffix}").values
        assert values.shape == (5, 9, 3)
        assert np.abs(values.astype(int) - (200, 30, 30)).max() <= 3

    def test_other_formats_stay_closed(self, tmp_path):
        Image.fromarray(RGB).save(tmp_path / "p.png", "ICO")
        with pytest.raises(InputError, match="expected one of PNG, JPEG"):
            read_picture(tmp_path / "p.png")

    @pytest.mark.parametrize(
        ("orientation", "turn"),
        [
            (1, lambda stored: stored),
            (2, lambda stored: stored[:, ::-1]),
            (3, lambda stored: stored[::-1, ::-1]),
            (4, lambda stored: stored[::-1]),
            (5, lambda stored: stored.swapaxes(0, 1)),
            (6, lambda stored: np.rot90(stored, -1)),
            (7, lambda stored: np.rot90(stored, 2).swapaxes(0, 1)),
            (8, lambda stored: np.rot90(stored)),
        ],
    )
    @pytest.mark.parametrize("values", [RGB, RGB[:, :, 0].astype(np.uint16) * 257], ids=["rgb", "16 bits"])
    def test_exif_orientation_is_applied(self, tmp_path, orientation, turn, values):
        exif = Image.Exif()
        exif[0x112] = orientation
        Image.fromarray(values).save(tmp_path / "p.png", exif=exif)
        picture = read_picture(tmp_path / "p.png")
        assert np.array_equal(picture.values.squeeze(), turn(values))
        saved = Image.open(io.BytesIO(encode_picture(picture)))
        assert 0x112 not in saved.getexif()

    def test_damaged_exif_does_not_cost_the_picture(self, tmp_path):
        Image.fromarray(RGB).save(tmp_path / "p.png", exif=b"Exif\x00\x00XX*\x00garbage")
        picture = read_picture(tmp_path / "p.png")
        assert np.array_equal(picture.values, RGB)

    @pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
    def test_the_first_frame_of_an_animation_with_a_notice(self, tmp_path, suffix):
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
        options = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
        picture = read_picture(tmp_path / f"a.{suffix}")
        assert (picture.values == (255, 0, 0)).all()
        assert picture.notices == ("first of 3 frames",)

    def test_arrays(self):
        assert np.array_equal(read_picture(RGB).values, RGB)
        assert read_picture(RGB[:, :, 0]).values.shape == (40, 60, 1)
        assert read_picture(RGB[:, :, 0] > 9).values.max() == 255
        with_alpha = read_picture(np.dstack([RGB, RGB[:, :, 0]]))
        assert np.array_equal(with_alpha.values, RGB)
        assert np.array_equal(with_alpha.alpha, RGB[:, :, 0])

    def test_an_array_is_not_shared(self):
        array = RGB.copy()
        picture = read_picture(array)
        array[:] = 0
        assert np.array_equal(picture.values, RGB)

    @pytest.mark.parametrize(
        "array",
        [
            RGB.astype(float),
            RGB.astype(np.uint16),
            RGB[0, 0],
            np.zeros((3, 3, 5), np.uint8),
            np.zeros((0, 4), np.uint8),
        ],
    )
    def test_arrays_of_no_meaning_are_refused(self, array):
        with pytest.raises(InputError, match="array"):
            read_picture(array)

    def test_a_pillow_picture_is_unchanged(self):
        image = Image.fromarray(RGB)
        assert np.array_equal(read_picture(image).values, RGB)
        assert np.array_equal(np.asarray(image), RGB)

    @pytest.mark.parametrize(
        "name",
        (
            "a b.png",
            "quo'te\".png",
            "new\nline.png",
            "-a.png",
            "a" * 246 + ".png",
            "🙂é.png",
            "\udcff\udcfe.png",
        ),
    )
    def test_strange_names(self, tmp_path, name):
        Image.fromarray(RGB).save(tmp_path / "plain.png")
        path = tmp_path / name
        (tmp_path / "plain.png").rename(path)
        assert read_picture(path).name == name
        assert find_pictures([tmp_path]) == [path]
        path.write_bytes(b"no picture")
        with pytest.raises(InputError) as caught:
            read_picture(path)
        assert "\n" not in str(caught.value)
        str(caught.value).encode()


class TestRefusing:
    @pytest.mark.parametrize("side", [9500, 14000, 65000])
    def test_bombs_are_refused_before_they_are_decoded(self, tmp_path, side):
        (tmp_path / "bomb.png").write_bytes(png_header(side, side))
        program = (
            "import resource, sys; from edgefill.pictures.images import read_picture; "
            "from edgefill.errors import InputError\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
            "before = peak()\n"
            "try: read_picture(sys.argv[1])\n"
            "except InputError as error: print(error, file=sys.stderr)\n"
            "print(peak() - before)"
        )
        command = [sys.executable, "-W", "error", "-c", program, str(tmp_path / "bomb.png")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert float(done.stdout) < 50  # megabytes
        assert "cannot read" in done.stderr
        assert "50,000,000" in done.stderr

    def test_limits_can_be_chosen(self, tmp_path):
        Image.fromarray(RGB).save(tmp_path / "p.png")
        for limits in ({"max_pixels": 2399}, {"max_bytes": 100}):
            with pytest.raises(InputError, match="expected"):
                read_picture(tmp_path / "p.png", **limits)
        assert read_picture(tmp_path / "p.png", max_pixels=2400).size == (40, 60)

    @pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 0.99])
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
    def test_part_of_a_file(self, tmp_path, format, share):
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, format)
        (tmp_path / "part").write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * share)])
        with pytest.raises(InputError, match=r"cannot read .*part"):
            read_picture(tmp_path / "part")

    def test_what_is_no_picture(self, tmp_path):
        (tmp_path / "text.png").write_text("hello")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        found = {
            tmp_path / "text.png": "no picture",
            tmp_path / "loop": "symbolic links",
            tmp_path: "a folder",
            tmp_path / "missing.png": "No such file",
            Path(os.devnull): "device",
            tmp_path / ("x" * 300): "too long",
            "nul\0l": "null",
        }
        for path, reason in found.items():
            with pytest.raises(InputError, match=reason):
                read_picture(path)

    def test_a_pipe_does_not_block(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        refused = []

        def read():
            with pytest.raises(InputError, match="pipe"):
                read_picture(tmp_path / "pipe")
            refused.append(True)

        reader = threading.Thread(target=read, daemon=True)  # one that waits for a writer is left behind
        reader.start()
        reader.join(60)
        assert refused

    def test_a_file_that_may_not_be_read(self, tmp_path, monkeypatch):
        Image.fromarray(RGB).save(tmp_path / "p.png")

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)  # root may read everything: chmod would not do
        with pytest.raises(InputError, match="Permission denied"):
            read_picture(tmp_path / "p.png")


class TestFinding:
    def test_folders_are_searched_in_order_and_files_taken_as_they_are(self, tmp_path):
        names = ["b.PNG", "a.jpg", "sub/c.webp", ".hidden.png", ".git/d.png", "notes.txt"]
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "sub" / "circle").symlink_to(tmp_path)
        pictures = [tmp_path / name for name in ("a.jpg", "b.PNG", "sub/c.webp")]
        assert find_pictures([tmp_path]) == pictures
        notes = tmp_path / "notes.txt"
        assert find_pictures([notes, tmp_path, pictures[0], "gone.png"]) == [
            notes,
            *pictures,
            Path("gone.png"),
        ]

    def test_names_that_no_file_can_have_are_left_to_reading(self):
        for name in ("x" * 300, "nul\0l"):
            assert find_pictures([name]) == [Path(name)]

    def test_a_folder_without_pictures(self, tmp_path):
        with pytest.raises(InputError, match=r"no picture in .*expected files ending in"):
            find_pictures([tmp_path])


class TestWriting:
    @pytest.mark.parametrize("format", ["png", "PNG", "webp", "tiff", "tif", "bmp"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_lossless_formats_give_every_pixel_back(self, format, channels):
        again = read_picture(Image.open(io.BytesIO(encode_picture(Picture(RGB[:, :, :channels]), format))))
        assert np.array_equal(np.broadcast_to(RGB[:, :, :channels], again.values.shape), again.values)

    @pytest.mark.parametrize("format", ["png", "webp", "tiff"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_alpha_survives_and_so_does_what_lies_under_it(self, format, channels):
        alpha = np.where(RGB[:, :, 0] > 99, 255, 0).astype(np.uint8)
        again = read_picture(
            Image.open(io.BytesIO(encode_picture(Picture(RGB[:, :, :channels], alpha), format)))
        )
        assert np.array_equal(again.alpha, alpha)
        assert np.array_equal(np.broadcast_to(RGB[:, :, :channels], again.values.shape), again.values)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_alpha_is_laid_on_white_where_the_format_has_none(self, channels):
        picture = Picture(np.zeros((2, 2, channels), np.uint8), np.array([[0, 255], [0, 51]], np.uint8))
        again = read_picture(Image.open(io.BytesIO(encode_picture(picture, "bmp"))))
        assert again.values[:, :, 0].tolist() == [[255, 0], [255, 204]]

    def test_jpeg_is_close(self):
        smooth = np.dstack([np.add.outer(np.arange(64), np.arange(64))] * 3).astype(np.uint8)
        again = read_picture(Image.open(io.BytesIO(encode_picture(Picture(smooth), "jpg"))))
        assert np.abs(again.values.astype(int) - smooth).max() <= 3

    @pytest.mark.parametrize("format", ["jpeg", "webp", "bmp"])
    def test_16_bits_are_refused_where_they_do_not_fit(self, format):
        with pytest.raises(InputError, match="16-bit"):
            encode_picture(Picture(np.zeros((2, 2, 1), np.uint16)), format)

    def test_what_cannot_be_encoded_is_refused(self):
        with pytest.raises(InputError, match="expected one of png"):
            encode_picture(Picture(RGB), "xyz")
        with pytest.raises(InputError, match=r"cannot write 17000×1 pixels as webp"):
            encode_picture(Picture(np.zeros((1, 17000, 3), np.uint8)), "webp")

    def test_the_colour_profile_goes_along(self, tmp_path):
        from PIL import ImageCms

        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        Image.fromarray(RGB).save(tmp_path / "p.png", icc_profile=profile)
        save_picture(read_picture(tmp_path / "p.png").replaced(255 - RGB), tmp_path / "q.png")
        assert read_picture(tmp_path / "q.png").metadata.icc_profile == profile
        with Image.open(tmp_path / "q.png") as saved:
            assert saved.info["icc_profile"] == profile

    def test_files_are_whole_or_absent(self, tmp_path):
        save_picture(Picture(RGB), tmp_path / "new" / "p.png")
        with pytest.raises(InputError, match="expected one of"):
            save_picture(Picture(RGB), tmp_path / "p")
        with pytest.raises(OutputError):
            save_picture(Picture(RGB), tmp_path / "new" / "p.png" / "q.png")
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "p.png"]


class TestNumbers:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_every_value_survives_the_unit_range(self, dtype):
        values = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
        unit = to_unit(values)
        assert unit.dtype == np.float32
        assert (unit[0], unit[-1]) == (-1, 1)
        assert np.array_equal(from_unit(unit, dtype), values)

    def test_rounded_and_clipped(self):
        unit = np.array([-3, -0.999, 0.5 / 127.5 - 1 + 1e-6, 1.5])
        assert from_unit(unit).tolist() == [0, 0, 1, 255]

    def test_luminance_is_that_of_pillow(self):
        grey = from_unit(luminance(to_unit(RGB)))[:, :, 0]
        assert np.abs(grey.astype(int) - np.asarray(Image.fromarray(RGB).convert("L"))).max() <= 1

    def test_chroma_is_that_of_pillow(self):
        _, chroma = split_luminance(to_unit(RGB))
        expected = np.asarray(Image.fromarray(RGB).convert("YCbCr"))[:, :, 1:].astype(float) - 128
        assert np.abs(chroma * 127.5 - expected).max() <= 1.5
        assert np.abs(chroma).max() <= 1 + 1e-6

    def test_luminance_and_chroma_give_the_colours_back(self):
        unit = to_unit(RGB)
        assert np.abs(join_luminance(*split_luminance(unit)) - unit).max() < 1e-6
        assert np.array_equal(from_unit(join_luminance(*split_luminance(unit))), RGB)
