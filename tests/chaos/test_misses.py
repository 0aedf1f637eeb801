"""What is called a miss."""

import os

import pytest

from tests.chaos.journal import Entry
from tests.chaos.misses import files_without_a_task, misses_of_answer, misses_of_entry, misses_of_video

ANSWER = {"status": "completed", "frames_generated": 24, "error": None}
ENTRY = Entry("a", 24, "completed", 2, 1, "attempt-2.mp4", None)
ENDS = ["completed attempt-2.mp4"]


@pytest.fixture(scope="module")
def video(ffmpeg, tmp_path_factory):
    """Twenty-four frames with sound."""
    path = tmp_path_factory.mktemp("videos") / "video.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=24", "-f", "lavfi", "-i", "sine"]
    ffmpeg(*source, "-frames:v", 24, "-shortest", "-movflags", "+faststart", path)
    return path.read_bytes()


def test_a_completed_task_with_its_video_is_none(video):
    assert [*misses_of_answer("a", 24, ANSWER), *misses_of_entry(ENTRY, ENDS)] == []
    assert list(misses_of_video("a", 24, video)) == []


@pytest.mark.parametrize(
    ("answer", "miss"),
    [
        ({"detail": "there is no task 'a'"}, "accepted, but forgotten: there is no task 'a'"),
        ({**ANSWER, "status": "failed", "error": "too often"}, "failed: too often"),
        ({**ANSWER, "frames_generated": 23}, "23 frames instead of 24"),
    ],
)
def test_an_accepted_task_must_be_completed_in_full(answer, miss):
    assert list(misses_of_answer("a", 24, answer)) == [f"task a: {miss}"]


@pytest.mark.parametrize(
    ("changes", "ends", "miss"),
    [
        ({"status": "processing"}, [], "processing in the journal: None"),
        ({}, [], "ended 0 times: "),
        ({}, ENDS * 2, "ended 2 times: completed attempt-2.mp4, completed attempt-2.mp4"),
        ({}, ["failed None", *ENDS], "ended 2 times: failed None, completed attempt-2.mp4"),
        ({"attempt": 3}, ENDS, "attempt 3 counts, but attempt-2.mp4 is its video"),
    ],
)
def test_a_task_ends_once_with_the_video_of_its_last_attempt(changes, ends, miss):
    entry = Entry(**{**ENTRY.__dict__, **changes})
    assert list(misses_of_entry(entry, ends)) == [f"task a: {miss}"]


def test_a_video_of_another_length_is_one(video):
    assert list(misses_of_video("a", 25, video)) == ["task a: its video has 24 frames instead of 25"]


def test_a_damaged_video_is_one(video):
    (miss,) = misses_of_video("a", 24, video[: len(video) // 2])
    assert "does not decode" in miss


def test_files_that_no_row_names_are_found_unless_they_have_just_been_sent(tmp_path):
    for name in (
        "uploads/a/reference_image",
        "uploads/b/audio_file",
        "uploads/c/audio_file",
        "videos/a/attempt-2.mp4",
        "videos/a/attempt-1.mp4.part",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.utime(tmp_path / "uploads/b/audio_file", (0, 0))
    # As one that is removed while we look.
    (tmp_path / "uploads/c/reference_image").symlink_to("nowhere")
    found = files_without_a_task(tmp_path, {"a": ENTRY})
    assert found == ["uploads/b/audio_file", "videos/a/attempt-1.mp4.part"]
