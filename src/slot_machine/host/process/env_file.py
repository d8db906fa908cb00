"""The format of `env_file`: reads it, and changes single variables in it. All else stays byte for byte.

python-dotenv's own `set_key` is of no use here: it escapes no backslash, so that a value may swallow the lines after
it, and it drops a comment behind the value and the line ends of other systems.
"""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from slot_machine.core.errors import EnvFileError
from slot_machine.host.files.regular import open_owned

LONGEST_BYTES = 131_071
"""Of `NAME=value`: MAX_ARG_STRLEN in execve(2), without the NUL at its end."""

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
BYTE_ORDER_MARK = "\ufeff"

PLAIN = re.compile(r"[\w./:@%+,-][\w./:@%+,=-]*", re.ASCII)
"""Values that mean the same without quotes, also to a shell."""
SPECIAL_TO_SHELLS = re.compile(r'["\\$`]')
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})

TO_VALUE = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=[^\S\r\n]*")
QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
COMMENT = re.compile(r"\s+#.*")
END_OF_LINE = re.compile(r"(?:\r\n|\n|\r)?\Z")


class BadLine(Exception):
    """A line of an env file that can't become a variable. The message never contains a value."""


def read_env_file(path: Path) -> dict[str, str]:
    """Skips names without `=`. Expands no `$`. Raises BadLine, OSError, UnicodeDecodeError."""
    with os.fdopen(open_owned(path), "rb") as file:
        found = variables(decoded(file.read()))
    # The process gets the bytes of the file, whatever encoding the locale has.
    return {os.fsdecode(name.encode()): os.fsdecode(value.encode()) for name, value in found.items()}


def secret(name: str, path: Path | None) -> str:
    """A variable that our own work needs: of the file, else of the daemon's environment. Raises EnvFileError."""
    try:
        found = read_env_file(path) if path else {}
    except (OSError, UnicodeDecodeError, BadLine) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) else ""
        raise EnvFileError(f"cannot read env_file {path}{why}", "correct it") from None
    value = found.get(name) or os.environ.get(name, "")
    if not value.strip():
        raise EnvFileError(f"{name} is set neither in env_file nor in the daemon's environment", "set it")
    return value


def decoded(content: bytes) -> str:
    """The text with its line ends as they are. Raises UnicodeDecodeError."""
    return content.decode()


def variables(text: str) -> dict[str, str]:
    """The last one of a name counts. Raises BadLine."""
    stream = io.StringIO(text.removeprefix(BYTE_ORDER_MARK), newline=None)
    found = dict(_variable(binding) for binding in parse_stream(stream) if binding.key or binding.error)
    return {name: value for name, value in found.items() if value is not None}


def with_variable(text: str, name: str, value: str) -> str:
    """The text in which the variable has the value. Raises BadLine, EnvFileError."""
    _check(name, value)
    before = variables(text)
    if before.get(name) == value:
        return text
    for form in _forms(value):
        changed = _set(text, name, form)
        if _means(changed, before | {name: value}):
            return changed
    raise EnvFileError(f"env_file can't hold the value of {name}", "keep it in a file of its own, and set its path")


def without_variable(text: str, name: str) -> str:
    """Raises BadLine, EnvFileError."""
    before = variables(text)
    mark, bindings = _bindings(text)
    changed = mark + "".join(
        _indentation(binding.original.string) if binding.key == name else binding.original.string
        for binding in bindings
    )
    if not _means(changed, {other: value for other, value in before.items() if other != name}):
        raise EnvFileError(f"{name} can't be taken out without a change to other variables", "edit the file by hand")
    return changed


def written(value: str) -> str:
    """The value as it stands in a file."""
    return next(form for form in _forms(value) if _means(f"V={form}", {"V": value}))


def _check(name: str, value: str) -> None:
    """Raises EnvFileError."""
    if not IDENTIFIER.fullmatch(name):
        raise EnvFileError(
            f"{name!r} is no name of a variable", "use letters, digits and _, and no digit at its beginning"
        )
    if "\0" in value:
        raise EnvFileError(f"the value of {name} contains a NUL character, which no variable can")
    try:
        size = len(name) + 1 + len(value.encode())
    except UnicodeEncodeError:
        raise EnvFileError(f"the value of {name} is not UTF-8 text", "encode it, for example as base64") from None
    if size > LONGEST_BYTES:
        raise EnvFileError(f"{name} is longer than the {LONGEST_BYTES} bytes that a variable can have")


def _forms(value: str) -> Iterator[str]:
    """Ways to write it, the plainest first."""
    if PLAIN.fullmatch(value):
        yield value
    has_control = CONTROL.search(value)
    if not has_control and "'" not in value and "\\" not in value:
        yield f"'{value}'"
    if not has_control and not SPECIAL_TO_SHELLS.search(value):
        yield f'"{value}"'
    yield f'"{value.translate(ESCAPES)}"'
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    yield f"'{escaped}'"


def _means(text: str, expected: dict[str, str]) -> bool:
    try:
        return variables(text) == expected
    except BadLine:
        return False


def _set(text: str, name: str, form: str) -> str:
    """In place of the value that counts, else in a new line at the end."""
    mark, bindings = _bindings(text)
    parts = [binding.original.string for binding in bindings]
    found = [at for at, binding in enumerate(bindings) if binding.key == name and binding.value is not None]
    if found:
        parts[found[-1]] = _with_value(parts[found[-1]], form)
    else:
        end = "\r\n" if "\r\n" in text else "\n"
        body = "".join(parts)
        parts += [*([end] if body and not body.endswith(("\n", "\r")) else []), f"{name}={form}{end}"]
    return mark + "".join(parts)


def _with_value(original: str, form: str) -> str:
    to_value = TO_VALUE.match(original)
    assert to_value
    head, rest = to_value[0], original[to_value.end() :]
    end = END_OF_LINE.search(rest)
    assert end
    body = rest[: end.start()]
    if quoted := QUOTED.match(body):
        behind = body[quoted.end() :]
    elif body.startswith("#") and head[-1:].isspace():
        space = head[len(head.rstrip()) :]
        head, behind = head.rstrip(), space + body
    else:
        comment = COMMENT.search(body)
        behind = comment[0] if comment else ""
    return head + form + behind + end[0]


def _indentation(original: str) -> str:
    """The empty lines before a variable, which the parser counts as part of it."""
    blank = original[: len(original) - len(original.lstrip())]
    return blank[: max(blank.rfind("\n"), blank.rfind("\r")) + 1]


def _bindings(text: str) -> tuple[str, list[Binding]]:
    """The byte order mark, and what follows it."""
    body = text.removeprefix(BYTE_ORDER_MARK)
    return text[: len(text) - len(body)], list(parse_stream(io.StringIO(body, newline="")))


def _variable(binding: Binding) -> tuple[str, str | None]:
    text, name, value = binding.original.string, binding.key, binding.value
    line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
    if binding.error or name is None:
        raise BadLine(f"line {line} is not NAME=value, or its quotes do not match")
    if "=" in name or "\0" in name:
        raise BadLine(f"line {line}: a name can't contain {'=' if '=' in name else 'a NUL character'}")
    if value is None:
        return name, None
    if "\0" in value:
        raise BadLine(f"line {line}: {name} contains a NUL character")
    if len(name.encode()) + 1 + len(value.encode()) > LONGEST_BYTES:
        raise BadLine(f"line {line}: {name} is longer than the {LONGEST_BYTES} bytes that a variable can have")
    return name, value
