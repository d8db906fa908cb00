"""Which servers `--host` and `--to` mean."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from slot_machine.cli import target
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import ConfigError
from slot_machine.core.hosts import Server, Servers, each

FIELD = "hosts"
EXAMPLE = '{"hosts": {"production": "deploy@shop.example.com"}}'


def named(hosts: Sequence[str]) -> tuple[Server, ...]:
    """Raises ConfigError for what is no plain name of a server, such as an option of ssh."""
    try:
        return each(tuple(hosts))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def of(stage: str) -> tuple[Server, ...]:
    """Your own file comes before that of the project. Raises ConfigError."""
    stages = known()
    if stage not in stages:
        there_are = f"; there are: {', '.join(sorted(stages))}" if stages else ""
        hint = f"{own_file()}, or {FILE_NAME} of the project, names its servers: {EXAMPLE}"
        raise ConfigError(f"no stage is called {stage!r}{there_are}", hint)
    try:
        return each(stages[stage])
    except ValueError as error:
        raise ConfigError(f"hosts: {stage}: {error}") from None


def known() -> dict[str, Servers]:
    """Raises ConfigError."""
    project = target.nearest_file()
    return {name: servers for path in (project, own_file()) if path for name, servers in _read(path).items()}


def own_file() -> str:
    """By the XDG Base Directory Specification: a relative path in the variable is ignored."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(given) if given.startswith("/") else Path.home() / ".config"
    return str(folder / "slot-machine" / "hosts.json")


def _read(path: str) -> dict[str, Servers]:
    """Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            fields = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise ConfigError(f"{path} is not a JSON object", f"write it like {EXAMPLE}")
    try:
        return msgspec.convert(fields.get(FIELD) or {}, dict[str, Servers])
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {FIELD}: {error}", f"write it like {EXAMPLE}") from None
