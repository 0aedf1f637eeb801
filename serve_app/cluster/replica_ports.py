"""Keeps the port that each Serve replica opens on the loopback interface. Knows nothing of replicas' work."""

from typing import Any

from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve._private import replica


def keep_on_loopback() -> None:
    """Make the replica in this process listen on the loopback interface only.

    Called by its constructor, because Serve opens a port right after it. Serve would listen on every
    interface and unpickle what it receives, so that anyone who can reach the port can run code; this release
    has no setting for it. Nothing else needs the port: by default Serve calls replicas as Ray actors.
    """
    replica.add_port_to_grpc_server = _bind_on_loopback  # type: ignore[attr-defined]  # not its own


def _bind_on_loopback(server: Any, _address: str) -> int:
    port: int = add_port_to_grpc_server(server, "127.0.0.1:0")
    return port
