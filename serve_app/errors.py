"""What the service answers when it cannot do what was asked.

ApiError                   answered as {"error": {"type", "message", "field"?, "allowed"?}, "detail"}
├── InvalidRequest   422   a field is missing or outside what is allowed
├── TaskNotFound     404
├── TaskNotFinished  409   there is no video yet, or there will be none
├── VideoGone        410   there was one
├── BodyTooLarge     413
├── HostNotAllowed   400
└── ManagerUnavailable 503 the task manager does not answer
"""


class ApiError(Exception):
    """Base of every error that is answered to a client on purpose.

    Args:
        message: what is wrong, with the value, in words the user can act on.
        field: the request field at fault.
        allowed: what would have been accepted.
    """

    status_code = 500
    type = "internal_error"

    def __init__(self, message: str, *, field: str | None = None, allowed: str | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.allowed = allowed


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


class BodyTooLarge(ApiError):
    """The request body exceeds the limit of the service."""

    status_code = 413
    type = "body_too_large"


class HostNotAllowed(ApiError):
    """The Host header names a host this service does not answer for."""

    status_code = 400
    type = "host_not_allowed"


class ManagerUnavailable(ApiError):
    """The task manager did not answer; nothing was accepted."""

    status_code = 503
    type = "manager_unavailable"
