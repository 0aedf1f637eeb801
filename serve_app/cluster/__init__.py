"""The only code that uses private parts of Ray, Serve and Serve's web server.

The place to check when Ray's version changes.

Knows nothing of tasks.

Tested in `tests/serve_app/access/test_exposure.py`: `replica_ports`
Tested in `tests/serve_app/api/test_routes.py`: `ingress`
Tested in `tests/serve_app/tasks/test_faults.py`: `placement`
Tested in `tests/serve_app/test_autoscaling.py`: `handles`
"""
