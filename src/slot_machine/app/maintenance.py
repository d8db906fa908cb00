"""Maintenance: the proxy answers in place of the app, until somebody ends that."""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from slot_machine.core.errors import BadRequest, ConfigError
from slot_machine.core.model import rfc3339
from slot_machine.host.files.regular import open_owned
from slot_machine.proxy.wire import Maintenance as Order
from slot_machine.state.maintenance import Notice
from slot_machine.state.store import Store

MESSAGE = "Down for maintenance. Please try again later."
MOST_CHARACTERS = 4000
MOST_BYTES = 4_000_000
"""Of a page. Each worker keeps it in memory."""

COPY = "maintenance.page"
"""In the data folder: what the workers read, whatever becomes of the page meanwhile."""

HTML = "text/html; charset=utf-8"
KINDS = {".txt": "text/plain; charset=utf-8", ".json": "application/json"}
"""By the ending of the file's name; all others are HTML. The module `mimetypes` would read the machine's tables."""

log = logging.getLogger(__name__)


class Mode(Protocol):
    """What it needs of the traffic mode."""

    async def maintain(self, maintenance: Order | None, /) -> None: ...


class Maintenance:
    """`page` is the path of the field maintenance_page; None if it is not set."""

    def __init__(self, store: Store, mode: Mode, page: Path | None, data: Path) -> None:
        self._store = store
        self._mode = mode
        self._page = page
        self._copy = data / COPY

    @property
    def notice(self) -> Notice | None:
        """None while there is no maintenance. Raises sqlite3.Error."""
        return self._store.maintenance()

    @property
    def order(self) -> Order | None:
        """For workers. Raises sqlite3.Error."""
        notice = self.notice
        return Order(notice.message, str(self._copy) if notice.kind else "", notice.kind) if notice else None

    @property
    def warnings(self) -> list[str]:
        """Which visitors reach the app all the same. Raises sqlite3.Error."""
        live = self._store.state().live
        if not (live and self.notice) or live.config.health_endpoint.partition("?")[0] != "/":
            return []
        return ["visitors of / still reach the app, because / is its health_endpoint: give that a path of its own"]

    async def begin(self, message: str) -> None:
        """Also while there is one: then the page and the message are new.

        Raises Impossible, BadRequest, ConfigError for a page that can't be read, sqlite3.Error.
        """
        if len(message) > MOST_CHARACTERS or "\0" in message:
            what = f"the message has more than {MOST_CHARACTERS} characters, or a NUL character"
            raise BadRequest(what, "name a file in the field maintenance_page")
        before = self.notice
        # Nothing is stored where the traffic mode knows no maintenance.
        await self._mode.maintain(self.order)
        since = before.since if before else rfc3339(datetime.now(UTC))
        self._store.save_maintenance(Notice(message or MESSAGE, since, self._copied()))
        await self._mode.maintain(self.order)
        log.warning("under maintenance")

    async def end(self) -> None:
        """Does nothing if there is none. Raises Impossible, sqlite3.Error."""
        self._store.save_maintenance(None)
        await self._mode.maintain(None)
        log.info("no maintenance any more")

    def _copied(self) -> str:
        """Copies the page to where workers read it. Returns its Content-Type; empty if there is none.

        Raises ConfigError.
        """
        if not self._page:
            return ""
        new = self._copy.with_name(f"{COPY}.new")
        try:
            with os.fdopen(open_owned(self._page), "rb") as file:
                content = file.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise OSError(0, f"it is larger than {MOST_BYTES} bytes")
            new.write_bytes(content)
            new.replace(self._copy)
        except OSError as error:
            what = f"cannot use maintenance_page {self._page}: {error.strerror}"
            raise ConfigError(what, "correct the field in slot-machine.json, or the file") from None
        return KINDS.get(self._page.suffix, HTML)
