"""`init`: writes the first slot-machine.json and a line in .gitignore. It writes to neither through a link."""

import os
from pathlib import Path

import msgspec

from slot_machine.cli import detect
from slot_machine.core.config import Config, DaemonConfig, VersionConfig
from slot_machine.core.config_file import render
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import ConfigError
from slot_machine.host import printing
from slot_machine.host.files.regular import open_own
from slot_machine.host.network import ports

FOLDER = Path()
"""A relative path, because nobody can replace the current folder of a process by another one."""


def run(data: str, *, force: bool) -> None:
    """`data` is the name of the data folder, which git has to ignore. Raises ConfigError."""
    kept = (FOLDER / FILE_NAME).exists() and not force
    found = None if kept else _detected()
    try:
        detect.ignore_once(FOLDER, data)
    except OSError as error:
        hint = f"replace it by a file of its own, or have git ignore {data} in another way"
        raise ConfigError(f"cannot write {Path.cwd() / '.gitignore'}: {error.strerror}", hint) from None
    if found:
        _write(found)
    else:
        printing.note(f"kept {Path.cwd() / FILE_NAME}, which exists (--force writes it anew)")


def _detected() -> detect.Detected:
    try:
        return detect.detect(FOLDER)
    except ValueError as error:
        raise ConfigError(str(error), "correct it, then run init again") from None


def _write(found: detect.Detected) -> None:
    version = VersionConfig(start_command=found.start_command, setup_command=found.setup_command)
    config = Config(version, _with_free_ports(DaemonConfig(env_file=found.env_file)))
    path = Path.cwd() / FILE_NAME
    try:
        with os.fdopen(open_own(FOLDER / FILE_NAME), "w") as file:
            file.truncate()
            file.write(render(config))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "remove it, then run init again") from None
    printing.result(f"wrote {path}")
    if not found.start_command:
        printing.note("fill in start_command: found nothing that says how to start the app")
    if not found.setup_command:
        printing.note("fill in setup_command if the app needs a step after checkout, such as an install")


def _with_free_ports(config: DaemonConfig) -> DaemonConfig:
    return msgspec.structs.replace(
        config,
        port=(port := _free("port", config.port)),
        internal_port=port,
        api_port=_free("api_port", config.api_port),
    )


def _free(name: str, port: int) -> int:
    chosen = ports.free_from(port)
    if chosen != port:
        by = ports.used_by(port)
        printing.note(f"{name} is {chosen}, as {port} is in use{by and f' by {by}'}")
    return chosen
