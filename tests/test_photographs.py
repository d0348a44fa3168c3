import os
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmvae.data import photographs
from mmvae.types import InputError

RNG = np.random.default_rng(0)


def paint(height, width, channels=3):
    """A smooth image, so that JPEG and resizing keep it: uint8 [H, W, C]."""
    down, right = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
    return np.stack([255 * down, 255 * right, 255 * (1 - down)], -1)[..., :channels].astype(
        np.uint8
    )


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image.squeeze())
    image.save(path, **options)


def make_zoo(folder):
    """A folder as the world has them: file -> whether it can be used."""
    colour, red = paint(40, 30), Image.new('RGB', (30, 40), (255, 0, 0))
    transparent = Image.new('RGBA', (30, 40), (255, 0, 0, 0))
    ImageDraw.Draw(transparent).rectangle((0, 0, 30, 20), (0, 0, 255, 255))
    save(folder / 'odd size.jpg', paint(333, 7), quality=95)
    save(folder / 'palette.png', red.quantize(4))
    save(folder / 'rgba.png', transparent)
    save(folder / 'deep.png', np.full((40, 30), 257 * 100, np.uint16))
    save(folder / 'cmyk.jpg', red.convert('CMYK'), quality=95)
    save(folder / 'one bit.png', Image.new('1', (30, 40), 1))
    save(folder / 'grey alpha.png', Image.new('LA', (30, 40), (9, 0)))
    save(folder / 'UPPER.JPEG', colour, format='JPEG')
    save(folder / 'twin.png', colour)
    save(folder / 'twin.jpg', colour)
    save(folder / 'place one' / '12 00.png', colour)
    save(folder / 'far' / 'place two' / '12 00.png', colour)
    save(folder / '.hidden.png', colour)
    save(folder / '.hidden' / 'a.png', colour)
    save(folder / '__MACOSX' / 'hidden.png', colour)
    (folder / 'notes.txt').write_text('no image')
    whole = (folder / 'twin.jpg').read_bytes()
    (folder / 'cut.jpg').write_bytes(whole[: len(whole) // 2])
    (folder / 'empty.png').write_bytes(b'')
    (folder / 'other.png').write_bytes(b'GIF89a' + bytes(50))
    (folder / 'nowhere.png').symlink_to(folder / 'gone.png')
    os.mkfifo(folder / 'pipe.png')
    (folder / 'circle').symlink_to(folder)


BROKEN = ('cut.jpg', 'empty.png', 'other.png', 'nowhere.png', 'pipe.png')


def test_every_file_of_an_odd_folder_is_used_or_named(tmp_path, caplog):
    folder = tmp_path / 'day'
    make_zoo(folder)
    with pytest.raises(InputError, match='day: 5 images cannot be read') as error:
        photographs.read(folder, size=(20, 16))
    for name in BROKEN:
        assert f'{name}: ' in str(error.value)
    assert 'data.skip_broken=True' in str(error.value)
    images = photographs.read(folder, size=(20, 16), skip_broken=True)
    for name in (*BROKEN, 'notes.txt'):
        assert name in caplog.text
    assert 'hidden' not in caplog.text
    assert dict(zip(images.names, images.ids, strict=True)) == {
        'UPPER.JPEG': 'UPPER', 'cmyk.jpg': 'cmyk', 'deep.png': 'deep',
        'far/place two/12 00.png': 'place two', 'grey alpha.png': 'grey alpha',
        'odd size.jpg': 'odd size', 'one bit.png': 'one bit', 'palette.png': 'palette',
        'place one/12 00.png': 'place one', 'rgba.png': 'rgba',
        'twin.jpg': 'twin', 'twin.png': 'twin',
    }  # fmt: skip
    assert images.pixels.shape == (12, 20, 16, 3)
    assert isinstance(images.pixels, np.memmap)
    pixels = dict(zip(images.names, images.pixels, strict=True))
    for name, colour in {
        'palette.png': (255, 0, 0), 'cmyk.jpg': (255, 0, 0), 'deep.png': (100, 100, 100),
        'one bit.png': (255, 255, 255), 'grey alpha.png': (255, 255, 255),
    }.items():  # fmt: skip
        np.testing.assert_allclose(pixels[name], np.broadcast_to(colour, (20, 16, 3)), atol=2)
    np.testing.assert_allclose(pixels['rgba.png'][:7], np.broadcast_to((0, 0, 255), (7, 16, 3)))
    np.testing.assert_allclose(pixels['rgba.png'][14:], 255)
    for name in ('odd size.jpg', 'UPPER.JPEG', 'twin.jpg', 'twin.png'):
        np.testing.assert_allclose(np.int32(pixels[name]), paint(20, 16), atol=16)


def test_the_size_is_asked_for_where_images_differ(tmp_path):
    for name in 'abc':
        save(tmp_path / 'day' / f'{name}.png', paint(6, 8))
    save(tmp_path / 'day' / 'location_07' / '1200.jpg', paint(6, 9))
    message = r'day: 1 of 4 images differ in size \(location_07/1200.jpg is 6x9, most are 6x8\); set size='
    with pytest.raises(InputError, match=message):
        photographs.read(tmp_path / 'day')
    (tmp_path / 'day' / 'location_07' / '1200.jpg').unlink()
    images = photographs.read(tmp_path / 'day')
    for image in images.pixels:
        np.testing.assert_array_equal(image, paint(6, 8))


def test_a_modality_is_grey_if_all_its_files_are(tmp_path, caplog):
    grey = paint(4, 4, 1)
    save(tmp_path / 'x' / 'a.png', grey)
    save(tmp_path / 'x' / 'b.png', Image.fromarray(grey[..., 0]).quantize(16))
    save(tmp_path / 'x' / 'c.png', Image.fromarray(grey[..., 0]).convert('1'))
    assert photographs.read(tmp_path / 'x').pixels.shape == (3, 4, 4, 1)
    assert photographs.read(tmp_path / 'x', channels=3).pixels.shape == (3, 4, 4, 3)
    save(tmp_path / 'x' / 'd.png', paint(4, 4))
    assert not caplog.messages
    for _ in range(2):  # from the cache too
        assert photographs.read(tmp_path / 'x').pixels.shape == (4, 4, 4, 3)
    message = 'x: 1 of 4 is coloured (d.png), so all are read as colour; channels=grey reads them'
    assert [message in said for said in caplog.messages] == [True, True]
    assert photographs.read(tmp_path / 'x', channels=1).pixels.shape == (4, 4, 4, 1)
    assert len(caplog.messages) == 2


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_an_image_is_seen_as_its_exif_data_turn_it(orientation, suffix, tmp_path):
    upright = paint(40, 24)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright, 1), 7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {'quality': 95, 'subsampling': 0} if suffix == 'jpg' else {}
    save(tmp_path / 'x' / f'a.{suffix}', np.ascontiguousarray(stored), exif=exif, **options)
    images = photographs.read(tmp_path / 'x')
    np.testing.assert_allclose(np.int32(images.pixels[0]), upright, atol=6)
    images = photographs.read(tmp_path / 'x', size=(10, 6))
    np.testing.assert_allclose(np.int32(images.pixels[0]), paint(10, 6), atol=24)


def test_reducing_takes_the_mean_of_what_it_covers(tmp_path):
    """Nearest or bilinear sampling of noise would have its spread."""
    noise = RNG.integers(0, 256, (256, 384, 3), np.uint8)
    for suffix, options in (('png', {}), ('jpg', {'quality': 95, 'subsampling': 0})):
        save(tmp_path / f'a.{suffix}', noise, **options)
        small = photographs.decode(tmp_path / f'a.{suffix}', (8, 12, 3)).astype(float)
        blocks = noise.reshape(8, 32, 12, 32, 3).mean((1, 3))
        assert abs(small.mean() - noise.mean()) < 1
        assert small.std() < 2.5 * blocks.std() < 10


def test_the_cache_is_read_until_a_file_or_the_size_changes(tmp_path, monkeypatch):
    folder, decoded = tmp_path / 'x', []
    decode = photographs.decode
    monkeypatch.setattr(
        photographs, 'decode', lambda path, shape: decoded.append(path.name) or decode(path, shape)
    )
    for name in 'ab':
        save(folder / f'{name}.png', paint(5, 5))
    first = photographs.read(folder)
    assert sorted(decoded) == ['a.png', 'b.png']
    again = photographs.read(folder)
    assert len(decoded) == 2
    assert again.names == first.names
    np.testing.assert_array_equal(again.pixels, first.pixels)
    photographs.read(folder, size=(3, 3))
    assert len(decoded) == 4
    save(folder / 'a.png', 255 - paint(5, 5))
    np.testing.assert_array_equal(photographs.read(folder).pixels[0], 255 - paint(5, 5))
    assert len(decoded) == 6
    os.utime(folder / 'b.png', ns=(0, 0))
    photographs.read(folder)
    assert len(decoded) == 8
    (folder / 'b.png').rename(folder / 'c.png')
    assert photographs.read(folder).names == ['a.png', 'c.png']
    assert len(decoded) == 10
    for path in (tmp_path / '.mmvae-cache').glob('*.uint8'):
        path.write_bytes(b'cut')
    np.testing.assert_array_equal(photographs.read(folder).pixels[0], 255 - paint(5, 5))
    assert not list((tmp_path / '.mmvae-cache').glob('*partial*'))


def test_images_left_out_once_are_refused_or_named_again(tmp_path, caplog):
    save(tmp_path / 'x' / 'a.png', paint(5, 5))
    (tmp_path / 'x' / 'b.png').write_bytes(b'')
    for _ in range(2):
        caplog.clear()
        assert photographs.read(tmp_path / 'x', skip_broken=True).names == ['a.png']
        assert 'b.png' in caplog.text
    with pytest.raises(InputError, match='1 image cannot be read .b.png'):
        photographs.read(tmp_path / 'x')
    (tmp_path / 'x' / 'a.png').write_bytes(b'')
    with pytest.raises(InputError, match='none of its 2 images'):
        photographs.read(tmp_path / 'x', skip_broken=True)


def test_what_holds_no_image_or_cannot_be_written_is_refused(tmp_path):
    (tmp_path / 'x').mkdir()
    with pytest.raises(InputError, match='x: no PNG or JPEG'):
        photographs.read(tmp_path / 'x')
    save(tmp_path / 'x' / 'a.png', paint(5, 5))
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='data.cache: .*cannot be written .Not a .*another'):
        photographs.read(tmp_path / 'x', cache=tmp_path / 'file' / 'cache')
    (tmp_path / '.mmvae-cache').write_text('')
    message = 'mmvae-cache cannot be written .File exists.; name another with data.cache'
    with pytest.raises(InputError, match=message):
        photographs.read(tmp_path / 'x')
    (tmp_path / '.mmvae-cache').unlink()
    photographs.read(tmp_path / 'x', cache=tmp_path / 'elsewhere')
    assert not (tmp_path / '.mmvae-cache').exists()


def test_an_image_of_too_many_pixels_is_named_before_it_is_decoded(tmp_path):
    """A PNG of a few bytes can claim any size."""
    save(tmp_path / 'x' / 'bomb.png', paint(5, 5))
    content = bytearray((tmp_path / 'x' / 'bomb.png').read_bytes())
    content[16:24] = (10_000).to_bytes(4, 'big') * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, 'big')
    (tmp_path / 'x' / 'bomb.png').write_bytes(content)
    with pytest.raises(InputError, match='bomb.png: Image size .100000000 pixels. exceeds'):
        photographs.read(tmp_path / 'x', size=(4, 4), skip_broken=True)


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path, monkeypatch):
    save(tmp_path / 'a.jpg', paint(800, 1600), quality=90)
    sizes, flatten = [], photographs._flatten
    monkeypatch.setattr(
        photographs,
        '_flatten',
        lambda image, mode: sizes.append(image.size) or flatten(image, mode),
    )
    small = photographs.decode(tmp_path / 'a.jpg', (20, 40, 3))
    assert sizes == [(200, 100)]
    np.testing.assert_allclose(np.int32(small), paint(20, 40), atol=10)


def test_several_at_once_decode_a_folder_once(tmp_path, monkeypatch):
    for name in 'abcd':
        save(tmp_path / 'x' / f'{name}.png', paint(50, 50))
    decoded, decode = [], photographs.decode
    monkeypatch.setattr(
        photographs, 'decode', lambda path, shape: decoded.append(path) or decode(path, shape)
    )
    threads = [threading.Thread(target=photographs.read, args=[tmp_path / 'x']) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == 4
