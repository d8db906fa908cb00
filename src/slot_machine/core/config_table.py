"""The fields of the configuration for docs/configuration.md: `python -m slot_machine.core.config_table` prints them."""

import json

import msgspec
from msgspec import inspect

from slot_machine.core.daemon_config import FIXED, DaemonConfig, Follow, Webhook
from slot_machine.core.engine_config import Kubernetes, Swarm
from slot_machine.core.fields import docs
from slot_machine.core.version_config import Job, Process, VersionConfig


def tables() -> str:
    """As Markdown."""
    fixed = ", ".join(f"`{name}`" for name in FIXED)
    return "\n".join(
        [
            "## Fields of a version\n",
            "How a version of the app is set up, started, checked and stopped.\n",
            *_table(VersionConfig),
            "\nThe objects in `processes` have these fields:\n",
            *_table(Process),
            "\nThe objects in `cron` have these fields:\n",
            *_table(Job),
            "\n## Fields of the daemon\n",
            "How the daemon serves the app on this machine.\n",
            *_table(DaemonConfig),
            "\nThe object `follow` has these fields:\n",
            *_table(Follow),
            "\nThe object `webhook` has these fields:\n",
            *_table(Webhook),
            '\nThe object `engine` has these fields, with `"kind": "swarm"`:\n',
            *_table(Swarm),
            '\nAnd these, with `"kind": "kubernetes"`:\n',
            *_table(Kubernetes),
            f"\nA reload can't change {fixed}. Stop the daemon and start it again for that.\n",
        ]
    )


def _table(struct: type[msgspec.Struct]) -> list[str]:
    rows = ["| field | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    types = inspect.type_info(struct)
    assert isinstance(types, inspect.StructType)
    for field, doc in zip(types.fields, docs(struct).values(), strict=True):
        default = "required" if field.required else doc.default or f"`{json.dumps(field.default)}`"
        rows.append(f"| `{field.name}` | {default} | {_allowed(field.type)} | {doc.meaning} |")
    return rows


def _allowed(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType(ge=lowest, le=highest):
            return f"{lowest} to {highest}"
        case inspect.BoolType():
            return "`true`, `false`"
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{json.dumps(value)}`" for value in values)
        case inspect.UnionType(types=kinds):
            return " or ".join(dict.fromkeys(_allowed(one) for one in kinds if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType():
            return "list of strings"
        case inspect.DictType() | inspect.StructType():
            return "object"
        case _:
            return "string"


if __name__ == "__main__":
    print(tables(), end="")
