"""How images were stored: formats, JPEG quality, and the grid that JPEG leaves in decoded pixels."""

import numpy as np
import pytest
from PIL import Image as Picture

from candid import data
from candid.errors import InputError


def photos(n=24, size=96):
    """Smooth random pictures with some texture."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, size=(n, 8, 8, 3)).astype(np.uint8)
    for each in coarse:
        smooth = np.asarray(Picture.fromarray(each).resize((size, size), Picture.Resampling.BICUBIC), np.int16)
        yield np.clip(smooth + random.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def stored(folder, suffix, **options):
    folder.mkdir()
    for place, image in enumerate(photos()):
        Picture.fromarray(image).save(folder / f"{place}.{suffix}", **options)
    return data.read(folder)


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_the_quality_of_jpeg_files_is_read_from_their_tables(tmp_path, quality):
    found = data.codec_of(stored(tmp_path / "a", "jpg", quality=quality))
    assert found.formats == {"JPEG": 1.0}
    assert found.quality == pytest.approx(quality, abs=1)


def test_the_grid_shows_jpeg_behind_png_files(tmp_path):
    plain = data.codec_of(stored(tmp_path / "a", "png"))
    (tmp_path / "b").mkdir()
    jpeg = data.as_jpeg(data.read(tmp_path / "a"), 50)
    for row in range(len(jpeg)):
        Picture.fromarray(jpeg.read(row)).save(tmp_path / "b" / f"{row}.png")
    hidden = data.codec_of(data.read(tmp_path / "b"))
    assert plain.formats == hidden.formats == {"PNG": 1.0}
    assert plain.quality is hidden.quality is None
    assert plain.grid.low < 1.02
    assert hidden.grid.low > plain.grid.high


def test_as_jpeg_keeps_everything_but_the_pixels(tmp_path):
    images = stored(tmp_path / "a", "png")
    jpeg = data.as_jpeg(images, 40)
    assert jpeg.ids == images.ids
    assert data.codec_of(jpeg).quality == pytest.approx(40, abs=1)
    assert 0 < np.abs(jpeg.read(0).astype(int) - images.read(0)).mean() < 20


def test_small_images_have_no_grid_and_broken_ones_no_format(tmp_path):
    Picture.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "small.png")
    assert data.codec_of(data.read(tmp_path)).grid is None
    (tmp_path / "small.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match="none of 1 images looked at can be read"):
        data.codec_of(data.read(tmp_path))
