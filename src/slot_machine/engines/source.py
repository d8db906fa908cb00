"""What the operator's computer says of the app: its slot-machine.json, a commit of the repository, and `env_file`."""

import asyncio
import os
import posixpath
from pathlib import Path
from typing import NamedTuple

from slot_machine.core import commit_config
from slot_machine.core.commit_config import Own
from slot_machine.core.config import Config
from slot_machine.core.config_file import parse
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import EngineConfig
from slot_machine.core.errors import ConfigError, EnvFileError
from slot_machine.core.origin import Description
from slot_machine.engines.shape import App, Values, image_of, name_of
from slot_machine.host.files.regular import open_regular
from slot_machine.host.git import contents
from slot_machine.host.git.git import Git
from slot_machine.host.process.env_file import BadLine, read_env_file

DOCKERFILE = "Dockerfile"
"""In `root`: the image is what it says, and has no `shim.sh` of ours."""


class Source(NamedTuple):
    """`file` is the nearest slot-machine.json, `repo` a folder in the repository. `warnings` are those of the file."""

    file: Path
    repo: Path
    config: Config
    name: str
    warnings: tuple[str, ...] = ()

    @property
    def daemon(self) -> DaemonConfig:
        return self.config.daemon

    @property
    def engine(self) -> EngineConfig:
        """Raises ConfigError."""
        if not self.daemon.engine:
            raise ConfigError(f"{self.file} has no `engine`", "docs/engines.md says how to set it")
        return self.daemon.engine

    @property
    def env_file(self) -> Path | None:
        return self.file.parent / self.daemon.env_file if self.daemon.env_file else None

    def values(self) -> Values:
        """What `env_file` has now. Raises EnvFileError, which names no value."""
        if not (path := self.env_file):
            return Values({})
        try:
            return Values(read_env_file(path))
        except FileNotFoundError:
            hint = "write it, or take `env_file` out of slot-machine.json"
            raise EnvFileError(f"there is no env_file {path}", hint) from None
        except UnicodeDecodeError:
            raise EnvFileError(f"env_file {path} is not UTF-8 text", "save it as UTF-8") from None
        except BadLine as error:
            raise EnvFileError(f"env_file {path}, {error}", "correct that line") from None
        except OSError as error:
            raise EnvFileError(f"cannot read env_file {path}: {error.strerror}", "run this as its owner") from None

    def app(self, commit: str, values: Values) -> "Described":
        """The app at that commit, which is a full hash. Raises StageFailed for a bad file in it, GitFailed."""
        return asyncio.run(self._app(commit, values))

    async def _app(self, commit: str, values: Values) -> "Described":
        git = Git(self.repo)
        path = await contents.path_in_repository(git, self.repo.resolve(), self.file.resolve())
        own = Own(self.config, path, self.daemon.app_config or "")
        asked = own.path_in_commit
        found = own.of(commit, await contents.file_at(git, self.repo, commit, asked) if asked else None)
        warnings = [*self.warnings, *found.warnings]
        if found.differing:
            differs = f"{found.name}: {commit_config.fields(found.differing)} from {self.file}"
            warnings.append(f"{differs}, which counts, so ignored")
        dockerfile = posixpath.normpath(posixpath.join(found.version.root, DOCKERFILE))
        app = App(
            name=self.name,
            commit=commit,
            image=image_of(self.engine, self.name, commit),
            version=found.version,
            daemon=self.daemon,
            env_digest=values.digest,
            own_dockerfile=await contents.file_at(git, self.repo, commit, dockerfile) is not None,
        )
        return Described(app, await contents.describe(git, self.repo, commit), tuple(warnings))


class Described(NamedTuple):
    """`warnings` are those of the configuration."""

    app: App
    description: Description
    warnings: tuple[str, ...]


def source(file: Path, repo: Path) -> Source:
    """Raises ConfigError."""
    try:
        with os.fdopen(open_regular(file), "rb") as opened:
            config, warnings = parse(opened.read(), file.name)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", "run this as a user who may read it") from None
    return Source(file, repo, config, name_of(config.daemon, file.resolve().parent.name), tuple(warnings))
