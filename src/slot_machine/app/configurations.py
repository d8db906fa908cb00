"""What a version is configured with: by the file in its commit, or by the daemon's file if the commit has none."""

from dataclasses import dataclass

import msgspec

from slot_machine.app.seams import Trees
from slot_machine.core.config import Config
from slot_machine.core.config_file import parse_version
from slot_machine.core.daemon_config import FIXED, DaemonConfig
from slot_machine.core.errors import ConfigError, StageFailed
from slot_machine.core.fields import RECENT
from slot_machine.core.model import short
from slot_machine.core.phases import Phase
from slot_machine.core.version_config import VersionConfig


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
            version, fields, warnings = parse_version(text, name)
            self._check(version, name)
        except ConfigError as error:
            hint = error.hint or "correct it, commit it, and deploy that commit"
            raise StageFailed(Phase.RESOLVE, str(error), hint=hint) from None
        if differ := _differing(fields, self._own.daemon):
            warnings.append(f"{name}: {self._advice(differ)}")
        return version, warnings

    def _own_version(self, commit: str) -> VersionConfig:
        """Raises StageFailed."""
        own = self._own.version
        if not own.start_command:
            what = f"commit {short(commit)} has no {self._app_config}, and the daemon's file has no start_command"
            hint = "run `slot-machine init` in your working copy, commit what it writes, and deploy that commit"
            raise StageFailed(Phase.RESOLVE, what, hint=hint)
        return own

    def _check(self, version: VersionConfig, name: str) -> None:
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

    def _advice(self, fields: list[str]) -> str:
        names = f"{', '.join(fields)} {'differs' if len(fields) == 1 else 'differ'}"
        if self._app_config:
            return f"{names} from the daemon's configuration, where such fields belong, so ignored: set them there"
        if fixed := [field for field in fields if field in FIXED]:
            return f"{names} from what the daemon runs with: stop and start it, which applies {', '.join(fixed)}"
        return f"{names} from what the daemon runs with: `slot-machine reload` applies the file's"


def _differing(raw: dict[str, object], own: DaemonConfig) -> list[str]:
    """The daemon's fields that `raw` sets to something else, or to what they can't be."""
    return [field for field in raw if field in DaemonConfig.__struct_fields__ and not _is_same(field, raw[field], own)]


def _is_same(field: str, value: object, own: DaemonConfig) -> bool:
    try:
        theirs = msgspec.convert({"port": own.port, field: value}, DaemonConfig)
    except msgspec.ValidationError:
        return False
    return bool(getattr(theirs, field) == getattr(own, field))
