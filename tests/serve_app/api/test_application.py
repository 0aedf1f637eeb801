"""What the API documentation says of every route."""

import pytest

from tests.serve_app.local_api import local_api


class TestTheDocumentation:
    @pytest.fixture
    def responses(self, tmp_path, sqlite_journal):
        """The documented answers of every operation."""
        paths = local_api(tmp_path, sqlite_journal).get("/openapi.json").json()["paths"]
        return {
            (method, path): set(operation["responses"])
            for path, operations in paths.items()
            for method, operation in operations.items()
        }

    @pytest.mark.parametrize("status", ["400", "413"])
    def test_says_that_every_route_refuses_foreign_hosts_and_large_bodies(self, responses, status):
        assert [operation for operation, statuses in responses.items() if status not in statuses] == []

    def test_says_what_becomes_of_a_range_beyond_the_end(self, responses):
        assert "416" in responses["get", "/download/{task_id}"]
