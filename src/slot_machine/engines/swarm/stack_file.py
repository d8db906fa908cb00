"""The stack file as text: written so that `docker` reads exactly what it says, and the same for the same stack."""

import re

import yaml

from slot_machine.core.errors import EngineFailed

Json = dict[str, object]

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


def text(stack: Json) -> str:
    """YAML. `docker` would replace `$NAME` by a variable of its own environment, so each `$` is doubled."""
    dumped: str = yaml.dump(
        _doubled(stack), Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=4096
    )
    return dumped


def parsed(written: str) -> Json:
    """The stack that `text` wrote. Raises EngineFailed."""
    try:
        found = yaml.load(written, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise EngineFailed(f"the stack file of a release can't be read: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("services"), dict):
        raise EngineFailed("the stack file of a release has no services")
    single = _single(found)
    assert isinstance(single, dict)
    return single


def _doubled(value: object) -> object:
    return _each(value, "$", "$$")


def _single(value: object) -> object:
    return _each(value, "$$", "$")


def _each(value: object, old: str, new: str) -> object:
    """All texts that are values. Keys are not replaced by `docker`."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return {key: _each(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_each(inner, old, new) for inner in value]
    return value
