"""What the service answers when it cannot do what was asked.

ApiError                   answered as {"error": {"type", "message", "field"?, "allowed"?}, "detail"}
├── InvalidRequest   422   a field is missing or outside what is allowed
├── IdempotencyKeyReused 422 the key came with another request before
├── TaskNotFound     404
├── TaskNotFinished  409   there is no video yet, or there will be none
├── TaskFinished     409   there is nothing left to cancel
├── VideoGone        410   there was one
├── BodyTooLarge     413
├── HostNotAllowed   400
├── Unauthorized     401   no API key was sent, or one that is not known
├── LinkRefused      403   a signed URL is expired, altered, or its key was revoked
├── KeysUnavailable  503   the file of API keys cannot be read
├── QueueFull        429   too many tasks wait
├── ManagerUnavailable 503 the task manager does not answer
├── JournalUnavailable 503 the task manager cannot write down what it should
└── StorageFull      507   there is no room for another task

ConfigError                the service cannot run as it is configured; told to its operator
"""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """Base of every error that is answered to a client on purpose.

    Args:
        message: what is wrong, with the value, in words the user can act on.
        field: the request field at fault.
        allowed: what would have been accepted.
    """

    status_code = 500
    type = "internal_error"
    headers: Mapping[str, str] = {}

    def __init__(self, message: str, *, field: str | None = None, allowed: str | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.allowed = allowed

    def __reduce__(self) -> tuple[Any, ...]:
        # The task manager's errors travel to other processes; pickle would call the constructors of
        # the subclasses with the message alone.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ApiError], args: tuple[Any, ...], state: dict[str, Any]) -> ApiError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InvalidRequest(ApiError):
    """A field is missing, unreadable or outside what is allowed."""

    status_code = 422
    type = "invalid_request"


class TaskNotFound(ApiError):
    """No task has this id."""

    status_code = 404
    type = "task_not_found"

    def __init__(self, task_id: str):
        super().__init__(f"there is no task {task_id!r}", field="task_id")


class TaskNotFinished(ApiError):
    """The task has no video to download."""

    status_code = 409
    type = "task_not_finished"


class VideoGone(ApiError):
    """The task is completed, but its video was removed since."""

    status_code = 410
    type = "video_gone"


class IdempotencyKeyReused(ApiError):
    """The idempotency key came before, with other fields or other files."""

    status_code = 422
    type = "idempotency_key_reused"

    def __init__(self, key: str):
        super().__init__(
            f"the key {key!r} was used before, for another request",
            field="Idempotency-Key",
            allowed="a key of its own for each request",
        )


class TaskFinished(ApiError):
    """The task cannot be cancelled any more."""

    status_code = 409
    type = "task_finished"


class BodyTooLarge(ApiError):
    """The request body exceeds the limit of the service."""

    status_code = 413
    type = "body_too_large"


class HostNotAllowed(ApiError):
    """The Host header names a host this service does not answer for."""

    status_code = 400
    type = "host_not_allowed"


class Unauthorized(ApiError):
    """The request carries no API key, or one that is not known."""

    status_code = 401
    type = "unauthorized"
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer realm="echomimic-serve"'}


class LinkRefused(ApiError):
    """A signed URL is expired or altered, or the key it was made for was revoked."""

    status_code = 403
    type = "link_refused"


class KeysUnavailable(ApiError):
    """The file of API keys cannot be read; nobody gets in."""

    status_code = 503
    type = "keys_unavailable"

    def __init__(self) -> None:
        super().__init__("the file of API keys cannot be read; the log of the service says why")


class ManagerUnavailable(ApiError):
    """The task manager did not answer in time."""

    status_code = 503
    type = "manager_unavailable"


class JournalUnavailable(ApiError):
    """The task journal cannot be read or written now.

    Args:
        unsure: whether a change may have been made all the same; otherwise nothing was changed.
    """

    status_code = 503
    type = "journal_unavailable"

    def __init__(self, *, unsure: bool = False):
        super().__init__("the task journal cannot be used now; try again in a minute")
        self.unsure = unsure


class StorageFull(ApiError):
    """The disk has no room for another task; those that were accepted wait for room."""

    status_code = 507
    type = "storage_full"

    def __init__(self, message: str = "the disk of the service is full; no task can be accepted now"):
        super().__init__(message)


class QueueFull(ApiError):
    """As many tasks wait as may.

    Args:
        what: how many wait, and of what.
        retry_after_s: whole seconds until there is room, as far as can be told.
    """

    status_code = 429
    type = "queue_full"

    def __init__(self, what: str, retry_after_s: int):
        super().__init__(f"{what}, as many as may; try again in {retry_after_s} s")
        self.headers = {"Retry-After": str(retry_after_s)}


class ConfigError(Exception):
    """The service cannot run as it is configured; the message names the argument or the file."""
