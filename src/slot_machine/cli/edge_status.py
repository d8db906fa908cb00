"""What `edge status` says."""

from collections.abc import Iterator

from slot_machine.cli.certificate_words import told
from slot_machine.cli.words import columns, cut, wrap
from slot_machine.edge.wire import AppStatus, Reply


def lines(reply: Reply) -> Iterator[str]:
    yield f"edge      Traefik {reply.traefik} serves" if reply.traefik else "edge      Traefik does not run"
    if not reply.apps:
        yield "no app has domains here"
    for app in reply.apps:
        yield cut(f"{app.app}, port {app.port}, of {app.user}, {app.data}", columns())
        yield from of_app(app)


def of_app(app: AppStatus) -> Iterator[str]:
    for domain in app.domains:
        yield cut(f"  https://{domain.domain}  {told(domain.state, domain.expires)}", columns())
        if domain.detail:
            yield from (f"    {line}" for line in wrap(domain.detail, columns() - 4))
