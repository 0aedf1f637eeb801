"""The engines of the service: which there are, which are deployed, and the replicas that run them.

Only `app.py` and `api` come in. Knows nothing of HTTP; what an engine computes is in `models`.
"""
