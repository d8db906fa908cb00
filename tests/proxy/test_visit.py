"""What a request says of its visitor, and what it costs to find that."""

import tracemalloc

import pytest

from slot_machine.core.upstream import Beside
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.heads.visit import number_of
from tests.proxy.in_memory import CANDIDATE

SHARE = Beside(CANDIDATE, share=1000, share_id="5a5a5a5a", cookie="u")
PIN = "slot-machine-share-0=5a5a5a5a."


class Counted(bytes):
    """`bytes` that searches backwards have passed over, as far as they went."""

    passed = 0

    def rfind(self, what: bytes, begin: int, end: int) -> int:  # type: ignore[override]
        at = super().rfind(what, begin, end)
        self.passed += end - max(at, 0)
        return at


@pytest.mark.parametrize("fields", [f"X: {'u=' * 30_000}", f"X: {' u=' * 20_000}", f"Cookie: {f' {PIN}x' * 1900}"])
def test_text_that_is_repeated_for_the_whole_head_is_looked_at_once(
    fields: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = RequestHead(f"GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\nCookie: a=1\r\n\r\n".encode())
    looked = Counted(head._for_app)
    monkeypatch.setattr(head, "_for_app", looked)
    assert head.visit(SHARE, 0).number == -1
    assert looked.passed < 20 * len(looked)


def test_the_number_is_found_among_repeated_text() -> None:
    lines = f"X: {PIN}1\r\nCookie: a=1; {PIN}2; {PIN}x; x{PIN}3\r\nX: {PIN}4"
    head = RequestHead(f"GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n".encode())
    assert head.visit(SHARE, 0).number == 2


def test_long_values_of_the_apps_cookie_take_no_memory() -> None:
    number_of("5a5a5a5a", "warm")
    tracemalloc.start()
    for at in range(200):
        number_of("5a5a5a5a", f"{at}{'v' * 50_000}")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 200_000


def test_the_number_of_a_long_value_is_the_same_each_time() -> None:
    assert len({number_of("5a5a5a5a", "v" * 50_000) for _ in range(3)}) == 1
    assert len({number_of("5a5a5a5a", f"{'v' * 50_000}{at}") for at in range(50)}) > 40
