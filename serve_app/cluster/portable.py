"""An actor's class in a form that processes of other releases can load."""

import importlib
import inspect
from typing import Any


def portable(kind: type) -> type:
    """A class for Ray that stands for this one, without a reference to any module of ours.

    A process that calls a Ray actor loads its class first, and Ray's pickle of a class refers to each of its
    methods, even private ones, by module and name. A process of another release has other modules in memory,
    so all its calls would fail. The class returned here is pickled with its code; only the actor's own
    process looks up, by name, the class that it stands for.

    Args:
        kind: has an `async __init__`; its public methods can be called.
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
    # Ray gives this name to the actor's process. This module has nothing of that name, so pickle takes the
    # code.
    Portable.__name__ = Portable.__qualname__ = name
    return Portable


def _forwarding(method: str) -> Any:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._actor, method)(*args, **kwargs)

    call.__name__ = method
    return call
