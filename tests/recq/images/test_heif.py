"""HEIC: what is particular to the one format whose decoder is an extra; test_decode has what holds for all."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from recq.errors import ImageError, Reason
from recq.images import Limits, sniff
from recq.images.decode import decode
from recq.images.heif import MISSING, largest_declared
from recq.images.workers import DecodePool
from recq.space import InputSpec
from tests.recq.images.encoded import GENEROUS, heif, scene, turned_back

SPEC = InputSpec(48)
PATIENCE = 60.0  # seconds, on a machine with much else to do


def exif(orientation: int) -> bytes:
    made = Image.Exif()
    made[0x0112] = orientation
    return made.tobytes()


def refusal(data: bytes, limits: Limits = GENEROUS) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, limits)
    return caught.value


def lying(data: bytes, width: int, height: int) -> bytes:
    """The file with another size declared."""
    at = data.index(b"ispe") + 8
    return data[:at] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + data[at + 8 :]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once(orientation: int) -> None:
    """A phone writes it twice: as the file's own turn (irot, imir), which counts, and in EXIF."""
    upright = scene(40, 24)
    stored = turned_back(upright, orientation)
    data = heif(stored, exif=exif(orientation))
    info = dict(pillow_heif.open_heif(io.BytesIO(data)).info)
    assert (pillow_heif.set_orientation(info) or 1) == orientation, "EXIF says it"
    assert any(turn in data for turn in (b"irot", b"imir")) == (orientation > 1), "and so does the file"
    picture = decode(data, GENEROUS)
    assert (picture.width, picture.height) == (40, 24)
    assert np.abs(picture.rgb - np.asarray(upright, np.int16)).mean() < 12


def test_alpha_goes_over_white() -> None:
    for im in (Image.new("RGBA", (64, 64), (200, 0, 0, 128)), Image.new("RGBa", (64, 64), (100, 0, 0, 128))):
        buffer = io.BytesIO()
        pillow_heif.encode(im.mode, im.size, im.tobytes(), buffer, quality=100, chroma=444)
        red, green, blue = decode(buffer.getvalue(), GENEROUS).rgb[32, 32].tolist()
        assert abs(red - 227) < 5
        assert abs(green - 127) < 5
        assert abs(blue - 127) < 5


def test_gray_of_eight_and_sixteen_bits() -> None:
    gray = scene().convert("L")
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    for im in (gray, deep):
        picture = decode(heif(im), GENEROUS)
        assert np.abs(picture.rgb - np.asarray(gray.convert("RGB"), np.int16)).mean() < 12


def test_the_primary_image_of_several_counts() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    for number in range(3):
        colour = decode(heif(*frames, primary_index=number), GENEROUS).rgb[32, 32].tolist()
        assert int(np.argmax(colour)) == number


def test_avif_stays_with_its_own_decoder() -> None:
    """Nothing is registered with Pillow, and nothing of the extra is loaded before such a file comes."""
    program = """
import sys
from PIL import Image
from recq.images.decode import decode
from tests.recq.images.encoded import GENEROUS, encode, scene  # this imports pillow_heif: forget it
for name in [name for name in sys.modules if "pillow_heif" in name]:
    del sys.modules[name]
for fmt in ("AVIF", "JPEG"):
    assert decode(encode(scene(), fmt), GENEROUS).format == fmt
assert "pillow_heif" not in sys.modules
from tests.recq.images import encoded
assert decode(encoded.heif(scene()), GENEROUS).format == "HEIF"
assert "pillow_heif" in sys.modules
assert "HEIF" not in Image.OPEN, Image.OPEN
assert Image.registered_extensions().get(".heic") is None
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_brand_decides() -> None:
    def head(brand: bytes, *compatible: bytes) -> bytes:
        return (16 + 4 * len(compatible)).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + b"".join(compatible)

    assert sniff(head(b"heic", b"mif1", b"heic")) == "HEIF"
    assert sniff(head(b"heix", b"mif1", b"heix", b"miaf")) == "HEIF"
    assert sniff(head(b"hevc", b"msf1", b"hevc")) == "HEIF"
    assert sniff(head(b"mif1", b"mif1", b"heic")) == "HEIF"
    assert sniff(head(b"mif1", b"mif1", b"miaf", b"avif")) == "AVIF"
    assert sniff(head(b"isom", b"isom", b"mp42", b"heic")) is None


class TestLimits:
    def test_the_pixel_limit_is_asked_before_decoding(self) -> None:
        data = heif(scene())
        assert refusal(data, Limits(10**9, 90 * 121 - 1)).reason is Reason.TOO_LARGE
        assert largest_declared(data)[0] >= 90
        assert largest_declared(data)[1] >= 121

    def test_a_small_part_of_a_huge_picture_is_a_huge_picture(self) -> None:
        """The crop (clap) makes it 90 x 121 to whoever asks for the size."""
        data = lying(heif(scene()), 30_000, 30_000)
        assert b"clap" in data
        error = refusal(data)
        assert error.reason is Reason.TOO_LARGE
        assert "30,000 x 30,000" in error.detail

    @pytest.mark.parametrize("size", [(16, 16), (200, 300)])
    def test_a_picture_of_another_size_than_declared_is_corrupt(self, size: tuple[int, int]) -> None:
        assert refusal(lying(heif(scene()), *size)).reason is Reason.CORRUPT

    def test_a_last_box_without_length_does_not_hide_a_cut(self) -> None:
        data = heif(scene())
        at = data.index(b"mdat") - 4
        endless = data[:at] + bytes(4) + data[at + 4 :]
        assert decode(endless, GENEROUS).width == 90
        for missing in (1, 20, 2000):
            assert refusal(endless[:-missing]).reason is Reason.TRUNCATED

    def test_memory_and_deadline_hold(self, tmp_path: Path) -> None:
        """Nine megapixels in tiles, as phones write them; libheif would like to decode them in threads."""
        large, good = tmp_path / "large.heic", tmp_path / "good.heic"
        preset = {"preset": "ultrafast"}
        large.write_bytes(heif(Image.new("RGB", (3000, 3000), "teal"), tile_size=512, quality=10, enc_params=preset))
        good.write_bytes(heif(scene()))
        with DecodePool(workers=1, timeout=PATIENCE, memory=90_000_000, limits=GENEROUS) as pool:
            error = pool.submit(os.fspath(large), SPEC).exception(PATIENCE)
            assert isinstance(error, ImageError)
            assert error.reason in {Reason.OUT_OF_MEMORY, Reason.CRASHED}
            assert pool.submit(os.fspath(good), SPEC).result(PATIENCE).format == "HEIF"
        with DecodePool(workers=1, timeout=0.01, memory=2_000_000_000, limits=GENEROUS) as pool:
            error = pool.submit(os.fspath(large), SPEC).exception(PATIENCE)
            assert isinstance(error, ImageError)
            assert error.reason is Reason.TIMEOUT
        with DecodePool(workers=1, timeout=PATIENCE, memory=400_000_000, limits=GENEROUS) as pool:
            decoded = pool.submit(os.fspath(large), SPEC).result(PATIENCE)
            assert (decoded.width, decoded.height) == (3000, 3000)


class TestWithoutTheExtra:
    def test_what_to_install_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = heif(scene())
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        error = refusal(data)
        assert error.reason is Reason.UNSUPPORTED
        assert error.detail == MISSING == "HEIC needs: pip install 'recq[heic]'"

    def test_it_counts_from_when_it_is_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same decoding process, without a restart: the next attempt finds the extra."""
        hidden = tmp_path / "site" / "pillow_heif.py"
        hidden.parent.mkdir()
        hidden.write_text("raise ModuleNotFoundError('not installed', name='pillow_heif')")
        file = tmp_path / "photo.heic"
        file.write_bytes(heif(scene()))
        monkeypatch.syspath_prepend(hidden.parent)
        with DecodePool(workers=1, timeout=PATIENCE, memory=500_000_000, limits=GENEROUS) as pool:
            error = pool.submit(os.fspath(file), SPEC).exception(PATIENCE)
            assert isinstance(error, ImageError)
            assert (error.reason, error.detail) == (Reason.UNSUPPORTED, MISSING)
            hidden.unlink()
            assert pool.submit(os.fspath(file), SPEC).result(PATIENCE).width == 90

    def test_another_packages_absence_is_not_taken_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = heif(scene())
        monkeypatch.delitem(sys.modules, "pillow_heif")
        monkeypatch.setitem(sys.modules, "pillow_heif.options", None)
        error = refusal(data)
        assert error.reason is Reason.CORRUPT
        assert "pillow_heif.options" in error.detail
