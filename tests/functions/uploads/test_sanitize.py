import io
import math
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, ImageChops, ImageCms, ImageStat, JpegImagePlugin
from PIL.ExifTags import IFD, Base

from local.demo.customer_life import PHOTOGRAPH
from uploads import sanitize

ORIENTATION = Base.Orientation


def picture(kind: str = "JPEG", size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: object) -> bytes:
    image = Image.linear_gradient("L").resize(size).convert(mode)
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def decoded(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize(
    ("kind", "mode", "content_type"),
    [
        ("JPEG", "RGB", "image/jpeg"),
        ("JPEG", "L", "image/jpeg"),
        ("JPEG", "CMYK", "image/jpeg"),
        ("PNG", "RGBA", "image/png"),
        ("PNG", "P", "image/png"),
        ("PNG", "LA", "image/png"),
        ("PNG", "1", "image/png"),
        ("PNG", "I;16", "image/png"),
        ("WEBP", "RGB", "image/webp"),
        ("WEBP", "RGBA", "image/webp"),
        ("GIF", "P", "image/gif"),
    ],
)
def test_each_kind_comes_through_as_itself(kind: str, mode: str, content_type: str) -> None:
    raw = picture(kind, mode=mode)
    clean = sanitize.clean(raw)
    before, after = decoded(raw), decoded(clean.content)
    assert (clean.contentType, clean.width, clean.height) == (content_type, 40, 20)
    assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)
    same = before.convert("RGBA"), after.convert("RGBA")
    assert max(ImageStat.Stat(ImageChops.difference(*same)).mean) < 3


def test_a_transparent_palette_stays_transparent() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 1), 0)
    sink = io.BytesIO()
    image.save(sink, "GIF", transparency=0)
    raw = sink.getvalue()
    before, after = decoded(raw).convert("RGBA"), decoded(sanitize.clean(raw).content).convert("RGBA")
    assert before.getchannel("A").getextrema() == after.getchannel("A").getextrema() == (0, 255)


def palette_gif(colours: int) -> bytes:
    """A still of noise in that many colours, the first of them transparent."""
    image = Image.frombytes("P", (400, 300), bytes(byte % colours for byte in secrets.token_bytes(400 * 300)))
    image.putpalette(secrets.token_bytes(colours * 3))
    sink = io.BytesIO()
    image.save(sink, "GIF", transparency=0)
    return sink.getvalue()


def both(clean: sanitize.CleanImage, order: str) -> tuple[bytes, bytes]:
    """Content and thumbnail, asked for in that order or side by side."""
    if order == "thumbnail last":
        return clean.content, clean.thumbnail
    with ThreadPoolExecutor(1) as pool:
        thumbnail = pool.submit(lambda: clean.thumbnail)
        if order == "thumbnail first":
            thumbnail.result()
        return clean.content, thumbnail.result()


@pytest.mark.parametrize("order", ["thumbnail first", "thumbnail last", "side by side"])
@pytest.mark.parametrize("colours", [64, 128, 200, 256])
def test_a_transparent_gif_is_kept_to_the_pixel_whenever_its_thumbnail_is_made(colours: int, order: str) -> None:
    raw = palette_gif(colours)
    content, thumbnail = both(sanitize.clean(raw), order)
    assert decoded(content).convert("RGBA").tobytes() == decoded(raw).convert("RGBA").tobytes()
    assert decoded(thumbnail).getchannel("A").getextrema() != (255, 255)


def test_a_sixteen_bit_grey_is_scaled_and_not_clipped_in_its_thumbnail() -> None:
    sink = io.BytesIO()
    Image.frombytes("I;16", (64, 64), b"\x00\x40" * 64 * 64).save(sink, "PNG")
    assert ImageStat.Stat(decoded(sanitize.clean(sink.getvalue()).thumbnail)).mean == pytest.approx([64] * 3, abs=2)


def test_heic_keeps_its_detail_and_its_colours_at_full_resolution() -> None:
    sink = io.BytesIO()
    decoded(PHOTOGRAPH.read_bytes()).save(sink, "HEIF", quality=95)
    raw = sink.getvalue()
    after = decoded(sanitize.clean(raw).content)
    assert JpegImagePlugin.get_sampling(after) == 0, "4:4:4"
    squares = ImageStat.Stat(ImageChops.difference(decoded(raw), after)).sum2
    psnr = 10 * math.log10(255**2 * 3 * after.width * after.height / sum(squares))
    assert psnr > 42, "dB"


def test_a_lack_of_memory_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = picture()
    clean = sanitize.clean(raw)

    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "save", exhausted)
    monkeypatch.setattr(Image.Image, "load", exhausted)
    for work in (lambda: sanitize.clean(raw), lambda: clean.content, lambda: clean.thumbnail):
        with pytest.raises(MemoryError):
            work()


def test_a_photograph_loses_what_it_says_about_its_maker_and_nothing_to_the_eye() -> None:
    raw = PHOTOGRAPH.read_bytes()
    assert decoded(raw).getexif().get_ifd(IFD.GPSInfo)
    clean = sanitize.clean(raw)
    after = decoded(clean.content)
    assert not after.getexif()
    assert b"Canary" not in clean.content
    assert b"Exif" not in clean.content
    assert after.info["icc_profile"] == decoded(raw).info["icc_profile"]
    squares = ImageStat.Stat(ImageChops.difference(decoded(raw), after)).sum2
    psnr = 10 * math.log10(255**2 * 3 * after.width * after.height / sum(squares))
    assert psnr > 60, "dB; the camera's own quantisation must be kept"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_stands_as_it_was_meant_to(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    clean = sanitize.clean(picture(exif=exif))
    assert (clean.width, clean.height) == ((40, 20) if orientation < 5 else (20, 40))
    assert decoded(clean.content).size == (clean.width, clean.height)
    assert ORIENTATION not in decoded(clean.content).getexif()


def test_nothing_behind_the_end_of_the_image_is_kept() -> None:
    assert b"canary" not in sanitize.clean(picture() + b"canary" * 100).content
    assert b"canary" not in sanitize.clean(picture("PNG") + b"canary" * 100).content


def test_comments_text_and_xmp_are_gone() -> None:
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415

    text = PngInfo()
    text.add_text("Author", "canary")
    text.add_itxt("XML:com.adobe.xmp", "canary")
    for raw in (
        picture("PNG", pnginfo=text),
        picture("JPEG", comment=b"canary", xmp=b"canary"),
        picture("WEBP", xmp=b"canary"),
        picture("GIF", mode="P", comment=b"canary"),
    ):
        assert b"canary" in raw
        assert b"canary" not in sanitize.clean(raw).content


def test_a_wide_colour_profile_is_kept() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert decoded(sanitize.clean(picture("PNG", icc_profile=profile)).content).info["icc_profile"] == profile


def srgb(size: int | None = None) -> bytes:
    """A valid profile, made `size` bytes long in all by zeros within its declared end."""
    raw = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    size = size or len(raw)
    return size.to_bytes(4, "big") + raw[4:].ljust(size - 4, b"\0")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_colour_profile_ends_where_it_says(kind: str) -> None:
    clean = sanitize.clean(picture(kind, icc_profile=srgb() + b"canary" * 100))
    for content in (clean.content, clean.thumbnail):
        assert decoded(content).info["icc_profile"] == srgb()
    longer = (len(srgb()) + 1).to_bytes(4, "big") + srgb()[4:]
    assert "icc_profile" not in decoded(sanitize.clean(picture(kind, icc_profile=longer)).content).info


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])  # of a PNG, Pillow itself reads no more
def test_a_colour_profile_has_at_most_one_mebibyte(kind: str) -> None:
    for size, kept in ((1024 * 1024, True), (1024 * 1024 + 1, False)):
        clean = sanitize.clean(picture(kind, icc_profile=srgb(size)))
        assert ("icc_profile" in decoded(clean.content).info) == kept


def test_a_thumbnail_of_inks_is_no_longer_described_by_their_profile() -> None:
    clean = sanitize.clean(picture(mode="CMYK", icc_profile=srgb()))
    assert "icc_profile" in decoded(clean.content).info
    assert "icc_profile" not in decoded(clean.thumbnail).info


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "The file is empty."),
        (b"plain text, whatever its name", "This is not a JPEG"),
        (picture()[:300], "This is not a JPEG"),
        (picture("PNG")[:-40], "This is not a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This is not a JPEG"),
        (picture("BMP"), "This is not a JPEG"),
        (picture("TIFF"), "This is not a JPEG"),
    ],
    ids=["empty", "text", "cut JPEG", "cut PNG", "SVG", "BMP", "TIFF"],
)
def test_what_is_no_image_of_ours_is_rejected_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(sanitize.Rejected, match=reason):
        sanitize.clean(raw)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_a_moving_image_keeps_every_frame_and_its_time(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    sink = io.BytesIO()
    frames[0].save(sink, kind, save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0)
    after = Image.open(io.BytesIO(sanitize.clean(sink.getvalue()).content))
    assert (after.format, after.n_frames) == (kind, 3)  # type: ignore[attr-defined]
    for number, color in enumerate([(255, 0, 0), (0, 128, 0), (0, 0, 255)]):
        after.seek(number)
        after.load()
        assert after.info["duration"] == (number + 1) * 100
        seen = after.convert("RGB").getpixel((4, 4))
        assert isinstance(seen, tuple)
        assert max(abs(a - b) for a, b in zip(seen, color, strict=True)) < 12


def test_a_moving_image_that_takes_too_long_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, frames = io.BytesIO(), [Image.new("RGB", (8, 8), color) for color in ("red", "green")]
    frames[0].save(sink, "GIF", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(sanitize, "_MAX_DECODE_SECONDS", -1.0)
    with pytest.raises(sanitize.Rejected, match="too long"):
        sanitize.clean(sink.getvalue())


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    header = picture("PNG", size=(8, 8))
    bomb = header[:16] + (100_000).to_bytes(4, "big") * 2 + header[24:]
    with pytest.raises(sanitize.Rejected):
        sanitize.clean(bomb)
    assert Image.MAX_IMAGE_PIXELS is not None


def test_sizes_are_checked_before_anything_is_read() -> None:
    sanitize.check_size(sanitize.MAX_BYTES)
    with pytest.raises(sanitize.Rejected, match="50 MiB"):
        sanitize.check_size(sanitize.MAX_BYTES + 1)
