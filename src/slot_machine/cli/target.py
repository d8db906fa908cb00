"""Decides which daemon a command is about: that of the app which `-a` names, else that of the current folder.

`status` must answer fast, so this module imports almost nothing, and asks the registry only where it has to.
"""

import json
import os

from slot_machine.cli.client import Client, Json
from slot_machine.cli.link import SOCKET
from slot_machine.core.defaults import API_PORT, APP_VARIABLE, DATA_NAME, FILE_NAME, LARGEST_PORT
from slot_machine.core.errors import ConfigError

LOCK = "daemon.lock"


def chosen() -> str:
    """The app that `-a` or the variable names: a name or a folder. Empty for that of the current folder."""
    return os.environ.get(APP_VARIABLE, "")


def client() -> Client:
    """Raises ConfigError."""
    if app := chosen():
        from slot_machine.cli import daemons

        return daemons.client(daemons.called(app))
    path, data = _nearest()
    if data:
        port = _port_of_lock(data) or (_api_port(_config(path), path) if path else API_PORT)
        return Client(port, data, name=os.path.basename(os.path.dirname(data)))
    return of_file(path) if path else _outside()


def of_file(path: str) -> Client:
    """The daemon with that configuration file. Raises ConfigError."""
    config, folder = _config(path), os.path.dirname(os.path.realpath(path))
    data = os.path.join(os.path.dirname(path), str(config.get("data") or DATA_NAME))
    called = str(config.get("name") or "")
    return Client(
        _api_port(config, path),
        data,
        name=called or os.path.basename(folder),
        config=os.path.realpath(path),
        called=called,
    )


def user() -> str:
    """The field `user` of the nearest slot-machine.json; empty if it is not set. Raises ConfigError."""
    path, _ = _nearest()
    return str(_config(path).get("user") or "") if path else ""


def configuration() -> str:
    """The path of the slot-machine.json that the command is about; empty if there is none. Raises ConfigError."""
    path, data = _nearest()
    return "" if chosen() or data else path


def nearest_file() -> str:
    """The path of slot-machine.json in this folder or the nearest parent; empty if there is none.

    Raises ConfigError.
    """
    return _nearest()[0]


def has_engine() -> bool:
    """Whether the command is about an app that a cluster runs. Errors of the file are told by the command itself."""
    try:
        path = configuration()
        with open(path, "rb") as file:
            text = file.read()
        return b'"engine"' in text and json.loads(text).get("engine") is not None
    except (OSError, ValueError, AttributeError, RecursionError, ConfigError):
        return False


def here() -> str:
    """The current folder. Raises ConfigError if it was removed, like the tree of an earlier version."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the current folder was removed", "go to another one, such as by `cd`") from None


def _nearest() -> tuple[str, str]:
    """The path of slot-machine.json in this folder or the nearest parent, and the data folder in which this folder is.

    Empty where there is none. The data folder counts: in its trees, a commit may have a slot-machine.json of its own.
    """
    folder, path = here(), ""
    while True:
        if not path and os.path.isfile(os.path.join(folder, FILE_NAME)):
            path = os.path.join(folder, FILE_NAME)
        if all(os.path.exists(os.path.join(folder, name)) for name in (SOCKET, LOCK)):
            return path, folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return path, ""
        folder = parent


def _outside() -> Client:
    """Where there is no slot-machine.json: the daemon that has this folder, else the only one there is."""
    from slot_machine.cli import daemons

    entry = daemons.around(here())
    return daemons.client(entry) if entry else Client(API_PORT)


def _port_of_lock(data: str) -> int:
    """For a caller who may not use the socket. 0 for one who may not read the lock either, as the app's user."""
    try:
        with open(os.path.join(data, LOCK)) as file:
            return int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _config(path: str) -> Json:
    try:
        with open(path, "rb") as file:
            config = json.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} is not a JSON object", "correct it")
    return config


def _api_port(config: Json, path: str) -> int:
    port = config.get("api_port", API_PORT)
    if not isinstance(port, int) or not 1 <= port <= LARGEST_PORT:
        raise ConfigError(f"{path}: api_port: expected a port from 1 to {LARGEST_PORT}, got {port!r}")
    return port
