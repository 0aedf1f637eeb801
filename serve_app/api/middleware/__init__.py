"""The middleware before the routes, one class a file; `api/application.py` has the order.

Tested in `tests/serve_app/api/test_routes.py`: `body_limit`, `error_shape`
Tested in `tests/serve_app/api/test_pages.py`: `security_headers`
"""
