"""The life of tasks: the queue, claims, leases, retries, the journal, and the actor that keeps all of it.

`api` and `engines` come in through `manager_client`. `manager` and what it is made of know nothing of Ray.

`active` and `queue` are tested in the tests of `manager` and `leadership`, `schema` in those of `journal`,
`manager_client` in those of the API and in `test_faults`.
"""
