"""A third engine is one entry: everything that deals with engines follows from the registry."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from ray.serve._private.common import DeploymentStatus, DeploymentStatusTrigger
from ray.serve.schema import ApplicationStatus, DeploymentStatusOverview

from models.params import GenerationParams
from models.portrait import FaceDetector
from serve_app.api.health_answer import health_answer
from serve_app.app import build
from serve_app.cluster.health import examine
from serve_app.engines.choice import EngineChoice, choose
from serve_app.engines.registry import ENGINES, RegisteredEngine, deployments
from serve_app.engines.replica import EngineReplica
from serve_app.errors import ConfigError
from serve_app.schemas import EngineHealth, Health
from serve_app.settings import EngineSettings, Settings
from serve_app.storage.local import LocalStorage
from serve_app.task import TaskStatus
from serve_app.tasks import actor as actor_module
from serve_app.tasks import manager_client as manager_client_module
from serve_app.tasks.actor import TaskManagerActor
from serve_app.tasks.code_version import CODE_VERSION
from serve_app.tasks.journal import Journal
from serve_app.tasks.manager_client import ManagerClient
from tests.serve_app.local_api import local_api
from tests.serve_app.managers import ManagerHere, new_manager, state
from tests.serve_app.new_tasks import new_task
from tests.serve_app.stored import save_uploads

QUICK = GenerationParams(width=128, height=128, length=6)


class SketchEngine:
    """Shows the portrait, which does not move."""

    name = "sketch"
    device = "cpu"
    face_detector: FaceDetector | None = None

    def frames(self, scene, control):
        control.stop_if_asked()
        yield np.repeat(scene.portrait.image[np.newaxis], scene.frame_count, axis=0)
        control.progress(1.0)

    def check_device(self):
        pass


SKETCH = RegisteredEngine(
    name="sketch",
    deployment="Sketch",
    load=lambda _settings: SketchEngine(),
    default_params=lambda _settings: QUICK,
)


@pytest.fixture
def register():
    """Registers the sketch, better than the engines that ship, with these changes."""
    with patch.dict(ENGINES):

        def add(**changes):
            engines: Any = ENGINES
            shipped = dict(engines)
            engines.clear()
            engines.update({"sketch": replace(SKETCH, **changes)} | shipped)

        yield add


@pytest.fixture
def settings(tmp_path):
    """Settings with which EchoMimic has no weights."""
    return Settings(data_dir=tmp_path, echomimic={"weights_dir": tmp_path / "no_weights"})


@pytest.fixture
def journal(tmp_path):
    journal = Journal(f"sqlite:///{tmp_path / 'tasks.db'}")
    yield journal
    journal.close()


@pytest.fixture
def submit(journal, tmp_path, astronaut_file, speech_file):
    """Sends a request for an engine to a service of this choice."""

    def send(choice, engine):
        files = {"reference_image": astronaut_file.read_bytes(), "audio_file": speech_file.read_bytes()}
        api = local_api(tmp_path, journal, choice)
        return api.post("/generate_video", files=files, data={"engine": engine})

    return send


class TestTheEnginesThatShip:
    def test_are_sorted_by_their_quality(self):
        assert list(ENGINES) == ["echomimic", "preview"]

    def test_have_the_names_that_serve_s_dashboard_shows(self):
        assert deployments() == {"echomimic": "EchoMimic", "preview": "Preview"}

    def test_have_settings_of_their_names(self):
        for name in ENGINES:
            assert isinstance(getattr(Settings(), name), EngineSettings)

    def test_say_the_same_names_themselves(self):
        pytest.importorskip("torch")
        from models.echomimic.engine import EchoMimicEngine
        from models.preview.engine import PreviewEngine

        assert [EchoMimicEngine.name, PreviewEngine.name] == list(ENGINES)

    def test_have_the_numbers_of_the_contract_by_default(self):
        for engine in ENGINES.values():
            assert engine.default_params(Settings()) == GenerationParams()

    def test_of_these_only_echomimic_has_others_with_its_base_variant(self):
        base = Settings(echomimic={"variant": "base"})
        assert ENGINES["echomimic"].default_params(base) == GenerationParams(steps=30, cfg=2.5)
        assert ENGINES["preview"].default_params(base) == GenerationParams()


class TestAThirdEngine:
    def test_is_chosen_as_the_best_one_where_nothing_is_in_its_way(self, register, settings):
        register()
        choice = choose(settings)
        assert (choice.default, choice.deployed) == ("sketch", ["sketch", "preview"])

    def test_is_left_out_where_something_is(self, register, settings):
        register(obstacle=lambda _settings: "there is no paper")
        choice = choose(settings)
        assert choice.default == "preview"
        assert choice.left_out["sketch"] == "there is no paper"

    def test_can_be_insisted_on(self, register, settings):
        register(obstacle=lambda _settings: "there is no paper")
        choice = choose(settings.model_copy(update={"engine": "sketch"}))
        assert choice == EngineChoice("sketch", {"echomimic": "the setting 'engine' is 'sketch'"})

    def test_has_the_common_settings(self, register, settings):
        register()
        assert settings.of("sketch") == EngineSettings()

    def test_is_deployed(self, register, settings):
        register()
        bound_ingress: Any = build(settings)._bound_deployment
        _, choice, *engines = bound_ingress.init_args
        assert choice.default == "sketch"
        bound = [engine._bound_deployment for engine in engines]
        assert [deployment.name for deployment in bound] == ["Sketch", "Preview"]
        assert [deployment.init_args[0] for deployment in bound] == ["sketch", "preview"]

    def test_makes_the_video_of_a_request_that_names_none(self, register, journal, submit):
        register()
        task_id = submit(EngineChoice("sketch", {}), "auto").json()["task_id"]
        task = journal.get(task_id)
        assert (task.engine, task.params) == ("sketch", QUICK)

    def test_can_be_asked_for(self, register, journal, submit):
        register()
        task_id = submit(EngineChoice("preview", {}), "sketch").json()["task_id"]
        assert journal.get(task_id).engine == "sketch"

    def test_is_refused_with_what_is_in_its_way(self, register, submit):
        register()
        response = submit(
            EngineChoice("preview", {"sketch": "there is no paper", "echomimic": "no"}), "sketch"
        )
        assert response.status_code == 422
        error = response.json()["error"]
        assert error["message"] == "engine: 'sketch' is not deployed: there is no paper"
        assert (error["field"], error["allowed"]) == ("engine", "preview")

    def test_is_offered_where_the_request_names_an_unknown_one(self, register, submit):
        register()
        error = submit(EngineChoice("preview", {}), "drawing").json()["error"]
        allowed = "'auto', 'sketch', 'echomimic', 'preview'"
        assert error["message"] == f"engine: should be one of {allowed}, not 'drawing'"
        assert error["allowed"] == allowed

    def test_is_in_the_description_of_the_api(self, register, tmp_path, journal):
        register()
        schemas = local_api(tmp_path, journal).get("/openapi.json").json()["components"]["schemas"]
        (form,) = (it for it in schemas.values() if "reference_image" in it.get("properties", ()))
        assert form["properties"]["engine"]["enum"] == ["auto", "sketch", "echomimic", "preview"]

    def test_is_examined_and_shown_in_health(self, register, settings, monkeypatch):
        register()
        states: Any = {"RUNNING": 1}  # Serve names them by strings, whatever its annotation says
        sketch = DeploymentStatusOverview(
            DeploymentStatus.HEALTHY, DeploymentStatusTrigger.UNSPECIFIED, states, ""
        )
        application = SimpleNamespace(status=ApplicationStatus.RUNNING, deployments={"Sketch": sketch})
        status = SimpleNamespace(applications={"echomimic": application})
        monkeypatch.setattr("serve_app.cluster.health.serve.status", lambda: status)
        monkeypatch.setattr("serve_app.cluster.health.ray.nodes", list)
        health = examine(settings, deployments())
        assert health == Health(ApplicationStatus.RUNNING, {"sketch": EngineHealth(1, ready=True)})
        answer = health_answer(EngineChoice("sketch", {}), health, dict.fromkeys(TaskStatus, 0))
        assert (answer.ready, answer.engine) == (True, "sketch")
        assert answer.engines["sketch"].replicas == 1

    def test_gets_tickets_from_the_task_manager(self, register, settings, monkeypatch):
        register()
        called = []

        class Handle:
            def __init__(self, deployment, application):
                self.called = (deployment, application)
                self.work = self

            async def remote(self, _ticket_id):
                called.append(self.called)

        context = SimpleNamespace(get_node_id=lambda: "this node")
        monkeypatch.setattr("serve_app.tasks.tickets.waiting_handle", Handle)
        monkeypatch.setattr(actor_module, "examine", lambda *_: Health(ApplicationStatus.RUNNING))
        monkeypatch.setattr("serve_app.tasks.actor.ray.get_runtime_context", lambda: context)

        async def submit():
            manager = TaskManagerActor.__new__(TaskManagerActor)
            await TaskManagerActor.__init__(manager, settings, deployments())
            manager.submit(new_task("a", engine="sketch"))
            await asyncio.sleep(0.05)

        asyncio.run(submit())
        assert called == [("Sketch", "echomimic")]

    def test_makes_the_ingress_replace_a_manager_that_does_not_know_it(self, register, settings, monkeypatch):
        known = deployments()
        register()
        client = ManagerClient(settings, deployments(), timeout_s=1)
        answers = [(CODE_VERSION, (settings, known)), (CODE_VERSION, (settings, deployments()))]
        ended: list[str] = []

        async def identity(_method):
            return answers[len(ended)]

        monkeypatch.setattr(client, "call", identity)
        monkeypatch.setattr(manager_client_module, "_end_manager", lambda: ended.append("the old manager"))
        asyncio.run(client.ensure())
        assert ended == ["the old manager"]

    def test_makes_a_video_in_a_replica(self, register, settings, journal, astronaut_file, speech_file):
        register()
        manager = new_manager(journal)
        manager.submit(new_task("a", engine="sketch", params=QUICK))
        storage = LocalStorage(settings.data_dir)
        save_uploads(storage, "a", astronaut_file.read_bytes(), speech_file.read_bytes())
        replica = EngineReplica("sketch", settings)
        replica._manager = ManagerHere(manager)
        asyncio.run(replica.work("a ticket"))
        task = state(manager, "a")
        assert (task.status, task.device, task.progress.frames_generated) == (TaskStatus.COMPLETED, "cpu", 6)
        with storage.video("a", task.video).open() as video:
            assert video.read(8)[4:] == b"ftyp"


def test_an_unknown_engine_in_the_settings_is_refused_when_the_application_is_built(settings):
    with pytest.raises(ConfigError, match="'engine' is 'echo'; allowed are 'auto', 'echomimic', 'preview'"):
        build(settings.model_copy(update={"engine": "echo"}))
