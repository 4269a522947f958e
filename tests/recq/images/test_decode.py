from __future__ import annotations

import contextlib
import importlib
import io
import threading
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from recq.errors import ImageError, Reason
from recq.images import Limits, Picture, open_picture
from recq.images.decode import decode
from recq.images.pixels import image_of
from recq.settings import Settings
from tests.packs import pack, pictures
from tests.recq.images.encoded import GENEROUS, encode, samples, scene, turned_back

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

DECODE = importlib.import_module("recq.images.decode")  # the package has a function of that name


def refusal(data: bytes, limits: Limits = GENEROUS) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, limits)
    return caught.value


@pytest.mark.parametrize("name", sorted(samples()))
def test_every_format_gives_the_scene(name: str) -> None:
    picture = decode(samples()[name], GENEROUS)
    expected = np.asarray(scene().convert("L").convert("RGB") if "gray" in name else scene(), np.int16)
    assert picture.format == name.split()[0]
    assert (picture.width, picture.height, picture.rgb.shape) == (90, 121, (121, 90, 3))
    assert picture.rgb.dtype == np.uint8
    assert np.array_equal(np.asarray(image_of(picture.rgb)), picture.rgb)
    loss = np.abs(picture.rgb - expected).mean()
    assert loss < (0.5 if name in {"PNG", "PNG animated", "BMP", "TIFF", "TIFF lzw", "WEBP lossless"} else 25)


def main_picture(name: str) -> bytes:
    """The sample without what follows the pixels that count (an MPO's previews)."""
    data = samples()[name]
    return data[: data.index(b"\xff\xd9") + 2] if name == "JPEG with preview" else data


@pytest.mark.parametrize("name", sorted(samples()))
def test_a_file_cut_at_any_tenth_is_refused(name: str) -> None:
    data = main_picture(name)
    reasons = {refusal(data[: len(data) * tenth // 10]).reason for tenth in range(1, 10)}
    assert reasons == {Reason.TRUNCATED}


@pytest.mark.parametrize("name", sorted(samples()))
def test_a_file_cut_at_its_last_bytes_is_refused_or_loses_no_pixel(name: str) -> None:
    data = main_picture(name)
    whole = decode(samples()[name], GENEROUS).rgb
    for missing in range(1, 40):
        if name.split()[0] in {"GIF", "BMP"} and missing <= 2:  # a trailer, or padding
            with contextlib.suppress(ImageError):
                assert np.array_equal(decode(data[:-missing], GENEROUS).rgb, whole)
        else:
            assert refusal(data[:-missing]).reason is Reason.TRUNCATED


def test_a_jpeg_whose_previews_are_cut_is_whole() -> None:
    data = samples()["JPEG with preview"]
    assert np.array_equal(decode(data[:-300], GENEROUS).rgb, decode(data, GENEROUS).rgb)


@pytest.mark.packs
def test_photographs_cut_anywhere_are_refused_by_each_jpeg_decoder() -> None:
    for file in pictures("clothing", 6):
        data = file.read_bytes()
        marker = data.rindex(b"\xff\xd9")
        for end in [*(marker * tenth // 10 for tenth in range(1, 10)), *range(marker - 12, marker + 2)]:
            assert refusal(data[:end]).reason is Reason.TRUNCATED
            with pytest.raises(ValueError, match=r"[Pp]remature|Could not determine|Empty|JPEG"):
                simplejpeg.decode_jpeg(data[:end], strict=True)
            if end < marker:
                with pytest.raises(OSError, match="truncated"):
                    Image.open(io.BytesIO(data[:end]), formats=["JPEG"]).load()


def test_empty_strange_and_oversized() -> None:
    assert refusal(b"").reason is Reason.EMPTY
    assert refusal(b"no picture at all, but text " * 4).reason is Reason.NOT_AN_IMAGE
    png = samples()["PNG"]
    assert refusal(png, Limits(len(png) - 1, 10**9)).reason is Reason.TOO_LARGE
    too_many = refusal(png, Limits(10**9, 90 * 121 - 1))
    assert too_many.reason is Reason.TOO_LARGE
    assert "90 x 121 = 10,890 pixels, more than max_pixels = 10,889" in str(too_many)
    assert decode(png, Limits(len(png), 90 * 121)).width == 90


def test_our_pixel_limit_counts_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(samples()["PNG"], GENEROUS).width == 90
    assert decode(samples()["JPEG"], GENEROUS).width == 90
    assert Image.MAX_IMAGE_PIXELS == 100, "Pillow's limit is the rest of the program's"


def test_the_name_and_other_parsers_do_not_matter() -> None:
    """A PostScript file is none of ours, whatever it is called; nor does Pillow get to try its other formats."""
    assert refusal(encode(scene(), "EPS")).reason is Reason.NOT_AN_IMAGE
    assert refusal(encode(scene(), "PPM")).reason is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\x0a\x7f\x32", "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"P6\n3 3\n255\n", "a Netpbm picture"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file"),
        (b"\0\0\0\x18ftypcrx ", "a camera's raw file"),
        (b"\0\0\0\x18ftypmp42", "a film"),
        (b"%PDF-1.7", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "HTML, a web page"),
        (b"<html lang=en>", "HTML, a web page"),
        (b'<?xml version="1.0"?>\n<!-- x --><svg xmlns="...">', "an SVG drawing"),
        (b"PK\3\4", "a ZIP archive"),
    ],
)
def test_what_is_no_picture_to_recq_is_named(head: bytes, kind: str) -> None:
    error = refusal(head + bytes(200))
    assert error.reason is Reason.NOT_AN_IMAGE
    assert f"it is {kind}" in error.detail


def test_limits_come_from_the_settings(tmp_path: Path) -> None:
    assert Limits.from_settings(Settings.load(max_bytes=5, max_pixels=7)) == Limits(5, 7)


class TestJPEG:
    def test_the_fast_road_equals_pillows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("JPEG", "JPEG progressive", "JPEG gray", "JPEG with preview"):
            fast = decode(samples()[name], GENEROUS)
            with monkeypatch.context() as patch:
                patch.setattr(DECODE, "_fast_jpeg", lambda *_: None)
                slow = decode(samples()[name], GENEROUS)
            assert np.array_equal(fast.rgb, slow.rgb), name

    def test_what_simplejpeg_refuses_is_pillows_to_judge(self) -> None:
        data = samples()["JPEG"]
        start = data.index(b"\xff\xda")
        padded = data[:start] + b"\0" * 50 + data[start:]  # "extraneous bytes before marker": a warning, no loss
        with pytest.raises(ValueError, match="extraneous"):
            simplejpeg.decode_jpeg(padded, strict=True)
        assert np.array_equal(decode(padded, GENEROUS).rgb, decode(data, GENEROUS).rgb)

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize(("size", "reduce_to"), [((1600, 1203), 150), ((1600, 1203), 75), ((640, 200), 100)])
    def test_reduced_size(self, mode: str, size: tuple[int, int], reduce_to: int) -> None:
        data = encode(scene(200, 150).resize(size, Image.Resampling.BICUBIC).convert(mode), "JPEG", quality=95)
        full, small = decode(data, GENEROUS), decode(data, GENEROUS, reduce_to=reduce_to)
        assert (small.width, small.height) == (full.width, full.height) == size
        height, width = small.rgb.shape[:2]
        assert min(height, width) >= min(2 * reduce_to, *size)
        factor = {150: 4, 75: 8, 100: 1}[reduce_to]
        assert (width, height) == (-(-size[0] // factor), -(-size[1] // factor))
        shrunk = np.asarray(Image.fromarray(full.rgb).resize((width, height), Image.Resampling.BOX), np.int16)
        assert np.abs(small.rgb - shrunk).mean() < 6


class TestOrientation:
    @pytest.mark.packs
    @pytest.mark.parametrize("road", ["simplejpeg", "Pillow"])
    @pytest.mark.parametrize(("kind", "size"), [("Landscape", (1800, 1200)), ("Portrait", (1200, 1800))])
    def test_all_nine_give_one_picture(
        self, road: str, kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if road == "Pillow":
            monkeypatch.setattr(DECODE, "_fast_jpeg", lambda *_: None)
        folder = pack("nasty") / "exif_orientation"
        shown = [decode((folder / f"{kind}_{number}.jpg").read_bytes(), GENEROUS, reduce_to=150) for number in range(9)]
        assert {(each.width, each.height) for each in shown} == {size}
        plain = shown[1].rgb.astype(np.int16)
        assert np.abs(plain - plain[::-1, ::-1]).mean() > 50
        assert max(np.abs(plain - each.rgb).mean() for each in shown) < 5

    @pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_in_every_format_that_has_it(self, fmt: str, orientation: int) -> None:
        """Pillow's transposition as the oracle: turned back, then marked, a picture must come out upright."""
        upright = scene(40, 24)
        stored = turned_back(upright, orientation)
        exif = Image.Exif()
        exif[0x0112] = orientation
        quality = {} if fmt in {"PNG", "TIFF"} else {"quality": 95}
        picture = decode(encode(stored, fmt, exif=exif, **quality), GENEROUS)
        assert (picture.width, picture.height) == (40, 24)
        assert np.abs(picture.rgb - np.asarray(upright, np.int16)).mean() < 12

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_nonsense_changes_nothing(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert decode(encode(scene(40, 24), "JPEG", exif=exif), GENEROUS).rgb.shape == (24, 40, 3)

    def test_broken_metadata_is_no_reason_to_refuse_pixels(self) -> None:
        data = encode(scene(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        assert decode(data, GENEROUS).rgb.shape == (121, 90, 3)


def test_threads_may_decode_at_once() -> None:
    seen: list[Picture | BaseException] = []

    def run() -> None:
        for _ in range(20):
            try:
                seen.append(decode(samples()["PNG"], GENEROUS))
            except BaseException as error:
                seen.append(error)

    limit = Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in seen if not isinstance(each, Picture)] == []
    assert len(seen) == 80
    assert limit == Image.MAX_IMAGE_PIXELS


def test_open_picture(tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    file.write_bytes(samples()["PNG"])
    assert open_picture(file, GENEROUS).format == "PNG"
    with pytest.raises(ImageError, match="io-error: no such file"):
        open_picture(tmp_path / "none.png", GENEROUS)
    with pytest.raises(ImageError, match="not-an-image: not a regular file"):
        open_picture(tmp_path, GENEROUS)
