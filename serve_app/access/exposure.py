"""Whether the service may listen where it is told to."""

from ipaddress import ip_address

from serve_app.errors import ConfigError
from serve_app.settings import Settings


def check_exposure(settings: Settings, host: str) -> None:
    """Refuse to be reached from other machines by people without a key, unless that is meant.

    Args:
        settings: the builder's arguments.
        host: where Serve's HTTP proxies listen.

    Raises:
        ConfigError: it is an address that others reach, nobody needs a key, and the settings don't say
            that this is meant.
    """
    if is_loopback(host) or settings.api_keys or settings.public_without_keys:
        return
    raise ConfigError(
        f"http_options.host is {host!r}, which others reach, and nobody needs a key: set api_keys, or "
        "listen on 127.0.0.1, or set public_without_keys if something in front checks who comes in"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # Any other name may mean any address.
        return host.lower() == "localhost"
