"""The service: a REST ingress, a task manager and engine replicas on Ray Serve. Knows no tensors.

Tested in `tests/serve_app/test_settings.py`: `app`
Tested in `tests/serve_app/api/test_routes.py`: `errors`, `schemas`, `task`
Tested in `tests/serve_app/cluster/test_proxy_headers.py`: `proxy_headers`
"""
