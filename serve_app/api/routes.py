"""The routes of the REST interface, each with its options. They keep no state."""

import asyncio
import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from models.notices import Notice
from serve_app.api.admission import IDEMPOTENCY_KEY, AdmittedRoute
from serve_app.api.caller import RequestCaller
from serve_app.api.error_responses import documented
from serve_app.api.form import GenerateVideoForm
from serve_app.api.form_request import require_clear_form
from serve_app.api.health_answer import health_answer, unready_answer
from serve_app.api.read_routes import HeadRouter
from serve_app.api.service import RequestService
from serve_app.api.video_response import video_response
from serve_app.engines.choice import EngineChoice
from serve_app.errors import (
    BodyTooLarge,
    HostNotAllowed,
    JournalUnavailable,
    KeysUnavailable,
    ManagerUnavailable,
    TaskFinished,
    TaskNotFinished,
    VideoGone,
)
from serve_app.schemas import HealthResponse, SubmittedTask, TaskListResponse, TaskResponse
from serve_app.task import Task, TaskStatus
from serve_app.tasks.actor import TaskManagerActor

_HEALTH_TIMEOUT_S = 3.0

_REMOVED: dict[int | str, Any] = {204: {"description": "The task was finished and has been removed."}}

_LESS_THAN_A_VIDEO: dict[int | str, Any] = {
    206: {"description": "The ranges of the video that `Range` asks for."},
    304: {
        "description": "The client has this video already, as `If-None-Match` or `If-Modified-Since` says."
    },
}

# From the middleware before every route.
_BEFORE = documented(HostNotAllowed.status_code, BodyTooLarge.status_code)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_KEY,
        min_length=1,
        max_length=255,
        description="Repeating a request with its key returns the same task instead of creating another.",
    ),
]

uploads = APIRouter(route_class=AdmittedRoute, dependencies=[Depends(require_clear_form)], responses=_BEFORE)
router = HeadRouter(responses=_BEFORE)


@uploads.post("/generate_video", responses=documented(422, 429, 503, 507))
async def generate_video(
    service: RequestService,
    caller: RequestCaller,
    form: Annotated[GenerateVideoForm, Form(media_type="multipart/form-data")],
    idempotency_key: IdempotencyKey = None,
) -> SubmittedTask:
    """Accept a portrait and a speech clip; the video is made in the background."""
    return await service.submissions.accept(form.request(idempotency_key), caller)


@router.get("/tasks", responses=documented(422, 503))
async def tasks(
    service: RequestService,
    caller: RequestCaller,
    status: TaskStatus | None = None,
    cursor: Annotated[
        str | None, Query(pattern="^[0-9]{1,18}$", description="`next_cursor` of another page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> TaskListResponse:
    """List tasks, newest first."""
    before = None if cursor is None else int(cursor)
    page = await service.manager.call(TaskManagerActor.page, caller.sees, status, before, limit)
    return TaskListResponse.of(page, caller.sign_url)


@router.get("/task/{task_id}", responses=documented(404, 503))
async def task(task_id: str, service: RequestService, caller: RequestCaller) -> TaskResponse:
    """Get the state of a task."""
    snapshot = await service.manager.call(TaskManagerActor.snapshot, task_id, caller.sees)
    return TaskResponse.of(snapshot, caller.sign_url, more=_waits_for(snapshot.task, service.choice))


@router.delete("/task/{task_id}", response_model=TaskResponse, responses=_REMOVED | documented(404, 503, 507))
async def delete(task_id: str, service: RequestService, caller: RequestCaller) -> TaskResponse | Response:
    """Cancel an unfinished task; remove a finished one with its files."""
    # Not in the manager: Ray repeats a call whose answer was lost, and the repeated one would find the task
    # cancelled and remove it.
    known = (await service.manager.call(TaskManagerActor.snapshot, task_id, caller.sees)).task
    if not known.status.final:
        with contextlib.suppress(TaskFinished):
            return await cancel(task_id, service, caller)
    # Files first: on a full disk the journal may have no room to record the removal.
    await asyncio.to_thread(service.storage.remove, task_id)
    await service.manager.call(TaskManagerActor.remove, task_id, caller.sees)
    return Response(status_code=204)


@router.post("/task/{task_id}/cancel", responses=documented(404, 409, 503, 507))
async def cancel(task_id: str, service: RequestService, caller: RequestCaller) -> TaskResponse:
    """Cancel an unfinished task; its status becomes "failed", with the error "cancelled"."""
    snapshot = await service.manager.call(TaskManagerActor.cancel, task_id, caller.sees)
    return TaskResponse.of(snapshot, caller.sign_url)


@router.get(
    "/download/{task_id}",
    response_class=StreamingResponse,
    responses=_LESS_THAN_A_VIDEO | documented(404, 409, 410, 416, 503),
)
async def download(
    task_id: str, service: RequestService, caller: RequestCaller, request: Request
) -> Response:
    """Download the finished video, or ranges of it."""
    known = (await service.manager.call(TaskManagerActor.snapshot, task_id, caller.sees)).task
    if known.video is None:
        raise TaskNotFinished(_why_no_video(known), field="task_id")
    try:
        video = await asyncio.to_thread(service.storage.video, task_id, known.video)
    except FileNotFoundError:
        raise VideoGone(f"the video of task {task_id} has been removed", field="task_id") from None
    return video_response(video, f"echomimic_{task_id}.mp4", request)


@router.get("/health")
async def health(service: RequestService) -> HealthResponse:
    """Get whether the service is ready for tasks and, if not, why."""
    if service.keys and not service.keys.readable:
        return unready_answer(service.choice, KeysUnavailable().message)
    try:
        calls = (
            service.manager.call(TaskManagerActor.health),
            service.manager.call(TaskManagerActor.counts),
        )
        seen, counts = await asyncio.wait_for(asyncio.gather(*calls), _HEALTH_TIMEOUT_S)
    except (ManagerUnavailable, JournalUnavailable) as error:
        return unready_answer(service.choice, error.message)
    except (TimeoutError, asyncio.TimeoutError):
        return unready_answer(service.choice, "the task manager does not respond")
    return health_answer(service.choice, seen, counts)


def _waits_for(task: Task, choice: EngineChoice) -> tuple[Notice, ...]:
    """A warning for a task that was accepted before a restart, when its engine was still deployed."""
    why = choice.left_out.get(task.engine)
    if why is None or task.status is not TaskStatus.PENDING:
        return ()
    return (Notice.of("engine_not_deployed", engine=task.engine, reason=why),)


def _why_no_video(task: Task) -> str:
    if task.status is TaskStatus.FAILED:
        return f"task {task.id} failed: {task.error}"
    return f"task {task.id} is {task.status.value}; its video can be downloaded when it is completed"
