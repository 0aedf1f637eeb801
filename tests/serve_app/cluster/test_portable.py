"""An actor's class travels without a module of ours."""

import asyncio
import pickle
import subprocess
import sys
from typing import Any

import ray
from ray import cloudpickle

from serve_app.cluster.portable import portable
from serve_app.tasks.actor import TaskManagerActor

# A process that finds no module of ours loads the class and names what Ray would let it call.
LOAD = """
import pickle, sys
kind = pickle.load(sys.stdin.buffer)
assert not [name for name in sys.modules if name.startswith("serve_app")]
print(kind.__name__, callable(kind.claim), hasattr(kind, "_supervise"))
"""


class Counter:
    async def __init__(self, start):
        self._count = start

    def add(self, number, *, twice=False):
        self._count += 2 * number if twice else number
        return self._count

    async def wait(self):
        await asyncio.sleep(0)
        return self._count


def pickled(kind):
    """As Ray exports it."""
    actor: Any = ray.remote(portable(kind))
    return cloudpickle.dumps(actor.__ray_metadata__.modified_class)


def test_is_loaded_where_none_of_our_modules_is_found(tmp_path):
    command = [sys.executable, "-c", LOAD]
    content = pickled(TaskManagerActor)
    done = subprocess.run(command, input=content, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode().split() == ["TaskManagerActor", "True", "False"]


def test_does_what_the_class_does_that_it_stands_for():
    async def use():
        actor = pickle.loads(pickled(Counter))
        counter = actor.__new__(actor)
        await counter.__init__(3)
        return counter.add(1), counter.add(number=1, twice=True), await counter.wait()

    assert asyncio.run(use()) == (4, 6, 6)
