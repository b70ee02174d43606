"""Every mode an image file can have becomes the same uint8 RGB; everything else is one short reason."""

import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from candid.data import MAX_PIXELS, decode
from candid.errors import UnreadableImage

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(height: int = 40, width: int = 60) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 4, y * 6, (x + y) * 2], axis=2).astype(np.uint8))


def png(header: bytes, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, for what Pillow does not write."""
    chunks = ((b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


# modes


def test_rgb_keeps_its_values():
    assert np.array_equal(decode(encoded(photo())), np.asarray(photo()))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "JPEG2000"])
def test_lossless_formats_agree(kind):
    picture = Image.new("RGB", (4, 2), RED)
    picture.putpixel((3, 1), BLUE)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode(encoded(picture, kind, **options)), np.asarray(picture))


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_formats_come_close(kind):
    found = decode(encoded(photo(), kind, quality=95))
    assert np.abs(found.astype(int) - np.asarray(photo())).mean() < 4


def test_greyscale_is_repeated_over_the_channels():
    assert decode(encoded(Image.new("L", (2, 1), 77))).tolist() == [[[77] * 3, [77] * 3]]


def test_one_bit_becomes_black_and_white():
    picture = Image.new("1", (2, 1), 0)
    picture.putpixel((1, 0), 1)
    assert decode(encoded(picture)).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_a_palette_is_looked_up():
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putpixel((1, 0), 1)
    assert decode(encoded(picture)).tolist() == [[list(RED), list(BLUE)]]


def test_alpha_lies_on_white():
    picture = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    picture.putpixel((2, 0), (255, 0, 0, 128))
    black, clear, half = decode(encoded(picture))[0].tolist()
    assert (black, clear) == ([0, 0, 0], [255, 255, 255])
    assert half == [255, 127, 127]  # 255 * (1 - 128 / 255) = 127


def test_grey_with_alpha_lies_on_white():
    picture = Image.new("LA", (2, 1), (10, 255))
    picture.putpixel((1, 0), (10, 0))
    assert decode(encoded(picture)).tolist() == [[[10] * 3, [255] * 3]]


def test_a_transparent_palette_entry_is_white():
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putpixel((1, 0), 1)
    assert decode(encoded(picture, transparency=0)).tolist() == [[list(WHITE), list(BLUE)]]


def test_palette_entries_with_their_own_alpha_lie_on_white():
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putpixel((1, 0), 1)
    assert decode(encoded(picture, transparency=bytes([0, 255]))).tolist() == [[list(WHITE), list(BLUE)]]


def test_a_transparent_colour_key_is_white():
    picture = Image.new("RGB", (2, 1), RED)
    picture.putpixel((1, 0), BLUE)
    assert decode(encoded(picture, transparency=RED)).tolist() == [[list(WHITE), list(BLUE)]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_scale_by_257_and_are_not_clipped(kind):
    values = np.array([[0, 128, 129, 257, 300, 32768, 65535]], dtype=np.uint16)
    grey = decode(encoded(Image.fromarray(values), kind))[0, :, 0].tolist()
    assert grey == [0, 0, 1, 1, 1, 128, 255]  # 128 / 257 = 0.498, 129 / 257 = 0.502, 32768 / 257 = 127.502


def test_big_endian_sixteen_bits_are_the_same():
    values = np.array([[0, 32768, 65535]], dtype=">u2")
    data = b"P5 3 1 65535\n" + values.tobytes()
    assert decode(data)[0, :, 0].tolist() == [0, 128, 255]


def test_sixteen_bit_colour_keeps_its_upper_byte():
    row = struct.pack(">6H", 0, 0x8000, 0xFFFF, 0x1234, 0x5678, 0x9ABC)
    data = png(struct.pack(">2I5B", 2, 1, 16, 2, 0, 0, 0), b"\0" + row)
    assert decode(data).tolist() == [[[0, 0x80, 0xFF], [0x12, 0x56, 0x9A]]]


def test_integer_pixels_of_more_than_sixteen_bits_are_refused():
    with pytest.raises(UnreadableImage, match="beyond 0 to 65535"):
        decode(encoded(Image.fromarray(np.array([[70_000]], dtype=np.int32)), "TIFF"))


def test_floating_point_pixels_are_refused():
    with pytest.raises(UnreadableImage, match="no agreed white"):
        decode(encoded(Image.fromarray(np.array([[0.5]], dtype=np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind):
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    found = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind, **options))
    assert np.abs(found.astype(int) - RED).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode(data).tolist() == np.asarray(frames[0]).tolist()


# orientation: a 3 x 2 picture whose pixels are numbered as it should be seen
#   0 1 2
#   3 4 5
STORED = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[2, 5], [1, 4], [0, 3]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[3, 0], [4, 1], [5, 2]],
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(orientation, kind):
    stored = Image.fromarray(np.array(STORED[orientation], dtype=np.uint8) * 40).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert (decode(data)[:, :, 0] // 40).tolist() == STORED[1]


def test_a_phone_photo_on_its_side_stands_up():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate a quarter clockwise to see it upright
    assert decode(encoded(photo(40, 60), "JPEG", exif=exif)).shape == (60, 40, 3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode(encoded(photo(40, 60), "JPEG", exif=exif)).shape == (40, 60, 3)


def test_broken_exif_does_not_cost_the_image():
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fgarbage")
    assert decode(data).shape == (40, 60, 3)


# files that are no images


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data, "here/x.jpg")
    assert caught.value.image_id == "here/x.jpg"
    return caught.value.reason


def test_an_empty_file_says_so():
    assert reason(b"") == "empty file"


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html>", b"\0" * 100, b"%PDF-1.7", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1"]
)
def test_other_content_is_not_an_image_file(data):
    assert reason(data) == "not an image file"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "AVIF", "JPEG2000"])
def test_a_truncated_file_is_refused_in_every_format(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    assert reason(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_photo_is_called_truncated(kind):
    data = encoded(photo(), kind)
    assert reason(data[: len(data) * 2 // 3]) == "truncated file"


def test_pillows_switch_for_truncated_files_is_left_alone():
    with pytest.raises(UnreadableImage):
        decode(encoded(photo(), "JPEG")[:500])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def bomb(side: int) -> bytes:
    return png(struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0), b"\0")


@pytest.mark.parametrize("side", [13_378, 20_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    assert side * side > MAX_PIXELS
    assert "over the limit of 179 megapixels" in reason(bomb(side))


def test_large_images_below_the_limit_decode_without_a_warning():
    large = encoded(Image.new("1", (10_000, 9_000), 1))  # 90 megapixels, where Pillow itself starts to warn
    assert decode(large).shape == (9_000, 10_000, 3)


def test_no_warning_leaves_many_threads_and_the_filters_stay_as_they_were():
    no_frames = (b"acTL", struct.pack(">2I", 0, 0))  # an animation of nothing: Pillow warns and shows the still
    odd = png(struct.pack(">2I5B", 1, 1, 8, 2, 0, 0, 0), bytes([0, *RED]), no_frames)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(pixels_or_reason, [odd] * 400))
    assert all(image.tolist() == [[list(RED)]] for image in found)
    assert list(warnings.filters) == before


SEEDS = [encoded(photo(12, 16), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO")]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6), st.data())
def test_damaged_bytes_give_pixels_or_a_reason(seed, changes, choice):
    data = bytearray(seed)
    for place, value in changes:
        data[place % len(data)] = value
    cut = choice.draw(st.integers(0, len(data)))
    outcome = pixels_or_reason(bytes(data[:cut]))
    assert outcome if isinstance(outcome, str) else outcome.ndim == 3
    assert "\n" not in str(outcome) or not isinstance(outcome, str)


def pixels_or_reason(data: bytes) -> np.ndarray | str:
    try:
        return decode(data)
    except UnreadableImage as error:
        return error.reason


def test_the_pixels_can_be_written_to():
    assert decode(encoded(photo())).flags.writeable  # torch warns about arrays that cannot


def test_decoding_a_damaged_file_prints_nothing(tmp_path):
    (tmp_path / "x.tif").write_bytes(encoded(photo(), "TIFF", compression="tiff_lzw")[:-200] + b"\xee" * 200)
    code = (
        "import sys; from candid import data, errors\n"
        "try: data.read(sys.argv[1]).read(0)\n"
        "except errors.UnreadableImage: sys.exit(7)"
    )
    command = [sys.executable, "-W", "always::UserWarning", "-c", code, str(tmp_path / "x.tif")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (7, "", "")
