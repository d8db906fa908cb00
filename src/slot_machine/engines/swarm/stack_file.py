"""The stack file as text: written so that `docker` reads exactly what it says, and the same for the same stack."""

import yaml

from slot_machine.core.errors import EngineFailed
from slot_machine.engines import yaml_text

Json = dict[str, object]


def text(stack: Json) -> str:
    """YAML. `docker` would replace `$NAME` by a variable of its own environment, so each `$` is doubled."""
    return yaml_text.written(_doubled(stack))


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
