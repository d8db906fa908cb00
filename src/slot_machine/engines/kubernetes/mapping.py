"""What the configuration says that Kubernetes can't do, or does in another way."""

from collections.abc import Iterator, Mapping

from slot_machine.core.daemon_config import OwnCertificate
from slot_machine.core.errors import Impossible
from slot_machine.engines.kubernetes import names, pod
from slot_machine.engines.kubernetes.schedules import NotThere, of_cron_job
from slot_machine.engines.left_out import DATABASE, OF_VERSION, leads_to_sqlite, left_out
from slot_machine.engines.shape import App

LEFT_OUT_OF_DAEMON = {
    "follow": "no daemon runs that would look at the branch: let a forge's pipeline run `slot-machine deploy`",
    "preview_port": "no candidate is held",
    "webhook": "no daemon runs that would be called: let a forge's pipeline run `slot-machine deploy`",
    "access_log": "the access log is that of the Ingress controller or Gateway",
    "hooks": "no daemon runs that would run them",
    "http3": "the Ingress controller or Gateway decides on HTTP/3",
    "maintenance_page": "visitors see the page of the Ingress controller or Gateway",
    "notify": "no daemon runs that would send notices",
    "proxy_workers": "no proxy of slot-machine runs",
    "response_timeout_ms": "the time limit is that of the Ingress controller or Gateway",
    "trusted_proxies": "no proxy of slot-machine runs",
}
"""Fields of the daemon, and what their absence means."""


def refuse(app: App) -> list[str]:
    """Warnings. Raises Impossible."""
    names.check(app)
    _health(app)
    _schedules(app)
    _data(app)
    left = left_out(app, OF_VERSION, LEFT_OUT_OF_DAEMON)
    without = [f"{field} has no effect on Kubernetes: {meaning}" for field, meaning in left]
    return [*without, *_workers(app), *_addresses(app), *_times(app)]


def refuse_values(app: App, variables: Mapping[str, str]) -> None:
    """Raises Impossible for variables that lead several copies to one SQLite file."""
    if not app.version.shared_dirs or _copies(app) == 1:
        return
    if name := leads_to_sqlite(variables):
        raise _sqlite(app, name)


def _health(app: App) -> None:
    if app.own_dockerfile and not pod.a_node_can_check(app):
        wrong = f"not {app.version.health_status}"
        what = f"health_status: with your own Dockerfile, a node takes 200 to 399 as healthy, {wrong}"
        raise Impossible(what, "let health_endpoint answer with 200, or remove the Dockerfile")


def _schedules(app: App) -> None:
    for name, job in app.version.cron.items():
        try:
            of_cron_job(job.schedule)
        except NotThere as error:
            what = f"cron.{name}.schedule: Kubernetes does not know {str(error)!r} in {job.schedule!r}"
            raise Impossible(what, "use numbers, ranges and steps alone") from None


def _data(app: App) -> None:
    version, engine = app.version, pod.settings(app)
    if version.shared_files:
        what = f"shared_files: a volume of Kubernetes has folders, so {version.shared_files[0]!r} can't be shared"
        raise Impossible(what, "put the file into a folder, and name the folder in shared_dirs")
    if not version.shared_dirs:
        return
    folder = version.shared_dirs[0]
    if engine.replicas > 1 and not engine.storage_class:
        what = f"shared_dirs: {engine.replicas} replicas can't share {folder!r}: the volume is on one node at a time"
        hint = (
            "set engine.replicas to 1, or engine.storage_class to a class whose volumes several nodes may use at once"
        )
        raise Impossible(what, hint)
    if _copies(app) == 1:
        return
    commands = {"start_command": version.start_command, "release_command": version.release_command or ""}
    for field, words in commands.items():
        if DATABASE.search(words):
            raise _sqlite(app, field)
    for folder in version.shared_dirs:
        if DATABASE.search(folder):
            raise _sqlite(app, folder)


def _sqlite(app: App, where: str) -> Impossible:
    what = f"{where} names a SQLite file, and {_copies(app)} copies would write to it over a network: that damages it"
    return Impossible(what, "set engine.replicas to 1 and leave out storage_class, or use a database with a server")


def _copies(app: App) -> int:
    return sum(app.processes.values()) if pod.settings(app).storage_class else pod.settings(app).replicas


def _workers(app: App) -> Iterator[str]:
    for name, process in app.version.workers.items():
        if process.stop_signal != "TERM" and app.own_dockerfile:
            yield f"processes.{name}.stop_signal: with your own Dockerfile, its STOPSIGNAL is sent"
        if process.quiet_signal:
            yield f"processes.{name}.quiet_signal is not sent: Kubernetes sends the stop signal alone"
        if process.count > 1:
            yield f"processes.{name}: copies on Kubernetes have no PROCESS_INDEX"
    if app.version.cron and not app.daemon.cron_timezone:
        yield "cron_timezone is not set: the schedules are in UTC"


def _addresses(app: App) -> Iterator[str]:
    daemon, engine = app.daemon, pod.settings(app)
    if not daemon.domains:
        yield f"domains is not set: the app is http://{app.name} inside of the cluster, and nothing leads to it"
        return
    if engine.gateway:
        return
    if daemon.redirects:
        yield "redirects: only ingress-nginx knows them; with other controllers use engine.gateway"
    if isinstance(daemon.tls, OwnCertificate):
        yield (
            f"tls: the certificate has to be in the Secret {names.tls_secret(app)}: kubectl create secret tls"
            f" {names.tls_secret(app)} --cert {daemon.tls.cert} --key {daemon.tls.key}"
        )
    elif not engine.issuer:
        yield "engine.issuer is not set: HTTPS has the certificate that the Ingress controller has, if any"


def _times(app: App) -> Iterator[str]:
    if app.version.strategy == "replace" and pod.settings(app).replicas > 1:
        yield "strategy: all copies end before those of the new version start, and visitors get 503 in between"
    elif pod.alone(app):
        yield (
            "shared_dirs: one node has the volume, so the old copy ends before the new one starts, and visitors get 503"
            " in between; engine.storage_class may name a class whose volumes several nodes use at once"
        )
