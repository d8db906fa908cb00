from slot_machine.core.minutes import Tally
from slot_machine.core.verdict import Side
from slot_machine.core.verdict_table import columns


def test_numbers_are_told_in_two_columns() -> None:
    new = Side({"/checkout": Tally({20: 80}, 20), "/": Tally({10: 900}, 0)}, crashes=("worker",))
    lines = list(columns(new, Side({"/": Tally({10: 5000}, 0)})))

    assert lines[0].split() == ["new", "old"]
    assert all(len(line) <= 80 for line in lines)
    assert any("/checkout" in line for line in lines)
    assert lines[-1].split() == ["crashed", "worker", "-"]
