"""The edge: what daemons and people ask of it, and how it looks after names and certificates."""

import asyncio
import contextlib
import logging
import os
import re
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from slot_machine.core.domains import BadDomain, canonical
from slot_machine.core.errors import EdgeRefused, StartRefused
from slot_machine.edge import binary, certificates, reach, reload, routes, sockets, static
from slot_machine.edge.certificates import Life, life_of
from slot_machine.edge.issued import Issued
from slot_machine.edge.progress import Progress
from slot_machine.edge.reload import Handed
from slot_machine.edge.serving import INTERNAL, Serving
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.traefik import Line, Runner
from slot_machine.edge.wire import AppStatus, DomainStatus, Held, Reply, Wish
from slot_machine.edge.wishes import ROOT, Wishes
from slot_machine.host.process.threads import in_thread
from slot_machine.host.user import account

TICK_S = 1.0
WISHES, ISSUED = "wishes", "issued.json"

log = logging.getLogger(__name__)


class Edge:
    """One thing at a time changes what is served, under `_changing`."""

    def __init__(self, settings: EdgeSettings, traefik: binary.Traefik, runner: Runner, token: str) -> None:
        """Raises OSError."""
        self._settings = settings
        self._state = Path(settings.state)
        self._storage = static.storage_of(settings)
        self._runner = runner
        self._changing = asyncio.Lock()
        self._looking: set[asyncio.Task[None]] = set()
        self._seen: tuple[int, int] = (0, 0)
        self._lives: dict[str, Life] = {}
        self._issued = Issued(self._state / ISSUED)
        self.progress = Progress()
        self.reload_asked = asyncio.Event()
        self.asker_fd = -1
        """The connection of who asked for the reload."""
        self.wishes = Wishes(self._state / WISHES)
        held, asks = self.wishes.held, self.progress.asks
        self._serving = Serving(settings, traefik, runner, token, held, asks, self._prune)

    async def start(self) -> None:
        """Raises StartRefused, EdgeRefused, OSError, ValueError."""
        if warning := certificates.prepare(self._storage):
            log.warning("%s", warning)
        self._look_at_certificates()
        await self._serving.start(self.said)

    async def hold(self, uid: int, wish: Wish, *, only_check: bool) -> Reply:
        """Raises EdgeRefused. Then Traefik serves what it served before."""
        async with self._changing:
            key, wish = self.wishes.take(uid, wish)
            held = Held(uid=uid, wish=wish)
            if not only_check and self.wishes.held.get(key) != held:
                await self._change(key, held)
        return Reply(apps=(self._status_of(held),), trusted_proxies=self._settings.trusted_proxies)

    async def withdraw(self, uid: int, data: str) -> None:
        """Raises EdgeRefused."""
        async with self._changing:
            if (key := routes.key_of(uid, data)) in self.wishes.held:
                await self._change(key, None)

    async def remove(self, uid: int, domain: str) -> None:
        """Takes all names from the app that has this one. Raises EdgeRefused."""
        async with self._changing:
            with contextlib.suppress(BadDomain):
                domain = canonical(domain)
            if not (key := self.wishes.key_with(domain)):
                raise EdgeRefused(f"no app has {domain}")
            owner = self.wishes.held[key].uid
            if uid not in (ROOT, owner):
                raise EdgeRefused(f"{domain} belongs to {account.name(owner)}", "ask that user, or root")
            await self._change(key, None)

    def is_operator(self, uid: int) -> bool:
        return uid in (ROOT, os.geteuid())

    async def take_over(self, handed: Handed) -> Reply:
        """Instead of `start`, after a reload. Returns what who asked for it is told. Raises OSError, ValueError."""
        self._look_at_certificates()
        async with self._changing:
            try:
                await self._serving.take_over(handed, self.said)
            except (EdgeRefused, StartRefused) as error:
                log.error("%s", error)
                return Reply(error=str(error), hint=error.hint)
            left = await in_thread(partial(sockets.connections, self._settings))
        log.info("Traefik was replaced; the old one serves %d connections for up to %s", left, static.GRACE)
        return Reply(traefik=self._serving.traefik.version, old_connections=left)

    async def reload(self, asker_fd: int) -> None:
        """Lets `run` end with what the next image needs; nothing changes from then on. Raises EdgeRefused, OSError."""
        await self._changing.acquire()
        try:
            await in_thread(partial(reload.check, self._settings))
            self.asker_fd = os.dup(asker_fd)
        except BaseException:
            self._changing.release()
            raise
        self.reload_asked.set()

    def status(self, uid: int) -> Reply:
        """Root sees all apps, others their own."""
        apps = [self._status_of(held) for held in self.wishes.held.values() if uid in (ROOT, held.uid)]
        return Reply(
            apps=tuple(sorted(apps, key=lambda app: app.app)),
            trusted_proxies=self._settings.trusted_proxies,
            traefik=self._serving.traefik.version if self._runner.running else "",
        )

    async def keep(self) -> None:
        """Looks after names and certificates. Runs until cancelled."""
        while True:
            try:
                async with self._changing:
                    await self._tick()
            except (OSError, EdgeRefused, ValueError) as error:
                log.error("%s", error)
            await asyncio.sleep(TICK_S)

    def said(self, line: Line) -> None:
        """By Traefik, as a warning or an error."""
        text = f"{line.message} {line.error}".strip()
        (log.warning if line.level == "warn" else log.error)("Traefik: %s", text)
        if line.level != "warn" and "certificate" in text.lower():
            for name, _ in self.wishes.names():
                if name in line.domains or re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text):
                    self.progress.failed(name, line.error or line.message, time.monotonic())

    async def _change(self, key: str, after: Held | None) -> None:
        """Raises EdgeRefused if Traefik does not take it on; then all is as it was."""
        before = self.wishes.held.get(key)
        self._put(key, after)
        hint = "the edge serves what it served before"
        try:
            self._look_at_certificates()
            reason = await self._serving.apply(key)
        except (EdgeRefused, OSError, ValueError) as error:
            reason, hint = str(error), getattr(error, "hint", "") or hint
        if reason:
            self._put(key, before)
            with contextlib.suppress(EdgeRefused, OSError, ValueError):
                await self._serving.apply(key, ask=False)
            names = ", ".join(held.wish.domains[0] for held in (after, before) if held)
            raise EdgeRefused(f"{names}: {reason}", hint)
        if after:
            self.wishes.keep(key, after)
            log.info("app %s has %s", after.wish.app, ", ".join(after.wish.names))
        else:
            self.wishes.drop(key)
            log.info("app %s has no domains any more", before.wish.app if before else key)

    def _put(self, key: str, held: Held | None) -> None:
        if held:
            self.wishes.held[key] = held
        else:
            self.wishes.held.pop(key, None)

    async def _tick(self) -> None:
        now_s = time.monotonic()
        self._look_at_certificates()
        for name in self.progress.late(now_s):
            self.progress.failed(name, "the certificate did not come in time", now_s)
        for name in self.progress.due(now_s):
            self._look(name)
        if self._should_prune():
            await self._serving.replace(self._serving.traefik)
        if reason := await self._serving.apply(ask=False):
            log.error("%s", reason)
        else:
            self.progress.were_asked(now_s)

    def _look(self, name: str) -> None:
        """Asks in the background whether the name leads here; once at a time."""
        if all(task.get_name() != name for task in self._looking):
            task = asyncio.get_running_loop().create_task(self._ask(name), name=name)
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _ask(self, name: str) -> None:
        path, answer = routes.probe_path(self._serving.token)
        asked = partial(reach.obstacle, name, path, answer, self._settings.acme_challenge)
        obstacle = self._issued.obstacle(name) or await in_thread(asked)
        if self.progress.looked(name, obstacle, time.monotonic()):
            log.info("%s leads here: its certificate is ordered", name)

    def _look_at_certificates(self) -> None:
        """Raises Broken, OSError."""
        self.progress.want([name for name, held in self.wishes.names() if held.wish.tls == "acme"])
        try:
            found = self._storage.stat()
        except FileNotFoundError:
            return
        if (found.st_mtime_ns, found.st_size) != self._seen:
            lives = certificates.read(self._storage)
            if any(self._seen):
                new = [name for name, life in lives.items() if life != self._lives.get(name)]
                self._issued.note(new, datetime.now(UTC))
            self._lives = lives
            certificates.keep_copy(self._storage)
            self._seen = found.st_mtime_ns, found.st_size
        self.progress.found(self._lives)

    def _should_prune(self) -> bool:
        """Whether Traefik would soon renew a certificate that nobody needs."""
        wanted, now = {name for name, _ in self.wishes.names()}, datetime.now(UTC)
        unwanted = (life for name, life in self._lives.items() if name not in wanted)
        return any(life.is_past(certificates.PRUNED_AT, now) for life in unwanted)

    def _prune(self) -> None:
        """Raises Broken, OSError."""
        if gone := certificates.prune(self._storage, {name for name, _ in self.wishes.names()}):
            log.info("removed certificates that no app needs: %s", ", ".join(gone))
            certificates.keep_copy(self._storage)

    def _status_of(self, held: Held) -> AppStatus:
        wish, now = held.wish, datetime.now(UTC)
        if wish.tls == "acme":
            told = tuple(self.progress.status(name, now) for name in wish.names)
        else:
            told = tuple(self._of_pair(held, name, now) for name in wish.names)
        return AppStatus(app=wish.app, user=account.name(held.uid), data=wish.data, port=wish.port, domains=told)

    def _of_pair(self, held: Held, name: str, now: datetime) -> DomainStatus:
        """Of an own certificate, or of one that the edge's own authority made."""
        try:
            key = routes.key_of(held.uid, held.wish.data)
            text = held.wish.cert.encode() or (self._state / INTERNAL / f"{key}.pem").read_bytes()
            life = life_of(text)
        except (OSError, ValueError) as error:
            return DomainStatus(domain=name, state="failed", detail=f"its certificate can't be read: {error}")
        overdue = life.is_overdue(now)
        expires = life.end.strftime("%Y-%m-%dT%H:%M:%SZ")
        detail = "its certificate was not renewed in time" if overdue else ""
        return DomainStatus(domain=name, state="overdue" if overdue else "valid", detail=detail, expires=expires)
