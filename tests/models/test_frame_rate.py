from fractions import Fraction

import pytest

from models.frame_rate import as_number, frames_covering, parse_frame_rate

MILLISECOND = Fraction(1, 1000)


@pytest.mark.parametrize("text", ["24", "24.0", " 24 ", "024", "48/2", "24000/1000"])
def test_a_whole_rate_is_an_int_however_it_is_written(text):
    rate = parse_frame_rate(text)

    assert (type(rate), rate) == (int, 24)


@pytest.mark.parametrize(
    ("nominal", "texts"),
    {
        24: ["23.976", "23.98", "23.9760", "23.976023976023978", "24000/1001", "23976/1000"],
        30: ["29.97", "29.970", "29.97002997002997", "30000/1001", "2997/100"],
        48: ["47.952", "47.95", "48000/1001"],
        60: ["59.94", "59.9401", "60000/1001"],
    }.items(),
)
def test_a_rate_of_ntsc_is_exact_however_it_is_written(nominal, texts):
    assert {parse_frame_rate(text) for text in texts} == {Fraction(nominal * 1000, 1001)}


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("12.5", Fraction(25, 2)),
        ("25/2", Fraction(25, 2)),
        ("24.024", Fraction(3003, 125)),
        ("1.001", Fraction(1001, 1000)),
    ],
)
def test_another_fraction_is_what_it_says(text, rate):
    assert parse_frame_rate(text) == rate


def test_a_rate_that_was_computed_in_floating_point_is_found_again():
    assert parse_frame_rate(str(25 / 3)) == Fraction(25, 3)


def test_a_fraction_of_large_numbers_is_one_of_small_ones():
    rate = parse_frame_rate("999999999/71428571")

    assert rate == 14


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "nan", "inf", "1e1", "1e999999999", "-24", "24,5", "24.", ".5", "25/", "/2", "1/0", "1/2/3",
        "２４", "9" * 5000,
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_words(text):
    with pytest.raises(ValueError, match="should be a number or a fraction of two whole numbers"):
        parse_frame_rate(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("25", 25), ("24000/1001", 23.976), ("30000/1001", 29.97), ("25/2", 12.5), ("25/3", 8.333)],
)
def test_is_told_as_a_number_that_means_the_same_rate(text, number):
    told = as_number(parse_frame_rate(text))

    assert (type(told), told) == (type(number), number)
    assert as_number(parse_frame_rate(str(told))) == told


@pytest.mark.parametrize(
    "fps", [1, 7, 24, 25, 60, Fraction(24_000, 1001), Fraction(60_000, 1001), Fraction(25, 2)]
)
@pytest.mark.parametrize("frames", [1, 2, 100, 4999])
def test_frames_cover_a_sound_to_its_end(fps, frames):
    exact = frames / Fraction(fps)

    assert frames_covering(exact, fps) == frames
    assert frames_covering(exact - Fraction(1, 192_000), fps) == frames
    assert frames_covering(exact + MILLISECOND - Fraction(1, 192_000), fps) == frames
    assert frames_covering(exact + MILLISECOND, fps) == frames + 1


def test_nothing_needs_no_frame():
    assert frames_covering(Fraction(0), 24) == 0
