"""The fields of `slot-machine.json` that are the daemon's: each is declared once, with default, check and words."""

from typing import Annotated, Literal

import msgspec

from slot_machine.core.defaults import API_PORT, DATA_NAME, LARGEST_PORT
from slot_machine.core.engine_config import Kubernetes, Swarm
from slot_machine.core.fields import (
    DAY_MS,
    Branch,
    CpuWeight,
    Doc,
    EventName,
    HoldLimit,
    Megabytes,
    Millis,
    Number,
    Port,
    docs,
)
from slot_machine.core.hosts import Servers


class Follow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A branch of a remote repository, whose new commits are deployed."""

    remote: Annotated[
        str,
        msgspec.Meta(pattern=r"^(?!-)[^\x00-\x1f\x7f]+\Z", max_length=1000),
        Doc("a remote of the repository, as `git remote` lists them, or an address"),
    ] = "origin"
    branch: Annotated[Branch, msgspec.Meta(max_length=200), Doc("the branch")] = "main"
    every_s: Annotated[
        int, msgspec.Meta(ge=1, le=86_400), Doc("seconds from the end of one look at the remote to the next one")
    ] = 60
    force: Annotated[
        bool,
        Doc("whether a commit is deployed that does not follow from the live one, such as after a forced push"),
    ] = False


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address that a forge calls after a push. All that a call does is to let `follow` look at once."""

    path: Annotated[
        str, msgspec.Meta(pattern=r"^/[^\x00-\x20\x7f-\U0010ffff?#]*\Z", max_length=1000), Doc("path of the address")
    ] = "/.slot-machine/hook"
    secret_env: Annotated[
        str,
        msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z"),
        Doc("name of the variable that has the secret: in `env_file`, else in the daemon's environment"),
    ]
    domain: Annotated[
        str,
        msgspec.Meta(pattern=r"^([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?\Z", max_length=253),
        Doc(
            "host name at which a server in front takes the calls, by HTTPS. The port is on loopback then",
            default="none",
        ),
    ] = ""


class OwnCertificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate that the operator has, as PEM files."""

    cert: Annotated[str, Doc("file with the certificate and those of its issuers")]
    key: Annotated[str, Doc("file with its private key")]


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemon serves the app on this machine. Paths are relative to the folder of the file."""

    name: Annotated[str | None, Doc("the app's name on this machine", default="the name of this file's folder")] = ""
    port: Annotated[Port, Doc("the app's public port", fixed=True)] = 3000
    internal_port: Annotated[
        Port,
        Doc(
            "the port of the health check, if the app has a port of its own for it. It listens on loopback",
            default="same as `port`",
            fixed=True,
        ),
    ] = 0
    env_file: Annotated[
        str | None,
        Doc(
            "file with variables for the app and the setup, read at every start; relative to this file's folder",
            default="none",
        ),
    ] = ""
    api_port: Annotated[Port, Doc("port of the daemon's API, on loopback", fixed=True)] = API_PORT
    api_auth: Annotated[
        bool,
        Doc(
            "whether callers over `api_port` need the token to change something,"
            " unless they are root or the daemon's user. See [api.md](api.md#who-may-call-it)"
        ),
    ] = True
    proxy_workers: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"],
        Doc(
            'number of proxy processes; `"auto"` is one for each CPU.'
            " One handles tens of thousands of requests a second"
        ),
    ] = 1
    trusted_proxies: Annotated[
        tuple[str, ...],
        Doc(
            'addresses and networks of the proxies in front of this one, such as `["10.0.0.0/8"]`.'
            " See [proxy.md](proxy.md#fields-that-say-how-a-request-came)",
            default="loopback",
        ),
    ] = ("127.0.0.0/8", "::1/128")
    response_timeout_ms: Annotated[Millis, Doc("time that the app has to begin its reply; 0 is no limit")] = 60_000
    health_interval_ms: Annotated[
        Millis,
        Doc("time between two health checks of the live app; 0 switches them off. See [Health](deploys.md#health)"),
    ] = 5_000
    restart_when_unhealthy: Annotated[
        bool, Doc("whether a live app that is unhealthy is stopped and started again")
    ] = False
    access_log: Annotated[
        str | None, Doc("file that gets one line for each request; relative to this file's folder", default="none")
    ] = ""
    log_max_mb: Annotated[
        int,
        msgspec.Meta(ge=0, le=1_000_000),
        Doc("size in MB at which the log of a slot, or the access log, is rotated; 0 is never"),
    ] = 10
    log_keep: Annotated[
        int,
        msgspec.Meta(ge=1, le=1000),
        Doc("number of rotated logs that are kept for each slot, and of the access log"),
    ] = 5
    spare_tree: Annotated[
        bool, Doc("whether there is a third tree. Without it, a deploy overwrites the previous version, and says so")
    ] = True
    user: Annotated[
        str | Number | None,
        Doc(
            "for a daemon that runs as root: the user that runs the setup, the app and git; a name or a number."
            " See [security.md](security.md#with-user)",
            default="the daemon's own",
            fixed=True,
        ),
    ] = ""
    group: Annotated[
        str | Number | None,
        Doc("the group that goes with `user`; a name or a number", default="the first group of `user`", fixed=True),
    ] = ""
    data: Annotated[
        str | None,
        Doc(
            "the [data folder](operations.md#the-data-folder); relative to this file's folder."
            " The option `--data` overrides it",
            default=f"`{DATA_NAME}` in the repository",
            fixed=True,
        ),
    ] = ""

    app_config: Annotated[
        str | None,
        Doc(
            "path, in the repository, of the file that a commit's own fields are read from."
            " See [The commit's own file](configuration.md#the-commits-own-file)",
            default="this file's own path, if it lies in the repository",
        ),
    ] = ""
    cron_timezone: Annotated[
        str | None,
        Doc("time zone of the schedules, such as `Europe/Zurich`", default="`TZ`, else that of the machine"),
    ] = ""
    bind: Annotated[
        str, Doc("address on which the public port listens, such as `127.0.0.1`", default="all of them", fixed=True)
    ] = ""
    access_log_format: Annotated[
        Literal["json", "combined"], Doc("form of a line: an object, or the combined format that web servers write")
    ] = "json"
    memory_max_mb: Annotated[
        Megabytes,
        Doc(
            "memory of the web process, with all that it started, above which it is started afresh, without downtime;"
            " 0 is no limit"
        ),
    ] = 0
    cpu_weight: Annotated[
        CpuWeight, Doc("share of the CPUs that the web process gets when they are busy, relative to others' 100")
    ] = 100
    maintenance_page: Annotated[
        str | None,
        Doc("file that visitors see under maintenance; relative to this file's folder", default="none"),
    ] = ""
    notify: Annotated[
        tuple[str, ...],
        Doc(
            "where notices go: addresses, or names of variables that have them, such as `$OPS_WEBHOOK`", default="none"
        ),
    ] = ()
    hooks: Annotated[
        dict[EventName, str], Doc("commands that get an event as JSON on standard input, by its name", default="none")
    ] = {}
    hold_timeout_ms: Annotated[HoldLimit, Doc("time after which a [held candidate](deploys.md#hold) is aborted")] = (
        DAY_MS
    )
    preview_port: Annotated[
        int,
        msgspec.Meta(ge=0, le=LARGEST_PORT),
        Doc(
            "a port, on loopback, where a held candidate alone answers; 0 is none. See [Preview](trust.md#preview)",
            fixed=True,
        ),
    ] = 0
    public_url: Annotated[
        str,
        msgspec.Meta(pattern=r"^(https?://[A-Za-z0-9.\-\[\]:]+/?)?\Z", max_length=300),
        Doc(
            "address at which visitors reach the app, such as `https://shop.example.com`, for links to it",
            default="the first of `domains`, else `http://localhost` with `port`",
        ),
    ] = ""
    follow: Annotated[
        Follow | None, Doc("a branch whose new commits are deployed. See [follow.md](follow.md)", default="none")
    ] = None
    webhook: Annotated[
        Webhook | None,
        Doc("an address that lets `follow` look at once. See [Webhook](follow.md#webhook)", default="none"),
    ] = None
    webhook_port: Annotated[
        int,
        msgspec.Meta(ge=0, le=LARGEST_PORT),
        Doc("the port of `webhook`; 0 is a free one on loopback, for a server in front of it"),
    ] = 0
    domains: Annotated[
        tuple[str, ...],
        Doc(
            "names under which the [edge](edge.md) serves the app over HTTPS. `port` then listens on loopback,"
            " unless `bind` says otherwise",
            default="none",
        ),
    ] = ()
    redirects: Annotated[
        dict[str, str],
        Doc('names that lead to one of the `domains`, such as `{"www.example.com": "example.com"}`', default="none"),
    ] = {}
    tls: Annotated[
        Literal["acme", "internal"] | OwnCertificate,
        Doc(
            'where certificates come from: `"acme"` gets and renews them, `"internal"` is an authority of the edge,'
            ' for names that the internet can\'t see, and `{"cert": FILE, "key": FILE}` are your own, relative to this'
            " file's folder"
        ),
    ] = "acme"
    http3: Annotated[bool, Doc("whether the edge announces HTTP/3 for the `domains`")] = False
    hosts: Annotated[
        dict[str, Servers],
        Doc(
            "for `--to`, on your own computer: the servers of each stage. See [Hosts](remote.md#hosts)", default="none"
        ),
    ] = {}
    push_branch: Annotated[
        str,
        msgspec.Meta(pattern=r"^([A-Za-z0-9_][!-~]*)?\Z", max_length=200),
        Doc(
            "the branch whose pushes are deployed, where `init --push` has set that up. See [push.md](push.md)",
            default="that of the repository's `HEAD`",
        ),
    ] = ""
    engine: Annotated[
        Swarm | Kubernetes | None,
        Doc(
            "a cluster that runs the app, in place of this machine. No daemon runs then. See [engines.md](engines.md)",
            default="none",
        ),
    ] = None
    push_as_user: Annotated[
        bool, Doc("with `user`: whether that user may push, and so the app may, too. See [push.md](push.md#with-user)")
    ] = False

    def __post_init__(self) -> None:
        if self.internal_port == 0:
            msgspec.structs.force_setattr(self, "internal_port", self.port)

    @property
    def health_interval_s(self) -> float:
        return self.health_interval_ms / 1000

    @property
    def url(self) -> str:
        """At which visitors reach the app, without a slash at the end."""
        here = f"https://{self.domains[0]}" if self.domains else f"http://localhost:{self.port}"
        return self.public_url.rstrip("/") or here

    @property
    def visitors_host(self) -> str:
        """The `Host` field of their requests, as far as the configuration says so."""
        return self.url.partition("://")[2] if self.public_url or self.domains else ""

    @property
    def hold_timeout_s(self) -> float:
        return self.hold_timeout_ms / 1000

    @property
    def user_name(self) -> str:
        """A name or a number; empty for the daemon's own."""
        return _named(self.user)

    @property
    def group_name(self) -> str:
        return _named(self.group)

    @property
    def address(self) -> str:
        """On which the public port listens; empty for all addresses. Behind an edge, nobody may pass it by."""
        return self.bind or ("127.0.0.1" if self.domains else "")


FIXED = tuple(name for name, doc in docs(DaemonConfig).items() if doc.fixed)
"""The fields that a reload can't change."""


def _named(value: str | int | None) -> str:
    return "" if value is None else str(value)
