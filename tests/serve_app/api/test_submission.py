"""How requests become tasks, also when engines, name servers and the journal change in between."""

import asyncio
import io
import socket
import struct
import threading
from fractions import Fraction

import httpx
import pytest

from models.params import GenerationParams
from serve_app.api.submission import VideoRequest
from serve_app.engines.choice import EngineChoice
from serve_app.errors import JournalUnavailable, StorageFull
from serve_app.storage.local import LocalStorage
from serve_app.tasks import webhooks
from serve_app.tasks.overview import Overview
from tests.serve_app.local_api import local_api
from tests.serve_app.lost_answers import losing_answers
from tests.serve_app.stored import upload

BOTH_ENGINES = EngineChoice("echomimic", {})
KEY = {"Idempotency-Key": "k"}


def video_request(image=b"image", audio=b"sound", **chosen):
    return VideoRequest(chosen, io.BytesIO(image), io.BytesIO(audio))


class TestTheNumbers:
    def test_are_the_defaults_where_the_client_chose_none(self):
        base = GenerationParams(steps=30, cfg=2.5)
        assert video_request(device="cpu").params(base) == base

    def test_are_those_that_the_client_chose(self):
        params = video_request(steps=6, fps=25).params(GenerationParams(steps=30))
        assert (params.steps, params.fps, params.width) == (6, 25, 512)

    def test_have_a_drawn_seed_in_place_of_minus_one(self):
        seeds = {video_request(seed=-1).params(GenerationParams()).seed for _ in range(5)}
        assert len(seeds) > 1
        assert all(0 <= seed < 2**32 for seed in seeds)

    def test_have_the_largest_length_in_place_of_that_of_the_whole_audio(self):
        # So that an engine of the release before can make the video too.
        assert video_request(length=0).params(GenerationParams()).length == 5000
        assert video_request(length=2).params(GenerationParams()).length == 2
        assert video_request().params(GenerationParams()).length == 1200


class TestTheFingerprint:
    def test_is_the_same_for_the_same_choices_and_files(self):
        request = video_request(width=256, seed=7)
        assert request.fingerprint() == request.fingerprint()
        assert video_request(seed=7, width=256).fingerprint() == request.fingerprint()

    def test_differs_with_every_choice_and_file(self):
        first = video_request(width=256).fingerprint()
        others = [
            video_request(width=128),
            video_request(width=256, seed=7),
            video_request(audio=b"another", width=256),
            video_request(image=b"another", width=256),
            video_request(image=b"sound", audio=b"image", width=256),
        ]
        assert first not in {other.fingerprint() for other in others}

    def test_is_one_for_all_ways_to_write_a_rate(self):
        exact = Fraction(24_000, 1001)
        assert video_request(fps=exact).fingerprint() == video_request(fps=exact).fingerprint()
        assert len({video_request(fps=fps).fingerprint() for fps in (exact, 23, 24)}) == 3

    def test_leaves_the_files_to_be_read_from_their_start(self):
        request = video_request()
        request.fingerprint()
        assert (request.reference_image.read(), request.audio_file.read()) == (b"image", b"sound")

    @pytest.mark.parametrize(
        ("fields", "fingerprint"),
        [
            ({}, "f623ddf6311cc27242ce151f6b291cadced3a6316d97ea305c3acd7082b312dd"),
            (
                {
                    "width": "256", "height": "", "seed": "-1", "cfg": "2", "facecrop_dilation_ratio": "0.5",
                    "sample_rate": "44100", "device": "cpu", "engine": "preview", "priority": "3",
                    "webhook_url": "http://1.1.1.1/hook", "lenght": "2",
                },
                "5ed699d8579b91563941987ed67ef53a43bfb7519061aa0226fd8203f7a05f2e",
            ),
            (
                {"fps": "24", "length": "48"},
                "68dcf47b736a3c9f5bea0cc91a876fdaa76675ab26840aba0f0ce97b80449179",
            ),
            ({"fps": "24.0"}, "9fc8193d1d7d943e87d49be7c463240b558404090dc6600afe84caec41adec3d"),
        ],
        ids=["no field", "fields", "whole rate", "whole rate with decimals"],
    )  # fmt: skip
    def test_is_that_of_an_earlier_release(self, tmp_path, sqlite_journal, speech_file, fields, fingerprint):
        # Computed by commits 906f329 and e322d35: with another, a repeated request would make a second task.
        files = {"reference_image": black_bitmap(16), "audio_file": speech_file.read_bytes()}
        api = local_api(tmp_path, sqlite_journal)
        task_id = api.post("/generate_video", files=files, data=fields).json()["task_id"]
        assert sqlite_journal.get(task_id).fingerprint == fingerprint


def black_bitmap(side):
    """A BMP whose bytes depend on no library."""
    pixels = bytes(3 * side * side)
    header = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
    return header + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, len(pixels), 0, 0, 0, 0) + pixels


class TestARepeatedRequest:
    def test_is_answered_while_the_name_of_its_webhook_cannot_be_resolved(
        self, tmp_path, sqlite_journal, submit, names
    ):
        api = local_api(tmp_path, sqlite_journal)
        hook = {"webhook_url": "http://hooks.example.org/"}
        first = submit(api, KEY, **hook)
        names.clear()
        assert (first.status_code, submit(api, KEY, **hook).json()) == (200, first.json())
        assert submit(api, **hook).json()["error"]["field"] == "webhook_url"

    def test_is_answered_when_its_engine_is_no_longer_deployed(self, tmp_path, sqlite_journal, submit):
        first = submit(local_api(tmp_path, sqlite_journal, BOTH_ENGINES), KEY, engine="echomimic")
        later = local_api(tmp_path, sqlite_journal)
        assert (first.status_code, submit(later, KEY, engine="echomimic").json()) == (200, first.json())
        assert submit(later, engine="echomimic").json()["error"]["field"] == "engine"

    def test_is_answered_where_no_room_is_left(self, tmp_path, sqlite_journal, submit, monkeypatch):
        api = local_api(tmp_path, sqlite_journal)
        first = submit(api, KEY)

        def full(*_arguments):
            raise StorageFull

        monkeypatch.setattr(LocalStorage, "save_upload", full)
        assert (first.status_code, submit(api, KEY).json()) == (200, first.json())
        assert submit(api).status_code == 507
        other = submit(api, KEY, seed="7")
        assert other.json()["error"]["type"] == "idempotency_key_reused"

    def test_is_made_where_its_task_was_removed_just_now(self, tmp_path, sqlite_journal, submit, monkeypatch):
        api = local_api(tmp_path, sqlite_journal)

        def knows(*_arguments):
            return True

        monkeypatch.setattr(Overview, "knows", knows)
        task_id = submit(api, KEY).json()["task_id"]
        uploads = LocalStorage(tmp_path / "data")
        assert sqlite_journal.get(task_id).idempotency_key == "k"
        assert upload(uploads, task_id, "reference_image")
        assert upload(uploads, task_id, "audio_file")

    def test_finds_its_files_where_only_the_journal_s_answer_was_lost(
        self, tmp_path, sqlite_journal, submit, astronaut_file, speech_file
    ):
        api = local_api(tmp_path, sqlite_journal)
        with losing_answers(sqlite_journal, "add"):
            assert submit(api, KEY).status_code == 503
        task_id = submit(api, KEY).json()["task_id"]
        uploads = LocalStorage(tmp_path / "data")
        assert upload(uploads, task_id, "reference_image") == astronaut_file.read_bytes()
        assert upload(uploads, task_id, "audio_file") == speech_file.read_bytes()

    def test_leaves_no_files_where_nothing_was_journalled(
        self, tmp_path, sqlite_journal, submit, monkeypatch
    ):
        api = local_api(tmp_path, sqlite_journal)

        def away(_task):
            raise JournalUnavailable

        monkeypatch.setattr(sqlite_journal, "add", away)
        assert submit(api, KEY).status_code == 503
        assert list((tmp_path / "data" / "uploads").iterdir()) == []

    def test_is_refused_where_it_is_another_one(self, tmp_path, sqlite_journal, submit, names):
        api = local_api(tmp_path, sqlite_journal)
        submit(api, KEY)
        other = submit(api, KEY, webhook_url="http://unknown.example.org/")
        assert other.json()["error"]["type"] == "idempotency_key_reused"


class TestAWebhook:
    def test_whose_name_server_does_not_answer_is_accepted_and_looked_up_later(
        self, tmp_path, sqlite_journal, submit, monkeypatch
    ):
        answer = threading.Event()
        monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.1)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: answer.wait(30))
        task_id = submit(local_api(tmp_path, sqlite_journal), webhook_url="http://slow.example.org/").json()[
            "task_id"
        ]
        answer.set()
        assert sqlite_journal.get(task_id).webhook_url == "http://slow.example.org/"


class Decoder:
    def __init__(self):
        self.at_work = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, _path):
        self.at_work.set()
        assert self.go_on.wait(60)


class TestUploadsAtOnce:
    """With one slot: a second request is refused while a first one is received."""

    @pytest.fixture
    def application(self, tmp_path, sqlite_journal, monkeypatch):
        monkeypatch.setattr("serve_app.api.submission._RECEIVED_AT_ONCE", 1)
        return local_api(tmp_path, sqlite_journal).app

    @pytest.fixture
    def decoder(self, monkeypatch):
        """Decodes no image until it is told to."""
        decoder = Decoder()
        monkeypatch.setattr("serve_app.api.submission.check_image", decoder)
        yield decoder
        decoder.go_on.set()

    @pytest.fixture
    def send(self, application, astronaut_file, speech_file):
        files = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}

        async def post(client):
            return await client.post("/generate_video", files=files)

        return post

    def with_client(self, application, script):
        async def run():
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                await script(client)

        asyncio.run(run())

    def test_are_bounded_and_leave_the_other_routes_alone(self, application, decoder, send):
        async def script(client):
            first = asyncio.create_task(send(client))
            await asyncio.to_thread(decoder.at_work.wait, 10)
            assert await refused(client, send)
            assert (await client.get("/tasks")).status_code == 200
            decoder.go_on.set()
            assert (await first).status_code == 200
            assert (await send(client)).status_code == 200

        self.with_client(application, script)

    def test_of_clients_that_hung_up_count_until_they_are_dealt_with(self, application, decoder, send):
        async def script(client):
            first = asyncio.create_task(send(client))
            await asyncio.to_thread(decoder.at_work.wait, 10)
            first.cancel()
            assert await refused(client, send)
            assert await refused(client, send)
            assert not first.done()
            decoder.go_on.set()
            await asyncio.wait([first])
            assert first.cancelled()
            assert len((await client.get("/tasks")).json()["tasks"]) == 1
            assert (await send(client)).status_code == 200

        self.with_client(application, script)


async def refused(client, send):
    answer = await send(client)
    return answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
