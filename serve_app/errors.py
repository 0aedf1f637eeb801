"""The errors with which the service answers a request.

ApiError                   answered as {"error": {"type", "message", "field"?, "allowed"?}, "detail"}
├── InvalidRequest   422   a field is missing or has a value that is not allowed
├── IdempotencyKeyReused 422 the key was used for a different request
├── TaskNotFound     404
├── TaskNotFinished  409   the video is not there yet, or never will be
├── TaskFinished     409   a finished task cannot be cancelled
├── VideoGone        410   the video was removed
├── BodyTooLarge     413
├── HostNotAllowed   400
├── Unauthorized     401   the API key is missing or unknown
├── LinkRefused      403   a signed URL has expired or was altered, or its key was revoked
├── KeysUnavailable  503   the file of API keys cannot be read
├── QueueFull        429   the maximum number of tasks is waiting
├── ManagerUnavailable 503 the task manager does not respond
├── JournalUnavailable 503 the task journal cannot be read or written
└── StorageFull      507   the disk has no room for another task

ConfigError                the configuration is wrong; shown to the operator
"""

import re
from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """Base of every error that a client is meant to see.

    Args:
        message: what is wrong, with the value, so that the user can act on it.
        field: the request field at fault.
        allowed: which values are accepted.
    """

    status_code = 500
    type = "internal_error"
    headers: Mapping[str, str] = {}

    def __init_subclass__(cls) -> None:
        """Name the type of the answer after the class: `task_not_found` for TaskNotFound."""
        cls.type = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, message: str, *, field: str | None = None, allowed: str | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.allowed = allowed

    def __reduce__(self) -> tuple[Any, ...]:
        # The task manager's errors are pickled on their way to other processes; by default, pickle would call
        # a subclass's constructor with the message alone.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ApiError], args: tuple[Any, ...], state: dict[str, Any]) -> ApiError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InvalidRequest(ApiError):
    """A field is missing, cannot be read, or has a value that is not allowed."""

    status_code = 422


class TaskNotFound(ApiError):
    """No task has this id."""

    status_code = 404

    def __init__(self, task_id: str):
        super().__init__(f"there is no task {task_id!r}", field="task_id")


class TaskNotFinished(ApiError):
    """The task has no video to download."""

    status_code = 409


class VideoGone(ApiError):
    """The task was completed, but its video has been removed."""

    status_code = 410


class IdempotencyKeyReused(ApiError):
    """The idempotency key was used before, with other fields or files."""

    status_code = 422

    def __init__(self, key: str):
        super().__init__(
            f"the key {key!r} was already used for a different request",
            field="Idempotency-Key",
            allowed="a new key for each request",
        )


class TaskFinished(ApiError):
    """The task is finished and can no longer be cancelled."""

    status_code = 409


class BodyTooLarge(ApiError):
    """The request body is larger than the service accepts."""

    status_code = 413


class HostNotAllowed(ApiError):
    """The Host header names a host that this service does not serve."""

    status_code = 400


class Unauthorized(ApiError):
    """The API key is missing or unknown."""

    status_code = 401
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="echomimic-serve"'}


class LinkRefused(ApiError):
    """A signed URL has expired or was altered, or its API key was revoked."""

    status_code = 403


class KeysUnavailable(ApiError):
    """The file of API keys cannot be read, so every request is refused."""

    status_code = 503

    def __init__(self) -> None:
        super().__init__("the file of API keys cannot be read; see the log of the service")


class ManagerUnavailable(ApiError):
    """The task manager did not respond in time."""

    status_code = 503


class JournalUnavailable(ApiError):
    """The task journal cannot be read or written at the moment.

    Args:
        unsure: whether the change may have been made nevertheless; if not, nothing was changed.
    """

    status_code = 503

    def __init__(self, *, unsure: bool = False):
        super().__init__("the task journal is not available; retry in a minute")
        self.unsure = unsure


class StorageFull(ApiError):
    """The disk has no room for another task; accepted tasks wait until there is room."""

    status_code = 507

    def __init__(self, message: str = "the disk of the service is full, so it accepts no tasks; retry later"):
        super().__init__(message)


class QueueFull(ApiError):
    """The maximum number of tasks is waiting, or of uploads being received.

    Args:
        what: how many there are, and of what.
        retry_after_s: estimated seconds until there is room.
    """

    status_code = 429

    def __init__(self, what: str, retry_after_s: int):
        super().__init__(f"{what}, the maximum; retry in {retry_after_s} s")
        self.headers = {"Retry-After": str(retry_after_s)}


class ConfigError(Exception):
    """The configuration is wrong; the message names the argument or the file."""
