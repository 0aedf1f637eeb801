"""Conditions of a request: which version of a resource the client has (RFC 9110, section 13)."""

import re
from datetime import datetime, timezone

from starlette.datastructures import Headers

# Strong and weak ones alike: without their marks, they are compared weakly.
_ENTITY_TAG = re.compile(r'"[^"]*"')

_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


def is_current(sent: Headers, entity_tag: str, modified_at: float) -> bool:
    """Whether the client has this version already, by `If-None-Match` or else by `If-Modified-Since`.

    Args:
        sent: the headers of a GET or HEAD request.
        entity_tag: of the resource as it is now, with its quotes.
        modified_at: when the resource was last changed, in seconds since 1970.
    """
    if "if-none-match" in sent:
        listed = ",".join(sent.getlist("if-none-match"))
        return listed.strip() == "*" or entity_tag in _ENTITY_TAG.findall(listed)
    since = _seconds(sent.get("if-modified-since", ""))
    return since is not None and int(modified_at) <= since


def is_same_version(sent: Headers, entity_tag: str, last_modified: str) -> bool:
    """Whether `If-Range`, if there is one, names this version exactly; a weak entity tag never does.

    Args:
        sent: the headers of a GET request.
        entity_tag: of the resource as it is now, with its quotes.
        last_modified: the date of its last change, as the `Last-Modified` header has it.
    """
    return sent.get("if-range", entity_tag) in (entity_tag, last_modified)


def _seconds(date: str) -> float | None:
    """A date as HTTP writes it, in seconds since 1970; None for any other text."""
    try:
        return datetime.strptime(date, _HTTP_DATE).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
