"""Who runs this command, for the history."""

import os
import pwd

from slot_machine.core.defaults import ATTEMPT_VARIABLE

JOB = "SLOT_MACHINE_JOB"


def who() -> str:
    """The user who called sudo, else the current one; with the address that he came from by ssh."""
    name = os.environ.get("SUDO_USER") or _user()
    address = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return f"{name} from {address}" if address else name


def job() -> str:
    """The name of the job that the command runs in; empty for any other."""
    return os.environ.get(JOB, "")


def inside() -> "dict[str, str] | None":
    """The attempt whose setup, build, release command or hook this runs in, and its daemon's data folder."""
    attempt, shared = os.environ.get(ATTEMPT_VARIABLE), os.environ.get("SLOT_MACHINE_SHARED")
    return {"attempt": attempt, "data": os.path.dirname(shared)} if attempt and shared else None


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
