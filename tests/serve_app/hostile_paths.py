"""Paths that want to lead out of their folder, and a client that sends them as they are."""

import http.client
from collections.abc import Mapping
from contextlib import closing

from tests.service import Service

FOLDERS = ["/task/", "/download/", "/static-offline-docs/", "/"]

TRAVERSALS = [
    "../tasks.db",
    "..%2ftasks.db",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "..%5c..%5ctasks.db",
    "..%c0%afetc%c0%afpasswd",
    "%2fetc%2fpasswd",
    "....//....//etc/passwd",
    "%00",
    "x%00.mp4",
    "%0d%0aX-Injected:%20yes",
    "%ff%fe",
    "%e2%80%aegnp.4pm",
    "x" * 4096,
    ".",
    "%2e",
    "*",
    "'%20or%20'1'='1",
]

# Of a path to one task: other ways to write it, and detours.
DETOURS = [
    "/download/{task_id}/",
    "/download//{task_id}",
    "/download/./{task_id}",
    "/download/x/../{task_id}",
    "/download/x%2f..%2f{task_id}",
    "/download/{task_id}%00",
    "/download/{task_id}%2f",
    "/DOWNLOAD/{task_id}",
    "//download/{task_id}",
    "/health/../download/{task_id}",
    "/health/..%2fdownload/{task_id}",
    "/health;/../task/{task_id}",
    "/static-offline-docs/../../data/videos/{task_id}",
    "/static-offline-docs/..%2f..%2fdata%2fvideos%2f{task_id}",
]


def get(service: Service, path: str, headers: Mapping[str, str] | None = None) -> tuple:
    """Status, headers and body of the answer to exactly this path: httpx would tidy it up."""
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as connection:
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
