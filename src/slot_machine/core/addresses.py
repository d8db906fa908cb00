"""Addresses in configuration files. Each check raises ConfigError, in one line; `name` is that of the file."""

import ipaddress
from collections.abc import Iterable

from slot_machine.core.errors import ConfigError


def check_bind(given: str, name: str, *, example: str) -> None:
    """Empty is all addresses."""
    if not given:
        return
    try:
        ipaddress.ip_address(given)
    except ValueError as error:
        raise ConfigError(f'{name}: bind: {error}: write an address such as "{example}"') from None


def check_trusted_proxies(given: Iterable[str], name: str) -> None:
    for network in given:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            example = 'write an address or a network such as "10.0.0.0/8"'
            raise ConfigError(f"{name}: trusted_proxies: {error}: {example}") from None
