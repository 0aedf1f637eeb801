"""The REST interface, between clients and the task manager.

Used only by `app.py`. Knows Starlette and FastAPI; calls the manager through `tasks.manager_client`, stores
uploads through `storage`, and never runs an engine.

Tested in `tests/serve_app/api/test_routes.py`: `error_responses`, `health_answer`, `ingress`, `service`
"""
