"""Everything that touches Ray's and Serve's private parts, and nothing else does: one place to look at when
Ray's version changes. Knows nothing of tasks.

Tested in `tests/serve_app/access/test_exposure.py`: `replica_ports`
Tested in `tests/serve_app/test_autoscaling.py`: `handles`
"""
