"""Who makes a request. Knows nothing of keys or of how they are sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request


@dataclass(frozen=True)
class Caller:
    """Who makes a request; the default is the caller while API keys are off.

    Attributes:
        owner: who owns the tasks that the caller submits; None if nobody does.
        sees: the owner whose tasks the caller sees; None for all tasks.
        sign_url: adds a signature to a path, with which it opens for a while without an API key.
    """

    owner: str | None = None
    sees: str | None = None
    sign_url: Callable[[str], str] = str


def caller_of(request: Request) -> Caller:
    """Who makes this request, as `AccessMiddleware` determined."""
    caller: Caller = getattr(request.state, "caller", Caller())
    return caller


RequestCaller = Annotated[Caller, Depends(caller_of)]
