"""Checks of one app: its daemon, ports, folders and env_file."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from slot_machine import __version__
from slot_machine.cli.client import Client
from slot_machine.cli.doctor.finding import Finding, Subject, note, ok, refused, wrong
from slot_machine.core.errors import SlotMachineError, StartRefused
from slot_machine.daemon import datafolder, lock
from slot_machine.host.network import ports
from slot_machine.host.process import proc
from slot_machine.host.process.env_file import BadLine, read_env_file
from slot_machine.host.user import account, rights

ANSWER_S = 5.0
OTHERS = 0o077
FIRST_FREE_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def daemon(subject: Subject) -> Iterator[Finding]:
    path, holder = subject.data / lock.NAME, subject.holder
    if os.path.lexists(path) and not path.is_file():
        yield wrong("daemon", f"{path} is no file, so no daemon can lock it", f"remove it: rm -r {path}")
    elif not holder:
        yield note("daemon", f"none runs for {subject.data}", "start one: `slot-machine start`, or its service")
    else:
        yield from _answer(subject, holder.pid, holder.api_port)


def _answer(subject: Subject, pid: int, api_port: int) -> Iterator[Finding]:
    try:
        known = Client(api_port, str(subject.data), answer_s=ANSWER_S).status()
    except SlotMachineError as error:
        yield wrong(
            "daemon",
            f"process {proc.named(pid)} holds {subject.data / lock.NAME}, and does not answer: {error}",
            f"see its output; if it hangs, end it (kill -KILL {pid}) and start it again: the app keeps serving",
        )
        return
    if (version := known.get("version")) != __version__:
        yield note("daemon", f"it runs version {version}, and {__version__} is installed", "run `slot-machine reload`")
    else:
        yield ok("daemon", f"pid {pid} answers")
    if known.get("env_changed"):
        yield note("env_file", "it has changed since the app was started", "run `slot-machine restart`")


def used_ports(subject: Subject) -> Iterator[Finding]:
    config, holder = subject.options.config.daemon, subject.holder
    if holder and holder.api_port != config.api_port:
        yield note(
            "ports",
            f"the daemon has api_port {holder.api_port}, and the configuration says {config.api_port}",
            "unless it was started with --api-port, stop it and start it again: a reload can't change the port",
        )
    elif holder:
        yield ok("ports", f"the daemon has {config.port} and {config.api_port}")
    else:
        wanted = (config.port, config.internal_port, config.api_port, config.preview_port, config.webhook_port)
        every = dict.fromkeys(wanted)
        yield from (_port(port) for port in every if port)


def _port(port: int) -> Finding:
    lowest = int(FIRST_FREE_PORT.read_text()) if FIRST_FREE_PORT.exists() else 1024
    if port < lowest and os.geteuid():
        return note(
            "ports",
            f"only root may listen on {port}",
            "run the daemon as a service (`slot-machine install`) or as root",
        )
    if ports.is_free(port):
        return _free(port)
    by = ports.used_by(port) or "a process that can't be seen"
    return wrong("ports", f"{port} is used by {by}", "choose another port in slot-machine.json, or end that")


def _free(port: int) -> Finding:
    if port < ports.ephemeral_start():
        return ok("ports", f"{port} is free")
    return note(
        "ports",
        f"{port} is in the range of ports that the kernel gives to outgoing connections, so it may be taken at a start",
        f"choose one below {ports.ephemeral_start()}, or name it in net.ipv4.ip_local_reserved_ports (sysctl)",
    )


def folders(subject: Subject) -> Iterator[Finding]:
    options, data = subject.options, subject.data
    try:
        if options.config.daemon.user_name:  # Else nobody has more rights than the user whose folder it is.
            datafolder.check_place(data, options.repo)
        datafolder.check_contents(data, options.repo)
    except StartRefused as error:
        yield refused("permissions", error)
        return
    if not data.exists():
        yield ok("permissions", f"{data} is made by the first start")
        return
    found = data.stat()
    if os.geteuid() not in (0, found.st_uid):
        who = account.name(found.st_uid)
        yield wrong("permissions", f"{data} belongs to {who}", f"run slot-machine as {who}, or as root")
    elif not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield wrong("permissions", f"{data} can't be written to", f"chmod u+rwx {data}, unless its disk is read-only")
    elif stat.S_IMODE(found.st_mode) & OTHERS & ~datafolder.PASSABLE:
        yield note("permissions", f"others may enter {data}", f"the next start changes it, or chmod 700 {data}")
    else:
        yield ok("permissions", f"{data} belongs to {account.name(found.st_uid)}")


def env_file(subject: Subject) -> Iterator[Finding]:
    name = subject.options.config.daemon.env_file
    if not name:
        return
    path = subject.options.config_file.parent / name
    user = rights.account()
    who = f" for {user.name}" if user else ""
    try:
        variables = read_env_file(path)
    except FileNotFoundError:
        yield wrong("env_file", f"{path} does not exist, so the app can't be started", "write it, or remove the field")
    except OSError as error:
        yield wrong(
            "env_file",
            f"{path} can't be read{who}: {error.strerror}",
            "let the user that runs the app read it, and pass each folder on the way",
        )
    except UnicodeDecodeError:
        yield wrong("env_file", f"{path} is not UTF-8 text", "write it as UTF-8")
    except BadLine as error:
        yield wrong("env_file", f"{path}, {error}", "correct that line")
    else:
        if path.stat().st_mode & OTHERS:
            yield note("env_file", f"other users may read {path}", f"chmod 600 {path}")
        else:
            yield ok("env_file", f"{path} has {len(variables)} variables")
