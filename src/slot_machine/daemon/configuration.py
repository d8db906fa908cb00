"""The daemon's `slot-machine.json`: reads it, and tells what has changed in it since the daemon did."""

import os
from pathlib import Path

from slot_machine.app.opening import Options
from slot_machine.core.config_file import parse
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import ConfigError
from slot_machine.host.files.regular import open_regular


def read(path: Path) -> bytes:
    """Raises ConfigError."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return file.read()
    except FileNotFoundError:
        where = f"in {path.parent.resolve()}" if path.name == FILE_NAME else f"at {path}"
        raise ConfigError(f"there is no {FILE_NAME} {where}", "run `slot-machine init` to write one") from None
    except OSError as error:
        hint = "run this command as a user who may read it"
        raise ConfigError(f"cannot read {path} ({FILE_NAME}): {error.strerror}", hint) from None


def changed(options: Options) -> list[str]:
    """The daemon's fields that the file sets to something else by now. Raises ConfigError."""
    config, _ = parse(read(options.config_file), options.config_file.name)
    before, now = options.as_read.daemon, config.daemon
    return [name for name in DaemonConfig.__struct_fields__ if getattr(before, name) != getattr(now, name)]
