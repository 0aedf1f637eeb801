"""Every error in one JSON shape, no matter who raised it."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from models.errors import InputError
from serve_app.api.form import allowed_values
from serve_app.errors import ApiError, BodyTooLarge, InvalidRequest
from serve_app.schemas import ErrorDetail, ErrorResponse


def error_response(error: ApiError) -> JSONResponse:
    """The response for this error."""
    response = _respond(error.status_code, error.type, error.message, error.field, error.allowed)
    response.headers.update(error.headers)
    return response


def plain_error_response(status_code: int, message: str) -> JSONResponse:
    """The response for a library's error, which has only a status and perhaps a text."""
    return _respond(status_code, _phrase(status_code), message or HTTPStatus(status_code).phrase)


def documented(*status_codes: int) -> dict[int | str, dict[str, Any]]:
    """These errors, for the API documentation."""
    return {code: {"model": ErrorResponse} for code in status_codes}


def install_error_handlers(app: FastAPI) -> None:
    """Give the errors of the service, of the models and of FastAPI the same shape."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def _on_api_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return error_response(error)


def _on_input_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    return error_response(InvalidRequest(error.message, field=error.field, allowed=error.allowed))


def _on_validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = str(first["loc"][-1])
    if first["type"] == "missing":
        message = f"{field} is missing"
    elif allowed_values(field) == "a file":
        message = f"{field} must be sent as a file"
    elif isinstance(first["input"], UploadFile):
        message = f"{field} must be sent as text, not as a file"
    else:
        message = f"{field}: {_plain(first['msg'])}, not {first['input']!r:.100}"
    return error_response(InvalidRequest(message, field=field, allowed=allowed_values(field)))


def _on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = BodyTooLarge.type if error.status_code == BodyTooLarge.status_code else _phrase(error.status_code)
    response = _respond(error.status_code, kind, error.detail)
    response.headers.update(error.headers or {})
    return response


def _plain(message: str) -> str:
    """Pydantic's message as part of a sentence."""
    text = message.removeprefix("Value error, ").removeprefix("Input ").partition(", unable to ")[0]
    return text[0].lower() + text[1:]


def _phrase(status_code: int) -> str:
    return HTTPStatus(status_code).phrase.lower().replace(" ", "_")


def _respond(
    status_code: int, kind: str, message: str, field: str | None = None, allowed: str | None = None
) -> JSONResponse:
    detail = ErrorDetail(type=kind, message=message, field=field, allowed=allowed)
    body = ErrorResponse(error=detail, detail=message)
    return JSONResponse(body.model_dump(exclude_none=True), status_code)
