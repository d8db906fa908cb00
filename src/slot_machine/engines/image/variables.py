"""The file with the app's variables, which `shim.sh` reads in the container.

A line is `NAME=VALUE`. In the value, each byte but letters, digits and `_./:@%+,=-` is `\\0ooo`, its octal number, as
printf(1) takes it for `%b`. So no shell can take a value for code.
"""

import os
import re
from collections.abc import Mapping

HEADER = "# Variables of slot-machine 1\n"
PLAIN = re.compile(rb"[A-Za-z0-9_./:@%+,=-]")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

OWN = re.compile(r"PORT|INTERNAL_PORT|SLOT_MACHINE\w*|_sm_\w*", re.ASCII)
"""Variables that the image or the engine sets. These win, as those of a daemon do."""
OF_SHELLS = frozenset({"IFS", "UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO"})
"""Variables that some sh does not pass on."""


def written(variables: Mapping[str, str]) -> str:
    """The same for the same variables. Values may have any bytes but NUL, as `os.fsdecode` makes text of them."""
    names = sorted(set(variables) - set(left_out(variables)))
    return HEADER + "".join(f"{name}={_escaped(variables[name])}\n" for name in names)


def left_out(variables: Mapping[str, str]) -> list[str]:
    """Names that the app does not get, for a warning."""
    return sorted(
        name for name in variables if not IDENTIFIER.fullmatch(name) or OWN.fullmatch(name) or name in OF_SHELLS
    )


def _escaped(value: str) -> str:
    pieces = (bytes([byte]) for byte in os.fsencode(value))
    return "".join(piece.decode() if PLAIN.fullmatch(piece) else f"\\0{piece[0]:03o}" for piece in pieces)
