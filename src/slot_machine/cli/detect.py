"""What `init` finds out about a project from the files in its folder."""

import json
import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from slot_machine.host.files.regular import open_own, open_regular

RUNTIMES = {
    "node",
    "bun",
    "bunx",
    "deno",
    "npm",
    "npx",
    "yarn",
    "pnpm",
    "python",
    "python3",
    "ruby",
    "bundle",
    "sh",
    "bash",
}
"""Programs that a start script finds without `node_modules/.bin` on its PATH."""

SETUPS = (
    (("bun.lock", "bun.lockb"), "bun install --frozen-lockfile"),
    (("package-lock.json",), "npm ci"),
    (("uv.lock",), "uv sync --frozen"),
    (("requirements.txt",), "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
    (("Gemfile.lock",), "bundle config set --local deployment true && bundle install"),
)


class Detected(NamedTuple):
    """A field is empty if nothing was found for it."""

    setup_command: str
    start_command: str
    env_file: str


def detect(folder: Path) -> Detected:
    """Raises ValueError if package.json is not a JSON object."""
    return Detected(_setup_command(folder), _start_command(folder), ".env" if (folder / ".env").is_file() else "")


def ignore_once(folder: Path, entry: str) -> None:
    """Adds `entry` to .gitignore, unless it is there with or without slashes. Raises OSError."""
    path = folder / ".gitignore"
    text = b""
    with suppress(FileNotFoundError), os.fdopen(open_regular(path), "rb") as file:
        text = file.read()
    if any(line.strip().strip(b"/") == entry.encode() for line in text.splitlines()):
        return
    separator = b"" if not text or text.endswith(b"\n") else b"\n"
    with os.fdopen(open_own(path, os.O_APPEND), "ab") as file:
        file.write(separator + entry.encode() + b"\n")


def _setup_command(folder: Path) -> str:
    return next((command for names, command in SETUPS if any((folder / name).is_file() for name in names)), "")


def _start_command(folder: Path) -> str:
    path = folder / "package.json"
    if not path.is_file():
        return ""
    try:
        package = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(package, dict):
        raise ValueError(f"{path} is not a JSON object")  # noqa: TRY004 - a wrong file, not a wrong argument
    scripts = package.get("scripts")
    start = scripts.get("start") if isinstance(scripts, dict) else None
    if isinstance(start, str) and start.strip():
        return start if _runs_by_itself(start) else f'export PATH="$PWD/node_modules/.bin:$PATH"; {start}'
    main = package.get("main")
    if not isinstance(main, str) or not main.strip():
        return ""
    runtime = "bun" if _setup_command(folder).startswith("bun") else "node"
    return f"{runtime} {shlex.quote(main)}"


def _runs_by_itself(command: str) -> bool:
    """Whether the command runs without `node_modules/.bin` on the PATH, where `npm start` would put it."""
    program = next((word for word in command.split() if "=" not in word), "")
    return program in RUNTIMES or "/" in program
