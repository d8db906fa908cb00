"""What of this machine an installed package may depend on: runtimes, package managers, settings, the system."""

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from slot_machine.host.files.regular import open_regular
from slot_machine.host.process import commands
from slot_machine.host.process.threads import in_thread

LIMIT_S = 10.0
OS_RELEASE = Path("/etc/os-release")
LARGEST = 1_000_000

PYTHON = "import platform, sys, sysconfig; print(sys.version, sysconfig.get_config_var('SOABI'), platform.machine())"
NODE = "process.version + ' ' + process.versions.modules + ' ' + process.arch"
QUESTIONS: dict[str, tuple[str, ...]] = {
    "node": ("-p", NODE),
    "bun": ("--revision",),
    "ruby": ("-e", "print RUBY_DESCRIPTION, RbConfig::CONFIG['ruby_version']"),
    "php": ("-n", "-r", "echo PHP_VERSION, ' ', PHP_OS, ' ', php_uname('m');"),
}
"""A file on the PATH may only choose the runtime, as those of pyenv and nvm do, so the runtime itself is asked."""

SETTINGS = re.compile(
    r"NODE_ENV|(npm_|pnpm_|yarn_|bun_|pip_|uv_|poetry_|pdm_|pipenv_|bundle_|gem_|composer_).*"
    r"|(puppeteer_|playwright_|cypress_|electron_|prisma_|sharp_|sentrycli_|node_gyp_).*"
    r"|CC|CXX|CFLAGS|CXXFLAGS|CPPFLAGS|LDFLAGS|MAKEFLAGS|PKG_CONFIG_PATH|RUSTFLAGS|PYTHON|PYTHONPATH",
    re.IGNORECASE,
)
"""Variables that change what is installed, or what packages download and compile while they are installed."""


async def facts(folder: Path, env: Mapping[str, str], owner: str, programs: Sequence[str]) -> dict[str, str]:
    """By what a message calls them. `folder` is where the setup runs: it may choose the versions of `programs`."""
    answers = await asyncio.gather(*(_version(name, folder, env, owner) for name in programs))
    system = await in_thread(lambda: _system(Path(env.get("HOME", "/"))))
    settings = {
        name: _digest(value.encode(errors="surrogateescape")) for name, value in env.items() if SETTINGS.fullmatch(name)
    }
    return dict(zip(programs, answers, strict=True)) | system | settings


async def _version(name: str, folder: Path, env: Mapping[str, str], owner: str) -> str:
    question = ("-I", "-c", PYTHON) if re.fullmatch(r"python[0-9.]*", name) else QUESTIONS.get(name)
    if question is None:
        return await in_thread(lambda: _identity(name, env))
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            code, out, _ = await commands.run([name, *question], folder, env, owner)
        if code == 0:
            return out.strip()
    return "missing"


def _identity(name: str, env: Mapping[str, str]) -> str:
    """Which file it is, and the version in the package.json that it belongs to. Blocks."""
    found = shutil.which(name, path=env.get("PATH", os.defpath))
    if not found:
        return "missing"
    path = Path(os.path.realpath(found))
    with suppress(OSError):
        status = path.stat()
        manifest = next((up / "package.json" for up in list(path.parents)[:3] if (up / "package.json").is_file()), None)
        return f"{path} {status.st_size} {status.st_mtime_ns} {_digest(_content(manifest)) if manifest else ''}"
    return str(path)


def _system(home: Path) -> dict[str, str]:
    """Blocks."""
    libc = ""
    with suppress(OSError, ValueError):
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    release = _content(OS_RELEASE).decode(errors="replace")
    system = [
        f"{os.uname().sysname} {os.uname().machine} {libc}",
        *re.findall(r"^(?:ID|VERSION_ID)=.*", release, re.MULTILINE),
    ]
    return {"the operating system": " ".join(system), "~/.npmrc": _digest(_content(home / ".npmrc"))}


def _content(path: Path) -> bytes:
    with suppress(OSError), os.fdopen(open_regular(path), "rb") as file:
        return file.read(LARGEST)
    return b""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if content else ""
