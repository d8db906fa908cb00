"""What a share costs a worker: two workers, one of which has a share of a half in force."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.__main__ import free_port

from bench.by_path import Cost, cost, worker
from bench.contenders import APP_CONF, Contender, nginx
from bench.load import Kind
from slot_machine.core.upstream import PUBLIC, Address, Beside, Upstream

SHARE_ID = "5a5a5a5a"


def costs() -> list[Cost]:
    with tempfile.TemporaryDirectory(prefix="slot-machine-bench-") as name, workers(Path(name)) as pair:
        return [cost(kind, *pair, without_share(kind)) for kind in kinds(pair[0].port)]


def without_share(kind: Kind) -> Kind:
    """With a cookie of the app in place of the share's, which the proxy would end."""
    return kind._replace(cookie=kind.cookie.replace("slot-machine-share", "preferences-of-app"))


def kinds(port: int) -> list[Kind]:
    """`port` is that of the worker with a share."""
    cookie = f"slot-machine-share-{port}={SHARE_ID}.4999"
    return [
        Kind("a visitor who comes back", "/small", cookie=cookie),
        Kind("the same, every target and cookie new", "/small", distinct=True, cookie=cookie),
        Kind("a client that is no browser, without cookies", "/small", cookie="script"),
        Kind("a first visit, which gets the cookie", "/small"),
        Kind("the same, every browser, target and cookie new", "/small", visitors=True),
    ]


@contextmanager
def workers(folder: Path) -> Iterator[tuple[Contender, Contender]]:
    app_port = free_port()
    running = [nginx(folder / "app", APP_CONF, app_port, 0)]
    beside = Beside(Upstream(2, "b", {PUBLIC: Address("127.0.0.1", app_port)}), share=5000, share_id=SHARE_ID)
    try:
        found = []
        for each in (beside, None):
            process, port = worker("slot_machine.proxy", folder, app_port, each)
            running.append(process)
            found.append(Contender("share" if each else "none", "", port, [process.pid]))
        yield found[0], found[1]
    finally:
        for process in running:
            process.terminate()
            process.wait()
