"""A release takes over what the one before it left: a journal, a running manager, and replicas at work."""

import inspect
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image
from skimage.data import astronaut

from serve_app.schemas import EngineHealth, Health
from serve_app.settings import Settings
from serve_app.tasks.actor import TaskManagerActor
from tests.chaos import cluster as names
from tests.chaos import misses, processes
from tests.chaos.cluster import Cluster
from tests.chaos.load import SIDE, Load, is_answer
from tests.chaos.plan import Order
from tests.chaos.release import NotInHistory, Release
from tests.conftest import SPEECH
from tests.postgres import programs, run_postgres
from tests.service import poll

# The release before this one.
PREDECESSOR = "906f329"

OLD_PROCESS = Path(__file__).with_name("old_process.py")

LONG = Order(seed=1, frame_count=500, delay_s=0)
SHORT = Order(seed=2, frame_count=48, delay_s=0)
SHORT_TOO = Order(seed=3, frame_count=48, delay_s=0)

ONE_REPLICA = {"num_gpus": 1, "num_cpus": 0.1, "min_replicas": 1, "max_replicas": 1}
TWO_REPLICAS = ONE_REPLICA | {"min_replicas": 2, "max_replicas": 2}

PATIENCE_S = 150.0

on_a_cluster = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def folder():
    """A folder with a short path: Ray has sockets below it."""
    path = Path(tempfile.mkdtemp(prefix="over-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def predecessor(folder):
    """The code of the release before this one."""
    try:
        return Release(folder / "code", PREDECESSOR)
    except NotInHistory as error:
        pytest.skip(f"the release before this one is not in the history of this clone: {error}")


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request):
    """One after the other, the URL of the journal in each kind of database; None is the default."""
    if request.param == "sqlite":
        yield None
        return
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    with run_postgres(bin_folder) as server:
        yield server.url


@pytest.fixture
def start(folder, predecessor):
    """Starts the release before this one: (**arguments of the cluster) -> its cluster."""
    clusters = []

    def start(**arguments):
        # A video may stand still for as long as a deployment takes.
        clusters.append(Cluster(folder, predecessor, nodes=1, stall_timeout_s=300, **arguments))
        clusters[-1].start()
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.kill()


@pytest.fixture
def speech(ffmpeg, tmp_path):
    """As long as the longest video."""
    path = tmp_path / "speech.wav"
    ffmpeg("-stream_loop", -1, "-i", SPEECH, "-t", LONG.frame_count / 24 + 1, "-ar", 16_000, path)
    return path


@pytest.fixture
def clients(folder, speech):
    """Makes clients of a service: (its URL) -> clients."""
    portrait = folder / "portrait.png"
    Image.fromarray(astronaut()).resize((SIDE, SIDE)).save(portrait)
    return lambda url: Clients(url, portrait, speech)


class Clients:
    """They order videos, and ask for them over and over.

    `last` is the last answer about each task, `wrong` what was answered in place of one.
    """

    def __init__(self, url, portrait, speech):
        self._load = Load(url, portrait, speech)
        self._http = httpx.Client(base_url=url, timeout=30)
        self._orders = {}
        self.last = {}
        self.wrong = []

    def __enter__(self):
        self._load.__enter__()
        return self

    def __exit__(self, *error):
        self._http.close()
        self._load.__exit__(*error)

    def order(self, order):
        (answer,) = self._load.send([order])
        self._orders[answer.result()] = order
        return answer.result()

    def ask_until(self, condition):
        """Ask for every task, again and again, until this holds."""

        def asked():
            for task_id in self._orders:
                self._ask(task_id)
            return condition()

        poll(asked, PATIENCE_S)

    def begun(self, task_id):
        return self.last.get(task_id, {}).get("frames_generated")

    def completed(self, *task_ids):
        return all(self.last.get(task_id, {}).get("status") == "completed" for task_id in task_ids)

    def attempts(self, *task_ids):
        return [self.last[task_id]["attempt"] for task_id in task_ids]

    def misses(self):
        """What is wrong with the answers, the videos, and what repeated requests get."""
        missed = list(self.wrong)
        for task_id, order in self._orders.items():
            missed += misses.misses_of_answer(task_id, order.frame_count, self.last[task_id])
            missed += misses.misses_of_video(task_id, order.frame_count, self._load.download(task_id))
            (again,) = self._load.send([order])
            if again.result() != task_id:
                missed.append(f"task {task_id}: its request was accepted once more, as {again.result()}")
        return missed

    def _ask(self, task_id):
        try:
            response = self._http.get(f"/task/{task_id}")
        except httpx.TransportError:
            return
        if response.status_code == 200:
            self.last[task_id] = response.json()
        elif is_answer(response) or response.status_code == 500:
            self.wrong.append(f"task {task_id}: {response.status_code}: {response.text}")


def order_three(clients):
    """A task that has ended, one that is worked on, and one that waits."""
    ended = clients.order(SHORT)
    clients.ask_until(lambda: clients.completed(ended))
    running = clients.order(LONG)
    clients.ask_until(lambda: clients.begun(running))
    return ended, running, clients.order(SHORT_TOO)


@contextmanager
def held_up(cluster, task_id):
    """Meanwhile the replica that makes this video reports, but comes to no end."""
    (encoder,) = poll(lambda: [at.encoder for at in cluster.attempts() if at.task_id == task_id])
    encoder.suspend()
    yield
    encoder.resume()


def code_holders(cluster):
    """The processes that are replaced whatever they do."""
    return {process for name in (names.MANAGER, names.INGRESS) for process in cluster.find(name)}


def old_process(predecessor, *arguments, message=None):
    """What a process of the release before this one prints."""
    command = [sys.executable, OLD_PROCESS, *arguments]
    done = subprocess.run(command, cwd=predecessor.folder, input=message, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class TestPickles:
    def test_what_old_processes_send_comes_back_to_them_as_it_was(self, predecessor):
        sent = pickle.loads(old_process(predecessor, "make"))
        assert old_process(predecessor, message=pickle.dumps(sent)).decode().strip() == ""

    def test_an_old_ingress_hears_from_a_new_manager_how_the_engines_are(self, predecessor):
        """Its ingress answers /health while the manager is of this release already."""
        health = pickle.dumps(Health("RUNNING", {"preview": EngineHealth(1, ready=True)}))
        program = (
            "import sys, pickle; sys.path.insert(0, '.'); import serve_app.health as old;"
            "health = pickle.load(sys.stdin.buffer);"
            "assert health == old.Health('RUNNING', {'preview': old.EngineHealth(1, True)}), health"
        )
        subprocess.run([sys.executable, "-c", program], input=health, cwd=predecessor.folder, check=True)

    def test_a_manager_can_start_with_old_settings(self, predecessor):
        _, settings = pickle.loads(old_process(predecessor, "make"))["identity"]
        assert settings == Settings(data_dir=Path("/data"), lease_s=7)

    def test_calls_go_either_way(self, predecessor):
        parameters = pickle.loads(old_process(predecessor, "make"))["calls"]
        sources = [file.read_text(encoding="utf-8") for file in predecessor.folder.glob("serve_app/*.py")]
        called = {name for text in sources for name in re.findall(r"TaskManagerActor\.(\w+)", text)}
        assert "claim" in called
        for name in called:
            ours = list(inspect.signature(getattr(TaskManagerActor, name)).parameters)
            assert ours[: len(parameters[name])] == parameters[name], name


class TestOnALivingCluster:
    pytestmark = on_a_cluster

    def test_work_goes_on_when_this_release_is_deployed_over_the_old_one(self, start, clients, journal_url):
        cluster = start(database_url=journal_url, preview=ONE_REPLICA)
        with clients(cluster.url) as asking:
            ended, running, waiting = order_three(asking)
            with held_up(cluster, running):
                old = code_holders(cluster)
                cluster.release.upgrade()
                cluster.deploy()
                asking.ask_until(lambda: old.isdisjoint(code_holders(cluster)))
                asking.ask_until(lambda: asking.completed(waiting))
            asking.ask_until(lambda: asking.completed(ended, running, waiting))
            assert asking.misses() == []
            assert asking.attempts(ended, running, waiting) == [1, 1, 1]

    def test_work_goes_on_when_it_is_deployed_from_a_folder_of_its_own(self, start, clients, folder):
        cluster = start(by_path=True, preview=ONE_REPLICA)
        with clients(cluster.url) as asking:
            ended, running, waiting = order_three(asking)
            with held_up(cluster, running):
                old = code_holders(cluster)
                cluster.release = Release(folder / "new")
                cluster.deploy()
                asking.ask_until(lambda: old.isdisjoint(code_holders(cluster)))
                asking.ask_until(lambda: asking.completed(waiting))
            asking.ask_until(lambda: asking.completed(ended, running, waiting))
            assert asking.misses() == []
            assert asking.attempts(ended, running, waiting) == [1, 1, 1]

    def test_what_dies_before_the_new_code_is_deployed_loses_nothing(self, start, clients):
        cluster = start(preview=TWO_REPLICAS)
        with clients(cluster.url) as asking:
            running = asking.order(LONG)
            asking.ask_until(lambda: asking.begun(running))
            with held_up(cluster, running):
                cluster.release.upgrade()
                old = code_holders(cluster)
                processes.kill([*cluster.find(names.MANAGER), *cluster.find(names.PROXY)])
                cluster.deploy()
                asking.ask_until(lambda: old.isdisjoint(code_holders(cluster)))
            asking.ask_until(lambda: asking.completed(running))
            assert asking.misses() == []
            assert asking.attempts(running) == [1]


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_this_release_goes_on_where_the_old_one_was_cut_off(start, clients, journal_url):
    cluster = start(database_url=journal_url, preview=ONE_REPLICA)
    with clients(cluster.url) as asking:
        ended, running, waiting = order_three(asking)
        cluster.kill()
        cluster.release.upgrade()
        cluster.start()
        asking.ask_until(lambda: asking.completed(ended, running, waiting))
        assert asking.misses() == []
        assert asking.attempts(ended, running, waiting) == [1, 2, 1]
