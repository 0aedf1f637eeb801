"""The life of tasks: the queue, claims, leases, retries, the journal, and the actor that keeps all of it.

`api` and `engines` come in through `manager_client`. `manager` and what it is made of know nothing of Ray.

Tested in `tests/serve_app/tasks/test_manager.py`: `active`, `queue`
Tested in `tests/serve_app/tasks/test_faults.py`: `manager_client`
Tested in `tests/serve_app/tasks/test_journal.py`: `schema`
"""
