"""What a version is configured with: by the file in its commit, or by the daemon's file if the commit has none."""

from dataclasses import dataclass

from slot_machine.app.seams import Trees
from slot_machine.core import commit_config
from slot_machine.core.commit_config import Own
from slot_machine.core.config import Config
from slot_machine.core.daemon_config import FIXED
from slot_machine.core.errors import ConfigError, StageFailed
from slot_machine.core.fields import RECENT
from slot_machine.core.version_config import VersionConfig

NO_ENGINE = "engine is for commands that act on a cluster, so ignored: this daemon runs the app on this machine"


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
        own = Own(self._own, self._own_path, self._app_config)
        path = own.path_in_commit
        found = own.of(commit, await self._trees.file_at(commit, path) if path else None)
        if not found.name:
            return found.version, []
        try:
            self._check(found.version, found.name)
        except ConfigError as error:
            raise commit_config.wrong(error) from None
        differing = tuple(field for field in found.differing if field != "engine")
        advice = [f"{found.name}: {self._advice(differing)}"] if differing else []
        if differing != found.differing:
            advice.append(f"{found.name}: {NO_ENGINE}")
        return found.version, [*found.warnings, *advice]

    async def unusable(self, commit: str) -> str:
        """Why its file lets no deploy of the commit succeed. Empty if one may. Raises GitFailed."""
        try:
            await self.of(commit)
        except StageFailed as error:
            return str(error)
        return ""

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

    def _advice(self, fields: tuple[str, ...]) -> str:
        names = commit_config.fields(fields)
        if self._app_config:
            return f"{names} from the daemon's configuration, where such fields belong, so ignored: set them there"
        if fixed := [field for field in fields if field in FIXED]:
            return f"{names} from what the daemon runs with: stop and start it, which applies {', '.join(fixed)}"
        return f"{names} from what the daemon runs with: `slot-machine reload` applies the file's"
