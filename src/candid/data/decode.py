"""Encoded bytes -> uint8 RGB, the same pixels for every mode a file can have, or one short reason why not."""

from io import BytesIO

import numpy as np
import PIL
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from candid.data.quiet import quiet
from candid.errors import UnreadableImage
from candid.types import Image

__all__ = ["DECODER", "FORMATS", "MAX_PIXELS", "decode"]

MAX_PIXELS = 178_956_970  # Pillow's own refusal: 512 MiB once decoded to RGB; a larger header is a decompression bomb
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO")  # none that runs code (EPS)
DECODER = f"pillow-{PIL.__version__}"  # another version may decode other pixels, so caches name it
ORIENTATION = 0x0112
TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}


def decode(data: bytes, name: str = "image") -> Image:
    """Pixels of one encoded image, uint8 RGB, upright by its EXIF orientation; raises `UnreadableImage`.

    Greyscale is repeated over the channels, 16 bits become 8 by v / 257 rounded, transparency lies on white, an
    animation gives its first frame. More than `MAX_PIXELS` pixels, floating point and 32-bit ranges are refused.

    >>> decode(b"P6 1 1 255 " + bytes([255, 128, 0])).tolist()
    [[[255, 128, 0]]]
    """
    if not data:
        raise UnreadableImage(name, "empty file")
    try:
        with quiet(), Pillow.open(BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise UnreadableImage(name, _too_large(opened.width, opened.height))
            opened.load()
            return np.array(_rgb(_upright(opened), name))
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(name, "not an image file") from None
    except Pillow.DecompressionBombError:
        raise UnreadableImage(name, _too_large()) from None
    except Exception as error:  # on hostile bytes Pillow's plugins raise nearly every built-in exception
        raise UnreadableImage(name, _reason(error)) from error


def _upright(image: Pillow.Image) -> Pillow.Image:
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF around sound pixels: viewers show those as stored, and so do we
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Pillow.Image, name: str) -> Pillow.Image:
    if image.mode.startswith("I"):
        return _eight_bits(image, name).convert("RGB")
    if image.mode == "F":
        raise UnreadableImage(name, "floating-point pixels have no agreed white; save as 8 or 16 bit")
    if image.has_transparency_data:
        if image.mode == "La":  # premultiplied grey converts only to LA
            image = image.convert("LA")
        image = image.convert("RGBA")
        return Pillow.alpha_composite(Pillow.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Pillow.Image, name: str) -> Pillow.Image:
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise UnreadableImage(name, "32-bit pixels beyond 0 to 65535 have no agreed white; save as 8 or 16 bit")
    return Pillow.fromarray(((values + 128) // 257).astype(np.uint8))


def _too_large(width: int = 0, height: int = 0) -> str:
    size = f"{width} x {height} is " if width else ""
    return f"{size}over the limit of {MAX_PIXELS / 1e6:.0f} megapixels"


def _reason(error: Exception) -> str:
    text = (str(error) or type(error).__name__).splitlines()[0]
    return "truncated file" if "truncated" in text.lower() else f"cannot be decoded: {text}"
