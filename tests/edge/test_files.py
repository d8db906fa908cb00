"""Traefik's files: what is in them, and that no other file stays beside them."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.errors import EdgeRefused
from slot_machine.edge import folder, routes, static
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.wire import Wish
from slot_machine.edge.wishes import checked

SETTINGS = EdgeSettings(state="/state", acme_email="ops@example.com")
WISH = Wish(app="shop", data="/data", port=3000, domains=("a.example", "b.example"), secret="s" * 30)
MOVED = msgspec.structs.replace(WISH, redirects={"www.a.example": "a.example"})


def nobody(_: str) -> bool:
    return False


def test_odd_fields_end_at_each_entry_point() -> None:
    configuration = json.loads(static.static(SETTINGS, http3=False))
    assert {point["http"]["aliasHeadersStrategy"] for point in configuration["entryPoints"].values()} == {"delete"}
    assert "accessLog" not in configuration
    assert configuration["api"] == {"dashboard": False}


def test_time_limits() -> None:
    """The proxy closes idle connections after 75 s, and uploads take hours; a head on the HTTP port does not.

    Over HTTP/2, a head that does not come to its end counts as idle time.
    """
    configuration = json.loads(static.static(SETTINGS, http3=False))
    limits = {name: point.get("transport", {}) for name, point in configuration["entryPoints"].items()}
    assert limits["http"]["respondingTimeouts"]["readTimeout"] == "30s"
    assert limits["https"]["respondingTimeouts"] == {"readTimeout": "12h", "writeTimeout": "0s", "idleTimeout": "75s"}
    own = json.loads(routes.merged([routes.own(SETTINGS, "token")]))
    assert own["http"]["serversTransports"]["app"]["forwardingTimeouts"]["idleConnTimeout"] == "30s"


def test_each_authority_has_a_storage_and_a_resolver() -> None:
    trial = msgspec.structs.replace(SETTINGS, acme_ca="https://staging.example/dir")
    assert static.storage_of(trial) != static.storage_of(SETTINGS)
    assert static.resolver_of(trial.acme_ca) in json.loads(static.static(trial, http3=False))["certificatesResolvers"]


@pytest.mark.parametrize(("challenge", "field"), [("tls-alpn-01", "tlsChallenge"), ("http-01", "httpChallenge")])
def test_challenge(challenge: str, field: str) -> None:
    settings = msgspec.convert({"acme_challenge": challenge, "state": "/state"}, EdgeSettings)
    (resolver,) = json.loads(static.static(settings, http3=False))["certificatesResolvers"].values()
    assert {"tlsChallenge", "httpChallenge"} & resolver["acme"].keys() == {field}


def test_http3_is_on_when_somebody_wants_it() -> None:
    assert "http3" not in json.loads(static.static(SETTINGS, http3=False))["entryPoints"]["https"]
    assert json.loads(static.static(SETTINGS, http3=True))["entryPoints"]["https"]["http3"] == {"advertisedPort": 443}


def test_only_names_that_lead_here_are_ordered() -> None:
    made = routes.of_app(SETTINGS, "key", WISH, lambda name: name == "a.example")
    routers = json.loads(routes.merged([made]))["http"]["routers"]
    resolvers = {router["rule"]: router["tls"].get("certResolver") for router in routers.values() if "tls" in router}
    assert resolvers == {"Host(`a.example`)": static.resolver_of(SETTINGS.acme_ca), "Host(`b.example`)": None}
    assert set(made.routers) == set(routers)


def test_a_changed_file_has_other_routers() -> None:
    """So Traefik's word that it has a router means that it has read this file, not the one before."""
    before = set(routes.of_app(SETTINGS, "key", WISH, nobody).routers)
    for changed in (msgspec.structs.replace(WISH, port=3001), MOVED):
        assert before.isdisjoint(routes.of_app(SETTINGS, "key", changed, nobody).routers)


def test_strangers_ids_are_removed_and_the_secret_is_set() -> None:
    (fields,) = [
        one["headers"]["customRequestHeaders"]
        for name, one in json.loads(routes.merged([routes.of_app(SETTINGS, "key", WISH, nobody)]))["http"][
            "middlewares"
        ].items()
        if name == "key-in"
    ]
    assert fields == {"X-Request-Id": "", "X-Slot-Machine-Edge": "s" * 30}


def test_redirects_lead_to_the_port_of_the_edge() -> None:
    other = msgspec.structs.replace(SETTINGS, https_port=8443)
    targets = []
    for settings in (SETTINGS, other):
        made = json.loads(routes.merged([routes.of_app(settings, "key", MOVED, nobody)]))["http"]["middlewares"]
        targets.append(made["key-to-2"]["redirectRegex"]["replacement"])
    assert targets == ["https://a.example${1}", "https://a.example:8443${1}"]


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_nothing_that_is_wished_becomes_a_template_or_another_rule(name: str, app: str, pem: str) -> None:
    wish = Wish(app=app, data="/d", port=1, domains=(name,), tls="own", cert=pem, key=pem)
    try:
        made = routes.of_app(SETTINGS, "key", checked(wish), nobody)
    except EdgeRefused:
        return
    assert b"{{" not in routes.merged([made])
    rules = [router["rule"] for router in json.loads(routes.merged([made]))["http"]["routers"].values()]
    assert all(rule.count("`") == 2 for rule in rules)


def test_files_are_settled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "routes"
    folder.make(place)
    assert folder.settle(place, {"edge.yml": b"{}", "b.yml": b"{}"})
    assert not folder.settle(place, {"edge.yml": b"{}", "b.yml": b"{}"})
    (place / "mine.yml").write_text("broken: {")
    (place / "edge.yml").write_text("broken: {")
    (place / ".b.yml.abc.new").write_text("half of it")
    (place / "b.yml").unlink()
    assert folder.settle(place, {"edge.yml": b"{}"})
    assert sorted(path.name for path in place.iterdir()) == ["edge.yml"]
    assert (place / "edge.yml").read_bytes() == b"{}"
    (kept,) = (tmp_path / "set-aside").iterdir()
    assert kept.read_text() == "broken: {"
    assert "mine.yml is not of the edge" in caplog.text


def test_a_template_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="would be a template"):
        folder.settle(tmp_path, {"b.yml": b"{{env `HOME`}}"})
    assert not list(tmp_path.iterdir())


def test_files_are_for_their_user_alone(tmp_path: Path) -> None:
    folder.make(tmp_path / "state")
    folder.write(tmp_path / "state/one", b"secret")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state/one").stat().st_mode & 0o777 == 0o600
