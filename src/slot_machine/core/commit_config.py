"""Which file a commit is configured by: the one in the commit, else the operator's or daemon's own."""

from typing import NamedTuple

import msgspec

from slot_machine.core.config import Config
from slot_machine.core.config_file import parse_version
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.errors import ConfigError, StageFailed
from slot_machine.core.model import short
from slot_machine.core.phases import Phase
from slot_machine.core.version_config import VersionConfig


class Found(NamedTuple):
    """`name` is that of the commit's file, for people; empty if the commit has none.

    `differing` has the daemon's fields that it sets to something else than the own file.
    """

    version: VersionConfig
    name: str = ""
    differing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Own(NamedTuple):
    """What the own file says, which is `path` in the repository; empty if it lies elsewhere.

    `app_config` is the path of the commit's file, if it is another one.
    """

    config: Config
    path: str
    app_config: str

    @property
    def path_in_commit(self) -> str:
        """Empty if no commit has a file of its own."""
        return self.app_config or self.path

    def of(self, commit: str, text: bytes | None) -> Found:
        """`text` is that of the commit's file; None if it has none. Raises StageFailed for an invalid one."""
        if text is None:
            return Found(self._own_version(commit))
        name = f"{self.path_in_commit} of {short(commit)}"
        try:
            version, fields, warnings = parse_version(text, name)
        except ConfigError as error:
            raise wrong(error) from None
        return Found(version, name, tuple(_differing(fields, self.config.daemon)), tuple(warnings))

    def _own_version(self, commit: str) -> VersionConfig:
        own = self.config.version
        if not own.start_command:
            file = "the daemon's file" if self.config.daemon.engine is None else "the own file"
            what = f"commit {short(commit)} has no {self.app_config}, and {file} has no start_command"
            hint = "run `slot-machine init` in your working copy, commit what it writes, and deploy that commit"
            raise StageFailed(Phase.RESOLVE, what, hint=hint)
        return own


def wrong(error: ConfigError) -> StageFailed:
    """For a commit whose file can't be used."""
    hint = error.hint or "correct it, commit it, and deploy that commit"
    return StageFailed(Phase.RESOLVE, str(error), hint=hint)


def fields(names: tuple[str, ...]) -> str:
    """Such as `port differs`."""
    return f"{', '.join(names)} {'differs' if len(names) == 1 else 'differ'}"


def _differing(raw: dict[str, object], own: DaemonConfig) -> list[str]:
    """The daemon's fields that `raw` sets to something else, or to what they can't be."""
    return [field for field in raw if field in DaemonConfig.__struct_fields__ and not _is_same(field, raw[field], own)]


def _is_same(field: str, value: object, own: DaemonConfig) -> bool:
    try:
        theirs = msgspec.convert({"port": own.port, field: value}, DaemonConfig)
    except msgspec.ValidationError:
        return False
    return bool(getattr(theirs, field) == getattr(own, field))
