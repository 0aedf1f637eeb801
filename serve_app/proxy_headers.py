"""The import path under which a Serve controller started by the release before 0.2.0 looks for middleware.

Such a controller keeps the path for as long as it runs; without this module, no proxy that it restarts would
come up. To be removed with the release after this one.
"""

from serve_app.cluster.proxy_headers import middlewares

__all__ = ["middlewares"]
