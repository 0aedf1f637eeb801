"""An actor's class as processes of other releases can load it."""

import importlib
import inspect
from typing import Any


def portable(kind: type) -> type:
    """The same class for Ray, without a reference to any module of ours.

    Whoever calls an actor of Ray loads its class first, and Ray's pickle of a class refers to each of its
    methods by module and name, to private ones as well. A process of another release has other modules in
    memory, and all its calls would fail. The class that this makes is pickled with its code; the process of
    the actor looks up by name what it stands for.

    Args:
        kind: with an `async __init__`; its public methods can be called.
    """
    module, name = kind.__module__, kind.__qualname__

    class Portable:
        async def __init__(self, *args: Any) -> None:  # type: ignore[misc]  # Ray awaits it
            found = getattr(importlib.import_module(module), name)
            self._actor = found.__new__(found)
            await self._actor.__init__(*args)

    for method, _ in inspect.getmembers(kind, inspect.isfunction):
        if not method.startswith("_"):
            setattr(Portable, method, _forwarding(method))
    # Ray names the actor's process so. Nothing is found under this name, so that pickle takes the code.
    Portable.__name__ = Portable.__qualname__ = name
    return Portable


def _forwarding(method: str) -> Any:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._actor, method)(*args, **kwargs)

    call.__name__ = method
    return call
