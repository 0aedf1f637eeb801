"""What a request meets before its route, one class a file; `api/application.py` says in which order."""
