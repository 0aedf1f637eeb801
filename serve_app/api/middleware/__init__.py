"""What a request meets before its route, one class a file; `api/application.py` says in which order.

Tested in `tests/serve_app/api/test_routes.py`: `body_limit`, `error_shape`
Tested in `tests/serve_app/api/test_pages.py`: `security_headers`
"""
