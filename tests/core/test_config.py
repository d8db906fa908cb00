import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.config import Config
from slot_machine.core.config_file import FIELDS, parse, render, render_short
from slot_machine.core.config_table import tables
from slot_machine.core.daemon_config import DaemonConfig, Follow, Webhook
from slot_machine.core.engine_config import Kubernetes, Swarm
from slot_machine.core.errors import ConfigError
from slot_machine.core.version_config import VersionConfig

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def test_defaults_hold_for_a_hand_written_file() -> None:
    config, warnings = parse('{"start_command": "node server.js"}')

    assert warnings == []
    assert config.version == VersionConfig(
        start_command="node server.js",
        setup_command="",
        health_endpoint="/healthz",
        health_timeout_ms=10_000,
        drain_timeout_ms=5_000,
        strategy="overlap",
    )
    assert config.daemon == DaemonConfig(
        port=3000,
        internal_port=3000,
        env_file="",
        api_port=9100,
        proxy_workers=1,
        trusted_proxies=("127.0.0.0/8", "::1/128"),
        response_timeout_ms=60_000,
        access_log="",
        log_max_mb=10,
        log_keep=5,
    )


def test_internal_port_follows_port() -> None:
    assert parse('{"start_command": "x", "port": 8080}')[0].daemon.internal_port == 8080
    assert parse('{"start_command": "x", "port": 8080, "internal_port": 8081}')[0].daemon.internal_port == 8081


@pytest.mark.parametrize(
    "engine",
    [
        Swarm(),
        Swarm(context="production", replicas=3, registry="registry.example.com:5000/team", nfs="10.0.0.9:/srv/shop"),
        Swarm(nodes={"n1": "deploy@10.0.0.2", "n2": "n2"}, stop_delay_ms=0),
        Kubernetes(registry="registry.example.com"),
        Kubernetes(registry="r.example.com/a/b", namespace="shop", ingress_class="nginx", issuer="le", replicas=2),
        Kubernetes(registry="r", gateway="infra/public", storage_class="nfs.csi", pull_secret="regcred"),
    ],
)
def test_engine_is_written_as_it_was_read(engine: Swarm | Kubernetes) -> None:
    fields = {"start_command": "x", "name": "shop", "engine": msgspec.to_builtins(engine)}
    config, warnings = parse(json.dumps(fields))

    assert (config.daemon.engine, warnings) == (engine, [])
    assert parse(render(config))[0] == config
    assert parse(render_short(config))[0] == config
    assert json.loads(render_short(config))["engine"]["kind"] in ("swarm", "kubernetes")


SWARM = {"kind": "swarm"}
KUBERNETES = {"kind": "kubernetes", "registry": "registry.example.com"}


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("swarm", "engine: expected `object | null`, got `str`"),
        (False, "engine: expected `object | null`, got `bool`"),
        ({}, "engine.kind is missing"),
        ({"context": "x"}, "engine.kind is missing"),
        ({"kind": "nomad"}, 'engine.kind: expected "swarm" or "kubernetes", not \'nomad\''),
        ({"kind": 5}, "engine.kind: expected `str`, got `int`"),
        ({"kind": "kubernetes"}, "engine.registry is missing"),
        (SWARM | {"replica": 3}, "engine: there is no field 'replica' in it"),
        (SWARM | {"namespace": "shop"}, "engine: there is no field 'namespace' in it"),
        (KUBERNETES | {"nodes": {}}, "engine: there is no field 'nodes' in it"),
        (SWARM | {"replicas": 0}, "engine.replicas: expected `int` >= 1"),
        (SWARM | {"replicas": 1001}, "engine.replicas: expected `int` <= 1000"),
        (SWARM | {"replicas": "3"}, "engine.replicas: expected `int`, got `str`"),
        (SWARM | {"replicas": None}, "engine.replicas: expected `int`, got `null`"),
        (SWARM | {"context": "--host=x"}, "engine.context: expected the name of a context, as `docker context ls`"),
        (SWARM | {"context": "a b"}, "engine.context: expected the name of a context"),
        (SWARM | {"registry": "https://r.example.com"}, "engine.registry: expected a host and a path, such as"),
        (SWARM | {"registry": "r.example.com/Team"}, "engine.registry: expected a host and a path, such as"),
        (KUBERNETES | {"registry": ""}, "engine.registry: expected a host and a path, such as"),
        (SWARM | {"nodes": ["n1"]}, "engine.nodes: expected `object`, got `array`"),
        (SWARM | {"nodes": {"n1": "-oProxyCommand=x"}}, "engine.nodes[...]: expected where ssh reaches the node"),
        (SWARM | {"nodes": {"n1": "ann@-oProxyCommand=x"}}, "engine.nodes[...]: expected where ssh reaches the node"),
        (SWARM | {"nfs": "server"}, "engine.nfs: expected SERVER:/PATH"),
        (SWARM | {"stop_delay_ms": -1}, "engine.stop_delay_ms: expected `int` >= 0"),
        (KUBERNETES | {"namespace": "Shop"}, "engine.namespace: expected the name of a namespace: a-z, 0-9 and -"),
        (KUBERNETES | {"ingress_class": "A"}, "engine.ingress_class: expected a name of a-z, 0-9, - and ."),
        (KUBERNETES | {"gateway": "a/b/c"}, "engine.gateway: expected NAMESPACE/NAME of a Gateway"),
        (KUBERNETES | {"gateway": "--insecure-skip-tls-verify"}, "engine.gateway: expected NAMESPACE/NAME of a"),
        (KUBERNETES | {"gateway": "infra/-v"}, "engine.gateway: expected NAMESPACE/NAME of a Gateway"),
        ({"kind": "swarm", "nfs": 'nas:/a"b'}, "engine.nfs: expected SERVER:/PATH"),
        (KUBERNETES | {"issuer": "a b"}, "engine.issuer: expected a name of a-z, 0-9, - and ."),
        (KUBERNETES | {"storage_class": "a b"}, "engine.storage_class: expected a name of a-z, 0-9, - and ."),
        (KUBERNETES | {"pull_secret": "A"}, "engine.pull_secret: expected a name of a-z, 0-9, - and ."),
    ],
)
def test_engine_that_can_not_be_is_told_in_words(engine: object, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(json.dumps({"start_command": "x", "engine": engine}))
    assert str(refused.value).startswith(f"slot-machine.json: {words}")


def test_follow_and_webhook_have_defaults() -> None:
    text = '{"start_command": "x", "follow": {}, "webhook": {"secret_env": "HOOK_SECRET"}, "webhook_port": 9300}'
    config, warnings = parse(text)

    assert warnings == []
    assert config.daemon.follow == Follow(remote="origin", branch="main", every_s=60, force=False)
    assert config.daemon.webhook == Webhook(path="/.slot-machine/hook", secret_env="HOOK_SECRET", domain="")
    assert parse(render(config))[0] == config


@pytest.mark.parametrize("branch", ["feature/x", "v1.2", "a@b", "ünïcode", "release-1"])
def test_branch_may_have_any_name_that_git_allows(branch: str) -> None:
    config, _ = parse(json.dumps({"start_command": "x", "follow": {"branch": branch}}))

    assert config.daemon.follow == Follow(branch=branch)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"webhook": {"secret_env": "S"}, "webhook_port": 9300}, "webhook has no effect without follow"),
        ({"webhook_port": 9300}, "webhook_port has no effect without webhook"),
        ({"share_cookie_values": ["ada"]}, "share_cookie_values has no effect without share_cookie"),
    ],
)
def test_field_without_effect_is_told(fields: dict[str, object], words: str) -> None:
    _, (warning,) = parse(json.dumps({"start_command": "x"} | fields))

    assert words in warning


@pytest.mark.parametrize(
    ("field", "near"), [("portt", "port"), ("healthEndpoint", "health_endpoint"), ("drain", "drain_timeout_ms")]
)
def test_unknown_field_is_named_with_the_nearest_known_one(field: str, near: str) -> None:
    _, (warning,) = parse(json.dumps({"start_command": "x", field: 1}))

    assert repr(field) in warning
    assert repr(near) in warning


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected an object"),
        ("{}", "start_command is missing"),
        ('{"start_command": " "}', "start_command is empty"),
        ('{"start_command": 1}', "start_command: expected `str`"),
        ('{"start_command": "x", "proxy_workers": 0}', "proxy_workers: expected"),
        ('{"start_command": "x", "proxy_workers": "many"}', "proxy_workers: "),
        ('{"start_command": "x", "trusted_proxies": ["10.0.0.1/8"]}', "trusted_proxies: "),
        ('{"start_command": "x", "trusted_proxies": ["proxy"]}', "write an address or a network"),
        ('{"start_command": "x", "processes": {"A": "x"}}', "processes: expected names of a-z"),
        ('{"start_command": "x", "bind": "localhost"}', "bind: "),
        ('{"start_command": "x", "hooks": {"crashed": " "}}', "hooks.crashed: the command is empty"),
        ('{"start_command": "x", "hooks": {"landed": "x"}}', "hooks: expected one of deploy_started, "),
        ('{"start_command": "x", "follow": {"brnach": "x"}}', "follow: there is no field 'brnach' in it"),
        ('{"start_command": "x", "follow": {"branch": "-x"}}', "follow.branch: expected the name of a branch"),
        ('{"start_command": "x", "follow": {"branch": "a..b"}}', "follow.branch: expected the name of a branch"),
        ('{"start_command": "x", "follow": {"branch": "refs/heads/main"}}', "follow.branch: expected the name"),
        ('{"start_command": "x", "follow": {"remote": "--upload-pack=x"}}', "follow.remote: expected the name or"),
        ('{"start_command": "x", "follow": {"remote": ""}}', "follow.remote: expected the name or"),
        ('{"start_command": "x", "follow": {"every_s": 0}}', "follow.every_s: expected `int` >= 1"),
        ('{"start_command": "x", "follow": true}', "follow: expected `object | null`"),
        ('{"start_command": "x", "webhook": {}}', "webhook.secret_env is missing"),
        ('{"start_command": "x", "webhook": {"secret_env": "A B"}}', "webhook.secret_env: expected the name of a var"),
        ('{"start_command": "x", "webhook": {"secret_env": "S"}}', "webhook needs a port to listen on"),
        ('{"start_command": "x", "webhook": {"secret_env": "S", "path": "hook"}}', "webhook.path: expected a path"),
        ('{"start_command": "x", "webhook": {"secret_env": "S", "domain": "a b"}}', "webhook.domain: expected a host"),
        ('{"start_command": "x", "webhook_port": 3000}', "webhook_port 3000 is also port"),
        ('{"start_command": "x", "access_log": "."}', "access_log must name a file"),
        ('{"start_command": "x", "port": "3000"}', "port: expected `int`, got `str`"),
        ('{"start_command": "x", "port": 0}', "port: expected `int` >= 1"),
        ('{"start_command": "x", "port": 65536}', "port: expected `int` <= 65535"),
        ('{"start_command": "x", "port": true}', "port: expected `int`"),
        ('{"start_command": "x", "internal_port": 0}', "internal_port: expected `int` >= 1"),
        ('{"start_command": "x", "drain_timeout_ms": -1}', "drain_timeout_ms"),
        ('{"start_command": "x", "public_url": "shop.example.com"}', "public_url: expected an address without a path"),
        ('{"start_command": "x", "share_cookie": "user id"}', "share_cookie: expected the name of a cookie"),
        ('{"start_command": "x", "health_endpoint": "healthz"}', "health_endpoint: expected a path that begins with /"),
        (
            r'{"start_command": "x", "health_endpoint": "/healthz\n"}',
            "health_endpoint: expected a path that begins with /",
        ),
        ('{"start_command": "x", "health_endpoint": "/café"}', "of ASCII characters without spaces"),
        ('{"start_command": "x", "rehearse": ["/café"]}', "rehearse[0]: expected a path that begins with /, of ASCII"),
        ('{"start_command": "x", "strategy": "yolo"}', "strategy"),
        ('{"start_command": "x", "port": 9100}', "api_port 9100 is also the app's port"),
        ('{"start_command": "x", "preview_port": 3000}', "preview_port 3000 is also port, internal_port or api_port"),
        ('{"start_command": "x", "preview_port": 9100}', "preview_port 9100 is also port, internal_port or api_port"),
        ('{"start_command": "x\\u0000"}', "NUL"),
        ('{"start_command": "x", "log_max_mb": -1}', "log_max_mb: expected `int` >= 0"),
        ('{"start_command": "x", "log_keep": 0}', "log_keep: expected `int` >= 1"),
        ('{"start_command": "x", "env_file": "."}', "env_file must name a file"),
    ],
)
def test_what_is_wrong_is_one_clear_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)

    message = str(caught.value)
    assert words in message
    assert message.startswith("slot-machine.json: ")
    assert "\n" not in message


def test_bytes_that_are_not_text() -> None:
    with pytest.raises(ConfigError, match="not valid JSON"):
        parse(b'{"start_command": "\xff"}')


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), JSON))
def test_any_object_gives_a_configuration_or_one_line(fields: dict[str, object]) -> None:
    try:
        config, _ = parse(json.dumps(fields))
    except ConfigError as error:
        lines = str(error).splitlines()
    else:
        lines = [""]
        assert parse(render(config)) == (config, [])
    assert len(lines) == 1


def test_rendered_file_has_every_field_but_an_internal_port_that_follows() -> None:
    version = VersionConfig(start_command="x")
    follows, differs = Config(version, DaemonConfig()), Config(version, DaemonConfig(internal_port=1))

    assert [*json.loads(render(follows))] == [name for name in FIELDS if name != "internal_port"]
    assert tuple(json.loads(render(differs))) == FIELDS


@pytest.mark.parametrize(
    ("user", "name"), [("www-data", "www-data"), (33, "33"), ("33", "33"), (0, "0"), ("", ""), (None, "")]
)
def test_users_and_groups_are_names_or_numbers(user: object, name: str) -> None:
    config, warnings = parse(json.dumps({"start_command": "x", "user": user, "group": user}))
    assert (config.daemon.user_name, config.daemon.group_name, warnings) == (name, name, [])


@pytest.mark.parametrize("user", [-1, 4_294_967_295, ["www-data"], "www\0data"])
def test_user_that_nobody_can_be(user: object) -> None:
    with pytest.raises(ConfigError, match="user"):
        parse(json.dumps({"start_command": "x", "user": user}))


def test_the_documented_fields_are_those_of_the_code() -> None:
    document = Path(__file__).parents[2] / "docs" / "configuration.md"

    assert tables() in document.read_text()
