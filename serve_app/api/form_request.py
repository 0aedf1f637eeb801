"""Reads the multipart form of an upload, and refuses what is none. Knows the names of the fields alone."""

from collections import Counter
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from serve_app.api.form import GenerateVideoForm, allowed_values
from serve_app.errors import InvalidRequest

MULTIPART = "multipart/form-data"


class FormRequest(Request):
    """A request whose form has a file wherever a part names one, by `filename` or by `filename*` alone."""

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]  # it is awaited, never entered
        """The form; empty if the body is no multipart form.

        Args:
            limits: those of `MultiPartParser`.

        Raises:
            HTTPException: 400 if the form cannot be parsed.
        """
        if self._form is None:
            self._form = await self._parse(limits) if _media_type(self) == MULTIPART else FormData()
        return self._form

    async def _parse(self, limits: dict[str, Any]) -> FormData:
        try:
            return await _FormParser(self.headers, self.stream(), **limits).parse()
        except MultiPartException as error:
            raise HTTPException(400, error.message) from error


async def require_clear_form(request: Request) -> None:
    """Refuse a body that is no multipart form, and a form that has a field twice.

    Raises:
        InvalidRequest: one of the two; it names the Content-Type or the field.
    """
    if (media_type := _media_type(request)) != MULTIPART:
        instead = f", not as {media_type!r:.100}" if media_type else ""
        message = f"the body must be sent as {MULTIPART}{instead}"
        raise InvalidRequest(message, field="Content-Type", allowed=MULTIPART)
    sent = Counter(name for name, _ in (await request.form()).multi_items())
    for name in GenerateVideoForm.model_fields:
        if sent[name] > 1:
            message = f"{name} was sent {sent[name]} times; send it once"
            raise InvalidRequest(message, field=name, allowed=allowed_values(name))


class _FormParser(MultiPartParser):
    """Starlette's parser, which sees a file only where there is a `filename`.

    Old clients send nothing but `filename*` for a name that is not ASCII, although RFC 7578 forbids it.
    """

    def on_headers_finished(self) -> None:
        disposition = self._current_part.content_disposition
        if disposition and _has_extended_filename_alone(disposition):
            # Any name will do: the names of uploaded files are never used. It comes first, because it would
            # not be seen behind a quote that is never closed.
            kind, _, options = disposition.partition(b";")
            self._current_part.content_disposition = kind + b'; filename="upload";' + options
        super().on_headers_finished()


def _has_extended_filename_alone(disposition: bytes) -> bool:
    """Whether there is a `filename*`, `filename*0*` or the like (RFC 2231, RFC 5987), and no `filename`."""
    # The library leaves out names with an asterisk.
    _, options = parse_options_header(disposition.replace(b"*", b"+"))
    return b"filename" not in options and any(name.startswith(b"filename+") for name in options)


def _media_type(request: Request) -> str:
    media_type, _ = parse_options_header(request.headers.get("content-type"))
    return media_type.decode("latin-1").lower()
