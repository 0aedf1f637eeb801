"""Who makes a request. Knows nothing of keys or of how they are sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request


@dataclass(frozen=True)
class Caller:
    """Who makes a request; by default anybody, as while API keys are off.

    Attributes:
        owner: to whom the tasks belong that the caller submits; None for nobody.
        sees: whose tasks the caller sees; None for everybody's.
        sign_url: makes a path one that opens in a browser, which sends no key, for a while.
    """

    owner: str | None = None
    sees: str | None = None
    sign_url: Callable[[str], str] = str


def caller_of(request: Request) -> Caller:
    """Who makes this request, as the middleware has found out."""
    caller: Caller = getattr(request.state, "caller", Caller())
    return caller


RequestCaller = Annotated[Caller, Depends(caller_of)]
