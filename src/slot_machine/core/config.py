"""`slot-machine.json` as a whole."""

from typing import NamedTuple

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.version_config import VersionConfig


class Config(NamedTuple):
    """`slot-machine.json`. An optional command or path that is empty or null is not used."""

    version: VersionConfig
    daemon: DaemonConfig
