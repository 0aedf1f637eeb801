"""The life cycle of tasks: queue, claims, leases, retries, journal, and the actor that runs the manager.

`api` and `engines` reach it through `manager_client`. `manager` and its parts know nothing of Ray.

Tested in `tests/serve_app/tasks/test_manager.py`: `active`, `queue`
Tested in `tests/serve_app/tasks/test_faults.py`: `manager_client`
Tested in `tests/serve_app/tasks/test_journal.py`: `schema`
"""
