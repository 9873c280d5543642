"""Sizes of pictures: what --profile and --size may say, and what a variant refuses."""

import pytest

from fewstep.errors import FewstepError
from fewstep.records import from_json, to_json
from fewstep.sizes import SizeProfile, Sizes, parse_size, size_text

WIDE = SizeProfile((256, 128), (512, 384), (768, 512))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", SizeProfile((512, 512), (512, 512), (512, 512))),
        ("256:512:768", SizeProfile((256, 256), (512, 512), (768, 768))),
        ("256x128:512x384:768x512", WIDE),
    ],
)
def test_a_profile_is_one_size_or_three(text: str, expected: SizeProfile) -> None:
    assert SizeProfile.parse(text) == expected
    assert SizeProfile.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("256:512", "expected --profile SMALLEST:BEST:LARGEST"),
        ("256:512:huge", "expected a size like 512 or 768x512 in pixels, found 'huge'"),
        ("0", "expected a size like 512"),
        ("64x0", "expected a size like 512"),
        ("512:256:768", "do not shrink.*found 512x512:256x256:768x768"),
        ("512:512:768x256", "do not shrink"),
        ("512:512:99999", "of 1 to 16384 pixels"),
    ],
)
def test_what_is_no_profile_is_told(text: str, part: str) -> None:
    with pytest.raises(FewstepError, match=part):
        SizeProfile.parse(text)


def test_a_size_lies_in_a_profile_and_is_a_multiple() -> None:
    sizes = Sizes(64, (WIDE, SizeProfile.parse("1024")))
    for size in ((256, 128), (768, 512), (512, 256), (1024, 1024)):
        sizes.require(size, "variant 'x'")
    for size in ((192, 128), (832, 512), (256, 576), (512, 250), (1024, 960)):
        with pytest.raises(
            FewstepError,
            match=rf"256x128:512x384:768x512 or 1024x1024.* multiples of 64, found {size_text(size)}, for variant 'x'",
        ):
            sizes.require(size, "variant 'x'")


def test_sizes_survive_the_manifest() -> None:
    sizes = Sizes(8, (WIDE,))
    assert from_json(Sizes, to_json(sizes), "x") == sizes
    with pytest.raises(FewstepError, match="one profile or more, found 8 and 0"):
        Sizes(8, ())
    assert parse_size("640x480") == (640, 480)
