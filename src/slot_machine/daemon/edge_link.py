"""The app's domains: what the daemon asks of the edge of this machine, and how far the edge is with it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from slot_machine.app.opening import Options
from slot_machine.core.daemon_config import DaemonConfig, OwnCertificate
from slot_machine.core.errors import ConfigError, EdgeGone, EdgeRefused
from slot_machine.edge import link
from slot_machine.edge.wire import DomainStatus, Hook, Reply, Request, Wish
from slot_machine.host.process.threads import in_thread

EVERY_S = 60.0
UNTIL_DONE_S = 2.0
LOOPBACK = ("127.0.0.0/8", "::1/128")
WRONG = ("failed", "overdue")

log = logging.getLogger(__name__)


class Told(Protocol):
    def certificate_failed(self, what: str) -> None: ...


def wish_of(options: Options, secret: str = "", hook_port: int = 0) -> Wish:
    """`hook_port` is where the webhook listens, 0 if it does not. Raises ConfigError if a certificate can't be read."""
    config = options.config.daemon
    cert = key = ""
    tls = config.tls
    if isinstance(tls, OwnCertificate):
        folder = options.config_file.parent
        cert, key = _text(folder / tls.cert, "tls.cert"), _text(folder / tls.key, "tls.key")
    webhook = config.webhook
    hook = None
    if webhook and webhook.domain and hook_port:
        hook = Hook(domain=webhook.domain, path=webhook.path, port=hook_port)
    return Wish(
        hook=hook,
        app=config.name or "app",
        data=str(options.data),
        port=config.port,
        domains=config.domains,
        redirects=config.redirects,
        tls="own" if isinstance(tls, OwnCertificate) else tls,
        cert=cert,
        key=key,
        http3=config.http3,
        secret=secret if options.proxy else "",
    )


def checked(options: Options) -> Options:
    """With the proxies in front of the edge. Raises ConfigError, and EdgeRefused if another app has one of the names.

    Without an edge, as at the boot of the machine, the daemon starts all the same.
    """
    if not options.config.daemon.domains:
        return options
    try:
        reply = link.ask(Request(op="check", wish=wish_of(options)))
    except EdgeGone as error:
        log.warning("%s: it is asked again; %s", error, error.hint)
        reply = Reply()
    daemon = options.config.daemon
    trusted = tuple(dict.fromkeys((*LOOPBACK, *daemon.trusted_proxies, *reply.trusted_proxies)))
    changed: DaemonConfig = msgspec.structs.replace(daemon, trusted_proxies=trusted)
    return options._replace(config=options.config._replace(daemon=changed))


class Domains:
    """`ask` is `link.ask`."""

    def __init__(
        self, options: Options, notices: Told, ask: Callable[[Request], Reply] = link.ask, hook_port: int = 0
    ) -> None:
        self._hook_port = hook_port
        self._options = options
        self._notices = notices
        self._ask = ask
        self._told: set[tuple[str, str]] = set()
        self._said = ""
        self.status: list[DomainStatus] = self._all("waiting", "the edge was not asked yet")

    async def keep(self) -> None:
        """Hands the wish in again and again, also to an edge that has lost it. Runs until cancelled."""
        if not self._options.config.daemon.domains:
            await self._withdraw()
            return
        while True:
            await self.hand_in()
            done = all(domain.state in ("valid", "overdue") for domain in self.status)
            await asyncio.sleep(EVERY_S if done else UNTIL_DONE_S)

    async def hand_in(self) -> None:
        """Raises nothing."""
        try:
            self.status = list((await in_thread(self._hold)).apps[0].domains)
            self._said = ""
        except EdgeGone as error:
            self.status = self._all("waiting", str(error))
            self._log(str(error))
        except (EdgeRefused, ConfigError, OSError, IndexError) as error:
            self.status = self._all("failed", str(error))
            self._log(f"the edge does not serve {', '.join(self._options.config.daemon.domains)}: {error}")
        self._tell()

    def _hold(self) -> Reply:
        wish = wish_of(self._options, link.secret_of(self._options.data), self._hook_port)
        return self._ask(Request(op="hold", wish=wish))

    async def _withdraw(self) -> None:
        """What an earlier daemon of this data folder has asked for, if it did."""
        secret = link.secret_file(self._options.data)
        if not secret.exists():
            return
        try:
            await in_thread(lambda: self._ask(Request(op="withdraw", data=str(self._options.data))))
            secret.unlink(missing_ok=True)
        except (EdgeGone, EdgeRefused, OSError) as error:
            log.warning("cannot take the app's domains from the edge: %s", error)

    def _all(self, state: str, detail: str) -> list[DomainStatus]:
        config = self._options.config.daemon
        names = (*config.domains, *config.redirects)
        return [msgspec.convert({"domain": name, "state": state, "detail": detail}, DomainStatus) for name in names]

    def _tell(self) -> None:
        """Each failure once, until it is over."""
        wrong = {(domain.domain, domain.state): domain for domain in self.status if domain.state in WRONG}
        for what, domain in wrong.items():
            if what not in self._told:
                until = f", which ends at {domain.expires}" if domain.expires else ""
                self._notices.certificate_failed(f"certificate of {domain.domain}{until}: {domain.detail}")
        self._told = set(wrong)

    def _log(self, text: str) -> None:
        if text != self._said:
            log.warning("%s", text)
        self._said = text


def _text(path: Path, field: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no PEM text"
        raise ConfigError(f"cannot read {field} {path}: {reason}") from None
