import pytest

from slot_machine.detect.versions import fits, mismatch
from tests.detect.given import GivenMachine


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ((20, 20, 2), ">=18", True),
        ((20, 20, 2), ">=22", False),
        ((20, 20, 2), "^18.17 || ^20.3", True),
        ((20, 20, 2), "^18.17 || >=21.1", False),
        ((20, 20, 2), "18.x || 20.x", True),
        ((20, 20, 2), "20", True),
        ((20, 20, 2), "18 - 22", True),
        ((20, 20, 2), "v18", False),
        ((20, 20, 2), "lts/*", True),
        ((3, 11, 9), ">=3.9,<4.0", True),
        ((3, 11, 9), ">=3.12", False),
        ((3, 11, 9), "==3.11.*", True),
        ((3, 11, 9), "!=3.11.*", False),
        ((3, 11, 9), "<=3.11", True),
        ((3, 11, 9), ">3.11", False),
        ((3, 1, 2), "~> 3.1", True),
        ((3, 2, 0), "~> 3.1.0", False),
        ((1, 19, 8), ">=1.22", False),
        ((3, 11), "^3.10", True),
        ((3, 11), "~3.10", False),
    ],
)
def test_range(version: tuple[int, ...], wanted: str, expected: bool) -> None:
    assert fits(version, wanted) is expected


def test_what_is_said() -> None:
    machine = GivenMachine({"go": "go version go1.19.8 linux/amd64", "node": "?"})

    assert mismatch(machine, "go", ">=1.22", "go.mod") == (
        "go.mod asks for go >=1.22, and this machine has 1.19.8: install the one it asks for"
    )
    assert mismatch(machine, "go", "", "go.mod") == ""
    assert mismatch(machine, "node", ">=18", "package.json") == ""
    assert mismatch(machine, "ruby", "", "Gemfile") == "ruby is not installed on this machine, and Gemfile asks for it"
