"""What a version is configured with: by the file in its commit, or by the daemon's file if the commit has none."""

from dataclasses import dataclass

import msgspec

from slot_machine.app.seams import Trees
from slot_machine.core.config import FIXED, RECENT, Config, DaemonConfig, VersionConfig
from slot_machine.core.config_file import NO_START_COMMAND, parse
from slot_machine.core.errors import ConfigError, StageFailed
from slot_machine.core.model import short
from slot_machine.core.phases import Phase


@dataclass(frozen=True)
class Configurations:
    """`own` is what the daemon's file says, which is `own_path` in the repository; empty if it lies elsewhere.

    `app_config` is the path of the commit's file, if it is another one.
    """

    _trees: Trees
    _own: Config
    _own_path: str
    _app_config: str
    _has_proxy: bool

    async def of(self, commit: str) -> tuple[VersionConfig, list[str]]:
        """The configuration, and warnings. Raises StageFailed for an invalid file, GitFailed."""
        path = self._app_config or self._own_path
        text = await self._trees.file_at(commit, path) if path else None
        if text is None:
            return self._own_version(commit), []
        name = f"{path} of {short(commit)}"
        try:
            config, warnings = parse(text, name)
            self._check(config.version, name)
        except ConfigError as error:
            hint = error.hint or "correct it, commit it, and deploy that commit"
            raise StageFailed(Phase.RESOLVE, str(error), hint=hint) from None
        if differ := self._differing(text, config.daemon):
            warnings.append(f"{name}: {self._advice(differ)}")
        return config.version, warnings

    def _own_version(self, commit: str) -> VersionConfig:
        """Raises StageFailed."""
        own = self._own.version
        if not own.start_command:
            what = f"commit {short(commit)} has no {self._app_config}, and the daemon's file has no start_command"
            hint = "run `slot-machine init` in your working copy, commit what it writes, and deploy that commit"
            raise StageFailed(Phase.RESOLVE, what, hint=hint)
        return own

    def _check(self, version: VersionConfig, name: str) -> None:
        if not version.start_command.strip():
            raise ConfigError(f"{name}: {NO_START_COMMAND}")
        if version.strategy == "replace" and not self._has_proxy:
            raise ConfigError(
                f'{name}: strategy "replace" needs the proxy, which holds the requests',
                "start the daemon without --no-proxy, or leave out strategy",
            )
        if version.rehearse == RECENT and not self._has_proxy:
            raise ConfigError(
                f'{name}: rehearse "{RECENT}" needs the proxy, which counts the requests',
                "start the daemon without --no-proxy, or name the paths",
            )

    def _differing(self, text: bytes, daemon: DaemonConfig) -> list[str]:
        """The daemon's fields that the file sets to something else."""
        own, theirs = (msgspec.to_builtins(config) for config in (self._own.daemon, daemon))
        written = msgspec.json.decode(text, type=dict[str, object])
        return [field for field in written if field in theirs and theirs[field] != own[field]]

    def _advice(self, fields: list[str]) -> str:
        names = f"{', '.join(fields)} {'differs' if len(fields) == 1 else 'differ'}"
        if self._app_config:
            return f"{names} from the daemon's configuration, where such fields belong, so ignored: set them there"
        if fixed := [field for field in fields if field in FIXED]:
            return f"{names} from what the daemon runs with: stop and start it, which applies {', '.join(fixed)}"
        return f"{names} from what the daemon runs with: `slot-machine reload` applies the file's"
