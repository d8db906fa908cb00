import pytest

from slot_machine.core.origin import Origin

COMMIT = "c0ffee" + "0" * 34


@pytest.mark.parametrize("asked", ["main", "v1.2", "refs/tags/v1", "feature/HEAD", "origin/main", "c0ffee-fix"])
def test_branches_and_tags_are_refs(asked: str) -> None:
    assert Origin().naming(asked, COMMIT).ref == asked
    assert Origin(ref=asked).naming(COMMIT, COMMIT).ref == asked, "the caller resolved it itself"


@pytest.mark.parametrize(
    "asked", [COMMIT, "c0ffee", "C0FFEE", "HEAD", "HEAD~1", "@", "@{1}", "main~2", "main^", ":/fix"]
)
def test_other_ways_to_ask_for_a_commit_are_none(asked: str) -> None:
    assert Origin().naming(asked, COMMIT).ref == ""
    assert Origin(ref=asked).naming(COMMIT, COMMIT).ref == ""
