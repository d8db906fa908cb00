"""Environment variables that bind git to one repository. Git sets them for its hooks."""

from collections.abc import Mapping

BOUND = frozenset(
    {
        # `git rev-parse --local-env-vars`, of all versions since 2.30
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
        # variables that it does not list
        "GIT_ATTR_SOURCE",
        "GIT_NAMESPACE",
        "GIT_QUARANTINE_PATH",
    }
)

TRUE_HISTORY = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": ""}
"""Settings with which git ignores `git replace` and grafts, so that a commit is the one that has the hash."""


def unbound(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in BOUND}
