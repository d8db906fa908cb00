import pytest

from slot_machine.detect import shell


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("node server.js", ["node server.js"]),
        ("A=1 B='x y' node .", ["A=1 B='x y' node ."]),
        ('a && b "c && d"', ["a", 'b "c && d"']),
        ("a | b", []),
        ("a & b", []),
        ("a; b", []),
        ("a $(b)", []),
        ("a > b", []),
        ("a &&", []),
        ("a 'b", []),
        ("", []),
    ],
)
def test_chain(command: str, parts: list[str]) -> None:
    assert [str(part) for part in shell.chain(command)] == parts


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("next start -p 3000", "next start -p $PORT"),
        ("serve -l 5000 dist", "serve -l $PORT dist"),
        ("x --port=8080 --report=8080", "x --port=$PORT --report=8080"),
        ("gunicorn -b 0.0.0.0:8000 app:app", "gunicorn -b 0.0.0.0:$PORT app:app"),
        ("puma -b tcp://0.0.0.0:3000", "puma -b tcp://0.0.0.0:$PORT"),
        ("PORT=4000 node x.js", "node x.js"),
        ("node x.js --timeout 3000", "node x.js --timeout 3000"),
        ("x -p 3000:3000", "x -p 3000:3000"),
    ],
)
def test_port_that_is_written_into_a_command(command: str, expected: str) -> None:
    assert shell.with_port(command) == expected
