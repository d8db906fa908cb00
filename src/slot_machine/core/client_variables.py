"""Variables that a build copies into the scripts for browsers. A change has no effect until the next build."""

import hashlib
from collections.abc import Mapping

PREFIXES = ("NEXT_PUBLIC_", "VITE_", "REACT_APP_", "VUE_APP_", "GATSBY_", "EXPO_PUBLIC_")


def digests(env: Mapping[str, str]) -> dict[str, str]:
    """By name."""
    return {
        name: hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()
        for name, value in env.items()
        if name.startswith(PREFIXES)
    }


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
