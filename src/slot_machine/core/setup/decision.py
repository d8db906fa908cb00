"""Whether a setup has to run, and why."""

from collections.abc import Sequence
from typing import NamedTuple

from slot_machine.core.model import SetUp
from slot_machine.core.setup.inputs import Inputs

SHOWN = 3
"""A message names so many files."""

COMMAND = "setup_command"
"""Of the facts: the first one that a message names."""


class Needs(NamedTuple):
    """What the setup of a version depends on. `facts` and `environment` are as in `SetUp`."""

    commit: str
    inputs: Inputs
    facts: dict[str, str]
    environment: str


def reason_to_run(last: SetUp | None, needs: Needs, *, is_retry: bool) -> str:
    """Empty if the setup can be skipped, provided that what `last` left in the tree is still there.

    `is_retry`: the last deploy into this tree failed after its setup.
    """
    if last is None:
        return "there is no finished setup in this tree"
    if changed := _changed(last, needs):
        return f"{in_words(changed)} changed"
    if needs.inputs.unchecked:
        return f"`{needs.inputs.unchecked}` may fail and setup_command still succeed"
    if is_retry and (last.commit, last.environment) == (needs.commit, needs.environment):
        return ""
    if needs.inputs.doubt:
        return needs.inputs.doubt
    missing = [name for name in needs.inputs.installed if name not in last.installed]
    return f"it leaves no {missing[0]} in the tree" if missing else ""


def reason_to_skip(needs: Needs) -> str:
    if needs.inputs.doubt:
        return "the setup of this commit has ended well before"
    if not needs.inputs.main:
        return "nothing that it depends on has changed"
    return f"{in_words(needs.inputs.main)} {'is' if len(needs.inputs.main) == 1 else 'are'} unchanged"


def in_words(names: Sequence[str]) -> str:
    shown, more = list(names[:SHOWN]), len(names) - SHOWN
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _changed(last: SetUp, needs: Needs) -> list[str]:
    facts = _differing(last.facts, needs.facts)
    if COMMAND in facts:
        return [COMMAND]
    return _differing(last.inputs, needs.inputs.digests) + facts


def _differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
