"""Where a service finds things: the program of slot-machine, other programs, and the user it runs as."""

import os
import re
import shutil
import sys
from pathlib import Path

from slot_machine.core import tool_variables
from slot_machine.core.errors import ConfigError
from slot_machine.host.user import account
from slot_machine.host.user.rights import Account

PROGRAM = "slot-machine"
STANDARD_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
VERSIONED = re.compile(r"(^|[^0-9])\d+\.\d+")


def executable() -> tuple[Path, bool]:
    """The path by which to start slot-machine, and whether it stays the same after an upgrade.

    Symlinks are not followed: that of pipx or of a package stays, and what it leads to may be removed.
    """
    called = Path(shutil.which(sys.argv[0]) or sys.argv[0]).absolute()
    if not called.name.startswith(PROGRAM):  # python -m slot_machine
        called = Path(sys.executable).with_name(PROGRAM)
    names = [Path(folder).absolute() / PROGRAM for folder in os.get_exec_path() if folder.startswith("/")]
    # A folder of the PATH that this user can't read does not count: `sudo -u` may pass on root's.
    same = [name for name in (called, *names) if os.path.exists(name) and name.samefile(called)]
    if not same:
        raise ConfigError(f"cannot find the program of slot-machine: {called} does not exist", "call it by its path")
    found = next((name for name in same if not is_versioned(name)), same[0])
    return found, not is_versioned(found)


def is_versioned(path: Path) -> bool:
    """Whether a folder of the path seems to bear the number of a version, so that an upgrade makes another one."""
    return any(VERSIONED.search(part) for part in path.parts[:-1])


def user_of(asked: str, config_user: str, folder: Path) -> str:
    """Whom the unit runs as. Raises ConfigError.

    Without `--user`, it is the owner of the app's folder; with the field `user`, it has to be root.
    """
    if config_user:
        if asked not in ("", "root", config_user):
            raise ConfigError(
                f"--user {asked} does not go with the field `user`: {config_user}",
                "leave out --user: the daemon runs as root, and the app as the field says",
            )
        return "root"
    return asked or account.name(folder.stat().st_uid)


def path_for(user: Account, program: Path) -> str:
    """PATH of the service: that of this shell if it is the user's own, else the standard one."""
    home = Path(user.home)
    if user.uid == os.geteuid():
        clean = tool_variables.without_tools(os.environ).get("PATH", "")
        folders = [folder for folder in clean.split(":") if folder.startswith("/") and os.path.isdir(folder)]
    else:
        own = [str(folder) for folder in (home / ".local/bin", home / "bin") if folder.is_dir()]
        folders = [*own, *STANDARD_PATH]
    return ":".join(dict.fromkeys([*folders, *STANDARD_PATH, str(program.parent)]))
