"""A short version of `make fuzz`, on the service that the other tests use."""

from tests.fuzz.images import hostile_images
from tests.fuzz.made_up import Requests
from tests.fuzz.sounds import hostile_sounds
from tests.fuzz.uploads import Watch, send_all

REQUESTS = 300
EVERY = 20  # hostile file


def test_made_up_requests_get_documented_answers(service):
    tally = Requests(service.url, seed=1).send(REQUESTS)

    assert tally.failures == {}
    assert tally.requests >= REQUESTS
    assert tally.accepted_share >= 0.2


def test_hostile_files_are_answered_in_words_and_leave_no_trace(service):
    watch = Watch(service)
    files = [file for file in [*hostile_images(), *hostile_sounds()] if "processor busy" not in file.name]
    outcomes = send_all(service, files[::EVERY])

    assert [str(outcome) for outcome in outcomes if not outcome.as_expected] == []
    assert list(watch.complaints()) == []


def test_a_file_that_is_left_behind_is_noticed(service):
    watch = Watch(service)
    left = service.temporary / "left"
    left.touch()

    assert list(watch.complaints()) == [f"temporary files are left: {[str(left)]}"]
    left.unlink()
