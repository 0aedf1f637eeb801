"""A replica that cannot work any more says so, and harms no task."""

import asyncio
import errno
import time

import numpy as np
import pytest

from models.errors import DiskFull, ImageError, OutOfMemory
from models.params import GenerationParams
from serve_app.engines import replica as replica_module
from serve_app.engines.registry import ENGINES, RegisteredEngine
from serve_app.engines.replica import EngineReplica
from serve_app.settings import Settings
from serve_app.storage.local import LocalStorage
from serve_app.task import TaskStatus
from serve_app.tasks.journal import Journal
from tests.labels import shows_label
from tests.serve_app.managers import ManagerHere, new_manager
from tests.serve_app.new_tasks import new_task
from tests.serve_app.stored import save_uploads


class FailingEngine:
    """An engine that makes no frame, on a device that may be lost with it."""

    name = "failing"
    device = "cuda:0"
    face_detector = None

    def __init__(self, error):
        self.error = error
        self.device_lost = False

    def frames(self, _scene, _control):
        raise self.error
        yield

    def check_device(self):
        if self.device_lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.fixture
def failing():
    return FailingEngine(RuntimeError("CUDA error: an illegal memory access was encountered"))


@pytest.fixture
def manager(tmp_path):
    journal = Journal(f"sqlite:///{tmp_path / 'tasks.db'}")
    yield new_manager(journal)
    journal.close()


@pytest.fixture
def replica(failing, manager, tmp_path, monkeypatch):
    monkeypatch.setattr(replica_module, "_TICKET_PAUSE_S", 0.01)
    registered = RegisteredEngine("failing", "Failing", load=lambda _settings: failing)
    monkeypatch.setitem(ENGINES, "failing", registered)
    replica = EngineReplica("failing", Settings(data_dir=tmp_path))
    replica._manager = ManagerHere(manager)
    return replica


@pytest.fixture
def tasks(manager, tmp_path, astronaut_file, speech_file):
    """Two tasks that wait, with their uploads."""
    for name in "ab":
        manager.submit(new_task(name, engine="failing"))
        save_uploads(LocalStorage(tmp_path), name, astronaut_file.read_bytes(), speech_file.read_bytes())


def failures(manager):
    return [manager.overview.snapshot(name, owner=None).task.failures for name in "ab"]


def work(replica, tickets=1):
    async def take():
        for number in range(tickets):
            await replica.work(f"ticket {number}")

    asyncio.run(take())


class StillEngine(FailingEngine):
    """An engine that makes a grey video."""

    device = "cpu"

    def frames(self, scene, _control):
        params = scene.params
        yield np.full((scene.frame_count, params.height, params.width, 3), 128, np.uint8)


class TestAFinishedVideo:
    @pytest.fixture
    def failing(self):
        return StillEngine(None)

    def test_says_where_it_comes_from_and_shows_its_label(
        self, replica, manager, tmp_path, astronaut_file, speech_file, stream_info, decoded_frames
    ):
        replica._settings = Settings(content_producer="某公司", label_text="AI 生成")
        params = GenerationParams(width=128, height=160, length=6, label="corner")
        manager.submit(new_task("a", engine="failing", params=params))
        save_uploads(LocalStorage(tmp_path), "a", astronaut_file.read_bytes(), speech_file.read_bytes())
        work(replica)
        task = manager.overview.snapshot("a", owner=None).task
        video = next(tmp_path.rglob(task.video))
        assert '"ContentProducer":"某公司","ProduceID":"a"' in stream_info(video)
        assert all(shows_label(frame, "AI 生成") for frame in decoded_frames(video, 128, 160))


class TestALostDevice:
    @pytest.fixture(autouse=True)
    def _lost(self, failing):
        failing.device_lost = True

    def test_one_task_fails_once_and_no_other_is_claimed(self, replica, manager, tasks):
        work(replica, tickets=5)
        assert manager.overview.counts()[TaskStatus.PENDING] == 2
        assert failures(manager) == [1, 0]
        assert manager.claim("of another replica", "failing").id == "b"

    def test_serve_is_told(self, replica):
        with pytest.raises(RuntimeError, match="cuda:0 stopped responding"):
            asyncio.run(replica.check_health())

    def test_nothing_is_claimed_after_serve_was_told(self, replica, manager, tasks):
        with pytest.raises(RuntimeError):
            asyncio.run(replica.check_health())
        work(replica)
        assert manager.overview.counts()[TaskStatus.PENDING] == 2

    def test_a_device_does_not_come_back(self, replica, failing):
        with pytest.raises(RuntimeError):
            asyncio.run(replica.check_health())
        failing.device_lost = False
        with pytest.raises(RuntimeError):
            asyncio.run(replica.check_health())


class TestADeviceThatWorks:
    def test_an_unexpected_error_is_a_failure_of_its_task(self, replica, manager, tasks):
        work(replica, tickets=2)
        assert failures(manager) == [1, 1]
        asyncio.run(replica.check_health())

    def test_an_error_in_words_is_one_too(self, replica, manager, tasks, failing):
        failing.error = OutOfMemory(
            "out_of_memory", device="cuda:0", width=512, height=512, context_frames=12
        )
        failing.device_lost = True  # nobody asks it
        work(replica)
        assert failures(manager) == [1, 0]


class TestUnusableInput:
    def test_fails_its_task_for_good_with_what_is_wrong_and_allowed(self, replica, manager, tasks, failing):
        failing.error = ImageError("face_required")
        work(replica)
        task = manager.overview.snapshot("a", owner=None).task
        assert (task.status, task.error, task.failures) == (TaskStatus.FAILED, failing.error.notice, 0)
        assert task.error.text == (
            "reference_image: no face was found in reference_image; the preview engine needs one "
            "(allowed: a photo of one face, seen from the front, well lit and not covered)"
        )


class TestAFullDisk:
    @pytest.mark.parametrize(
        "error", [DiskFull("disk_full", reason="no room"), OSError(errno.ENOSPC, "full")]
    )
    def test_is_no_failure_of_a_task(self, replica, manager, tasks, failing, error):
        failing.error = error
        work(replica, tickets=2)
        assert failures(manager) == [0, 0]
        assert manager.overview.counts()[TaskStatus.PENDING] == 2
        # What was full may be full at once again.
        assert manager.claim("of another replica", "failing") is None

    def test_any_other_error_of_the_system_is_one(self, replica, manager, tasks, failing):
        failing.error = OSError(errno.EIO, "broken")
        work(replica)
        assert failures(manager) == [1, 0]


class TestHealth:
    def test_a_replica_that_waits_is_healthy(self, replica):
        asyncio.run(replica.check_health())

    def test_an_engine_that_does_not_stop_is_reported(self, replica, monkeypatch):
        replica._stop_requested_at = 0.0
        monkeypatch.setattr(
            "serve_app.engines.replica.time.monotonic", lambda: replica_module._STOP_TIMEOUT_S
        )
        asyncio.run(replica.check_health())
        monkeypatch.setattr(
            "serve_app.engines.replica.time.monotonic", lambda: replica_module._STOP_TIMEOUT_S + 1
        )
        with pytest.raises(RuntimeError, match="the engine did not stop within 120 s"):
            asyncio.run(replica.check_health())

    def test_a_device_that_does_not_respond_is_lost(self, replica, failing, monkeypatch):
        monkeypatch.setattr(replica_module, "_DEVICE_TIMEOUT_S", 0.01)
        monkeypatch.setattr(failing, "check_device", lambda: time.sleep(0.2))
        with pytest.raises(RuntimeError, match="stopped responding"):
            asyncio.run(replica.check_health())

    def test_echomimic_checks_its_device(self, weights, tmp_path, monkeypatch):
        from models.echomimic.engine import EchoMimicEngine

        chosen = {"preset": "tiny", "weights_dir": weights, "num_gpus": 0}
        replica = EngineReplica("echomimic", Settings(data_dir=tmp_path, echomimic=chosen))
        asyncio.run(replica.check_health())

        def lost(_engine):
            raise RuntimeError("CUDA error")

        monkeypatch.setattr(EchoMimicEngine, "check_device", lost)
        with pytest.raises(RuntimeError, match="cpu stopped responding"):
            asyncio.run(replica.check_health())
