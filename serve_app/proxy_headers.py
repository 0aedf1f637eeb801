"""Where a Serve controller that the release before 0.2.0 started looks for the proxies' middleware.

It keeps the import path for as long as it runs, and no proxy that it starts anew would come up without this.
To be removed with the release after this one.
"""

from serve_app.cluster.proxy_headers import middlewares

__all__ = ["middlewares"]
