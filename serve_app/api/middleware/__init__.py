"""The middleware in front of the routes, one class per file; `api/application.py` sets the order.

Tested in `tests/serve_app/api/test_routes.py`: `body_limit`, `error_shape`
Tested in `tests/serve_app/api/test_pages.py`: `security_headers`
"""
