"""A second Ray node on this machine, until it is ended: python -m tests.chaos.node ADDRESS RESOURCES

`ray start` refuses a second node while the switch is set that keeps Ray on the loopback interface.
"""

import contextlib
import json
import signal
import sys

from ray._private.node import Node
from ray._private.parameter import RayParams


def main(address: str, resources: str) -> None:
    """Join the cluster at this address with these resources, JSON of their names and amounts."""
    params = RayParams(gcs_address=address, node_ip_address="127.0.0.1", **json.loads(resources))
    # It ends its processes when this one exits.
    Node(params, head=False, shutdown_at_exit=True, spawn_reaper=False)
    print("Ray runtime started", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
