"""The Dockerfile of an app, and its `.dockerignore`. Pure: the same text for the same version.

The files that the setup depends on are copied first, so that its layer is used again while they are unchanged.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.setup.files import Files
from slot_machine.core.setup.inputs import inputs_of
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.image import layout
from slot_machine.engines.image.base import Base
from slot_machine.engines.image.listening import ANY
from slot_machine.engines.shape import App

ODD = re.compile(r"[*?\[\]\\$\"\n]")
"""Characters that COPY does not take as they are."""
CHOWN = f"--chown={layout.USER}:{layout.USER}"
CHECK_EVERY = "5s"
CHECK_WITHIN = "10s"
RETRIES = 3


class Places(NamedTuple):
    """Where the app's files and ours are in what is sent to the builder."""

    app: str = "app"
    own: str = "slot-machine"


def setup_files(version: VersionConfig, files: Files) -> tuple[str, ...]:
    """What the setup depends on, as on one machine. Empty if it may be any file."""
    if not version.setup_command:
        return ()
    inputs = inputs_of(version.setup_command, version.root, version.setup_inputs, files)
    names = tuple(sorted(inputs.digests))
    return () if inputs.doubt or inputs.unchecked or any(map(ODD.search, names)) else names


def labels(app: App) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": app.name,
        "org.opencontainers.image.revision": app.commit,
        "slot-machine.app": app.name,
        "slot-machine.commit": app.commit,
    }


def written(app: App, base: Base, inputs: Sequence[str], places: Places) -> str:
    """`inputs` are those of `setup_files`."""
    version = app.version
    everything = [f"COPY {CHOWN} {_json(_folder(places.app), f'{layout.APP}/')}", *_shared(version)]
    setup = [run(version.setup_command)] if version.setup_command else []
    first = [*_inputs(inputs, places), *setup, *everything] if inputs and setup else [*everything, *setup]
    lines = [
        "# By slot-machine, of slot-machine.json.",
        f"FROM {base.image}",
        "USER 0",
        f"ENV HOME={layout.HOME} PATH={layout.HOME}/.local/bin:$PATH",
        f"ENV SLOT_MACHINE=1 SLOT_MACHINE_SHARED={layout.SHARED}",
        *(f"COPY --from={image} {there} {here}" for image, there, here in base.copied),
        f"COPY {_json(posixpath.join(places.own, 'shim.sh'), layout.SHIM)}",
        run(_prepare(version)),
        *map(run, base.tools),
        f"USER {layout.USER}:{layout.USER}",
        f"WORKDIR {_escaped(layout.folder(version))}",
        *first,
        f"ENV SLOT_MACHINE_COMMIT={app.commit}",
        *([run(version.build_command)] if version.build_command else []),
        f"LABEL {' '.join(f'{name}={_json_word(value)}' for name, value in labels(app).items())}",
        f"ENV HOST={ANY} PORT={app.daemon.port} INTERNAL_PORT={app.daemon.internal_port}",
        f"EXPOSE {app.daemon.port}",
        "STOPSIGNAL SIGTERM",
        _health(version),
        f"ENTRYPOINT {_json(*layout.ENTRYPOINT)}",
        f"CMD {_json(*layout.web(version))}",
    ]
    return "\n".join(lines) + "\n"


def ignored(app: App, top: Path | None, prefix: str = "") -> str:
    """The `.dockerignore`: git's own files, the data folder, and the file with secrets. Paths are below `prefix`.

    `top` is the repository, in which a path that is absolute may be.
    """
    env_file, data = app.daemon.env_file or "", app.daemon.data or ""
    names = [data, env_file, posixpath.join(app.version.root, env_file) if env_file else ""]
    if top:
        names = [posixpath.relpath(name, top) if posixpath.isabs(name) else name for name in names]
    names = [posixpath.normpath(name) for name in names if name and not posixpath.isabs(name)]
    inside = [_literal(name) for name in names if name != "." and name.partition("/")[0] != ".."]
    patterns = dict.fromkeys((".git", "**/.git", "slot-machine-export", *inside))
    return "".join(f"{posixpath.join(prefix, pattern)}\n" for pattern in patterns)


def _literal(name: str) -> str:
    """As a pattern that has the name itself. White space stands for any character: the builder trims lines."""
    return re.sub(r"\s", "?", re.sub(r"([*?\[\]\\!#])", r"\\\1", name))


def _prepare(version: VersionConfig) -> str:
    """By root: the user, and the folders that belong to it."""
    user = layout.USER
    folders = f"{layout.HOME} {layout.SHARED} {shlex.quote(layout.folder(version))}"
    passwd = f"app:x:{user}:{user}:app:{layout.HOME}:/bin/sh"
    steps = [
        f"/bin/sh {layout.SHIM} check",
        f"{{ grep -q ':x:{user}:' /etc/passwd || echo {passwd} >> /etc/passwd; }}",
        f"{{ grep -q ':x:{user}:' /etc/group || echo app:x:{user}: >> /etc/group; }}",
        f"mkdir -p {folders}",
        f"chown -R {user}:{user} {layout.HOME} {layout.SHARED} {layout.APP}",
    ]
    if made := _made(version):
        steps.append(f"printf '%s\\n' {' '.join(map(shlex.quote, made))} > {layout.OWN}/shared")
    return " && ".join(steps)


def _made(version: VersionConfig) -> list[str]:
    """Folders that have to be in the volume before the app starts."""
    parents = [posixpath.dirname(name) for name in version.shared_files]
    return sorted({name.rstrip("/") for name in (*version.shared_dirs, *parents) if name})


def _shared(version: VersionConfig) -> list[str]:
    """Links to the volume, which gets what the commit has there."""
    steps = []
    for name in layout.shared(version):
        is_folder = name in version.shared_dirs
        here, there = name.rstrip("/"), posixpath.join(layout.SHARED, name.rstrip("/"))
        here = f"./{here}" if here.startswith("-") else here  # No option of the commands below.
        above = {posixpath.dirname(there), posixpath.dirname(here)} - {""}
        made = sorted(above | ({there} if is_folder else set()))
        copied = (
            f"cp -a {_quoted(f'{here}/.')} {_quoted(f'{there}/')}" if is_folder else f"cp -a {_quoted(here, there)}"
        )
        steps.append(
            f"mkdir -p {_quoted(*made)} && {{ [ ! -e {_quoted(here)} ] || {copied}; }}"
            f" && rm -rf {_quoted(here)} && ln -s {_quoted(there, here)}"
        )
    return [run(" && ".join(steps))] if steps else []


def _inputs(names: Sequence[str], places: Places) -> list[str]:
    """One COPY for each folder. The name of an input that is a folder ends with `/`."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        folder = name if name.endswith("/") else posixpath.dirname(name)
        by_folder.setdefault(folder, []).append(posixpath.join(places.app, name))
    return [
        f"COPY {CHOWN} {_json(*found, _folder(posixpath.join(layout.APP, folder)))}"
        for folder, found in by_folder.items()
    ]


def _health(version: VersionConfig) -> str:
    options = f"--interval={CHECK_EVERY} --timeout={CHECK_WITHIN} --retries={RETRIES}"
    start_s = max(1, -(-version.health_timeout_ms // 1000))
    return f"HEALTHCHECK {options} --start-period={start_s}s CMD {_json(*layout.health(version))}"


def run(command: str) -> str:
    """No text of a command is one of the builder's: it has no variables, heredocs or options for it."""
    return f"RUN {_json('/bin/sh', '-c', command)}"


def _folder(path: str) -> str:
    return f"{posixpath.normpath(path)}/"


def _quoted(*words: str) -> str:
    return " ".join(map(shlex.quote, words))


def _json(*words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


def _json_word(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)


def _escaped(path: str) -> str:
    """WORKDIR has variables of the builder in it."""
    return _json_word(path).replace("$", r"\$")
