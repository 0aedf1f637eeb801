"""The engines of the service: which there are, which are deployed, and the replicas that run them.

Used by `app.py`, by `api`, and by the launcher, which asks the registry for names. Knows nothing of HTTP;
what an engine computes is in `models`.

Tested in `tests/serve_app/engines/test_replica.py`: `attempt`
"""
