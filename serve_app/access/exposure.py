"""Whether the service may listen on the configured address."""

from ipaddress import ip_address

from serve_app.errors import ConfigError
from serve_app.settings import Settings


def check_exposure(settings: Settings, host: str) -> None:
    """Refuse an address where other machines could use the service without a key, unless that is intended.

    Args:
        settings: the builder's arguments.
        host: where Serve's HTTP proxies listen.

    Raises:
        ConfigError: other machines can reach the address, no key is required, and the settings do not permit
            that.
    """
    if is_loopback(host) or settings.api_keys or settings.public_without_keys:
        return
    raise ConfigError(
        f"http_options.host is {host!r}, which other machines can reach, and no API key is required: set "
        "api_keys, or listen on 127.0.0.1, or set public_without_keys if something in front controls access"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # Any other name may stand for any address.
        return host.lower() == "localhost"
