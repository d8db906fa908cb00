"""Values as YAML that every reader takes for the same: a text is quoted if it may be taken for something else."""

import re
from collections.abc import Iterable

import yaml

PLAIN = re.compile(r"/?[A-Za-z][A-Za-z0-9_./-]*")
"""A text that no reader of YAML takes for something else, unless it is one of WORDS."""
WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = PLAIN.fullmatch(text) and text.lower() not in WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def written(value: object) -> str:
    """In the order in which it has its keys; the same for the same value."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=4096
    )
    return text


def documents(values: Iterable[object]) -> str:
    return "---\n".join(map(written, values))
