"""The middleware before the routes, one class a file; `api/application.py` has the order."""
