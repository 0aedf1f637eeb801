"""A deployment that builds its ASGI application itself."""

from typing import Any

from ray import serve


def ingress(deployed: Any) -> type:
    """`serve.ingress` for a class with a method `build_app`, which Serve calls once a replica is constructed.

    Serve's public parameters take an application that exists before its settings are known.
    """
    deployed.__serve_build_asgi_app__ = deployed.build_app
    decorated: type = serve.ingress()(deployed)
    return decorated
