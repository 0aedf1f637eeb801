"""Keeps on the loopback interface what each of Serve's replicas listens on. Knows nothing of its work."""

from typing import Any

from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve._private import replica


def keep_on_loopback() -> None:
    """Have the replica that this process becomes listen on the loopback interface only.

    Called by its constructor: Serve opens a port when that has ended. What is sent there is unpickled, so
    that whoever reaches it can run code, and Serve would have every interface; nothing in this release tells
    it otherwise. Nobody misses the port: unless told to, Serve calls replicas as Ray's actors.
    """
    replica.add_port_to_grpc_server = _bind_on_loopback  # type: ignore[attr-defined]  # not its own


def _bind_on_loopback(server: Any, _address: str) -> int:
    port: int = add_port_to_grpc_server(server, "127.0.0.1:0")
    return port
