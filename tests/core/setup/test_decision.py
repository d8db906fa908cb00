import msgspec
import pytest

from slot_machine.core.model import SetUp
from slot_machine.core.setup.decision import Needs, in_words, reason_to_run, reason_to_skip
from slot_machine.core.setup.inputs import Inputs

INPUTS = Inputs({"package-lock.json": "1", "patches/": "2"}, ("package-lock.json",), "", ("node_modules",))
NEEDS = Needs("b", INPUTS, {"node": "v20", "setup_command": "npm ci"}, "environment")
LAST = SetUp("a", INPUTS.digests, NEEDS.facts, "environment", {"node_modules": "3"}, {})


def reason(last: SetUp | None, needs: Needs = NEEDS, *, is_retry: bool = False) -> str:
    return reason_to_run(last, needs, is_retry=is_retry)


def test_setup_is_skipped_when_nothing_changed() -> None:
    assert reason(LAST) == ""
    assert reason_to_skip(NEEDS) == "package-lock.json is unchanged"


@pytest.mark.parametrize(
    ("digests", "facts", "said"),
    [
        ({"package-lock.json": "9", "patches/": "2"}, {}, "package-lock.json changed"),
        ({"package-lock.json": "1"}, {}, "patches/ changed"),
        (INPUTS.digests | {".npmrc": "1"}, {}, ".npmrc changed"),
        (INPUTS.digests, {"node": "v22"}, "node changed"),
        (INPUTS.digests, {"NODE_ENV": "1"}, "NODE_ENV changed"),
        ({}, {"setup_command": "npm install", "node": "v22"}, "setup_command changed"),
        ({}, {}, "package-lock.json and patches/ changed"),
    ],
)
def test_what_changed_is_named(digests: dict[str, str], facts: dict[str, str], said: str) -> None:
    needs = NEEDS._replace(inputs=INPUTS._replace(digests=digests), facts=NEEDS.facts | facts)

    assert reason(LAST, needs) == said


def test_unfinished_setup_runs_again() -> None:
    assert reason(None) == "there is no finished setup in this tree"


def test_doubt_runs_it_though_nothing_changed() -> None:
    doubtful = NEEDS._replace(inputs=INPUTS._replace(doubt="package.json has workspaces"))

    assert reason(LAST, doubtful) == "package.json has workspaces"


def test_retry_of_the_same_commit_goes_straight_on_unless_its_environment_changed() -> None:
    doubtful = NEEDS._replace(commit="a", inputs=INPUTS._replace(doubt="package.json has workspaces"))

    assert reason(LAST, doubtful, is_retry=True) == ""
    assert reason_to_skip(doubtful) == "the setup of this commit has ended well before"
    assert reason(LAST, doubtful) == "package.json has workspaces", "no retry: somebody may want it to run"
    assert reason(LAST, doubtful._replace(environment="another"), is_retry=True)
    assert reason(LAST, doubtful._replace(commit="b"), is_retry=True)
    assert reason(LAST, doubtful._replace(facts={"node": "v22"}), is_retry=True)


def test_setup_that_may_have_failed_unnoticed_is_never_skipped() -> None:
    unchecked = NEEDS._replace(commit="a", inputs=INPUTS._replace(unchecked="npm ci"))

    for is_retry in (False, True):
        assert reason(LAST, unchecked, is_retry=is_retry) == "`npm ci` may fail and setup_command still succeed"


def test_setup_that_leaves_nothing_where_it_should_is_not_skipped() -> None:
    assert reason(msgspec.structs.replace(LAST, installed={})) == "it leaves no node_modules in the tree"


def test_few_names_are_listed() -> None:
    assert in_words(["a", "b", "c"]) == "a, b and c"
    assert in_words(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert reason_to_skip(NEEDS._replace(inputs=INPUTS._replace(main=("a", "b")))) == "a and b are unchanged"
    assert reason_to_skip(NEEDS._replace(inputs=INPUTS._replace(main=()))) == "nothing that it depends on has changed"
