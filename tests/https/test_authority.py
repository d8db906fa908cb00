"""Certificates by Pebble: ordered, renewed, kept, removed, refused."""

import os
import subprocess
from collections.abc import Callable

import pytest

from slot_machine.edge import certificates, link, static
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.wire import Request
from tests.https.conftest import COMMAND, LIMIT_S, Authority, Edge, Process, curl, until

Start = Callable[..., Edge]
App = Callable[[int], Process]
Authorities = Callable[..., Authority]
DAY_S = 86_400


def valid(edge: Edge, name: str) -> bool:
    return edge.domain(name).state == "valid"


@pytest.mark.parametrize("challenge", ["tls-alpn-01", "http-01"])
def test_a_certificate_is_ordered_and_kept(start_edge: Start, app: App, authority: Authorities, challenge: str) -> None:
    pebble = authority()
    settings = {"acme_ca": pebble.url, "acme_ca_roots": str(pebble.roots), "acme_challenge": challenge}
    edge = start_edge(**settings)
    app(3000)
    edge.hold("shop", 3000, "shop.test", redirects={"www.shop.test": "shop.test"})
    until(lambda: valid(edge, "shop.test") and valid(edge, "www.shop.test"))
    root = str(pebble.root(edge.place))
    # Traefik keeps a certificate a moment before it serves it.
    until(lambda: "received" in curl("--cacert", root, "https://shop.test/").stdout)
    (storage,) = edge.state.glob("acme-*.json")
    assert storage.stat().st_mode & 0o777 == 0o600
    issued = pebble.issued()
    assert issued == 2
    for kill in (True, False):
        edge.stop(kill=kill)
        edge.start()
        assert valid(edge, "shop.test")
        until(lambda: "received" in curl("--cacert", root, "https://shop.test/").stdout)
    storage.unlink()
    edge.stop()
    edge.start()
    assert "were lost" in edge.said()
    until(lambda: "received" in curl("--cacert", root, "https://shop.test/").stdout)
    assert pebble.issued() == issued


def test_a_certificate_is_renewed_and_a_removed_one_is_not(start_edge: Start, app: App, authority: Authorities) -> None:
    """Traefik renews what ends within 30 days, when it starts and once a day."""
    pebble = authority(valid_s=20 * DAY_S)
    edge = start_edge(acme_ca=pebble.url, acme_ca_roots=str(pebble.roots))
    app(3000), app(3001)
    edge.hold("shop", 3000, "shop.test")
    edge.hold("blog", 3001, "blog.test")
    until(lambda: valid(edge, "shop.test") and valid(edge, "blog.test"))
    link.ask(Request(op="withdraw", data="/srv/blog"))
    edge.stop()
    edge.start()
    until(lambda: pebble.issued() == 3)
    assert "removed certificates that no app needs: blog.test" in edge.said()
    kept = certificates.read(static.storage_of(EdgeSettings(state=str(edge.state), acme_ca=pebble.url)))
    assert list(kept) == ["shop.test"]


def test_no_order_before_the_name_leads_here(start_edge: Start, authority: Authorities) -> None:
    pebble = authority()
    edge = start_edge(acme_ca=pebble.url, acme_ca_roots=str(pebble.roots))
    edge.hold("shop", 3000, "later.test")
    until(lambda: edge.domain("later.test").detail)
    assert edge.domain("later.test").state == "waiting"
    assert "waiting for DNS of later.test" in edge.domain("later.test").detail
    assert pebble.issued() == 0
    assert "Pulled" not in pebble.process.said()
    with open("/etc/hosts", "a") as hosts:
        hosts.write("127.0.0.1 later.test\n")
    subprocess.run([*COMMAND, "edge", "check"], check=False, capture_output=True, timeout=LIMIT_S)
    until(lambda: valid(edge, "later.test"))


def test_an_address_that_leads_elsewhere_is_named(start_edge: Start, authority: Authorities) -> None:
    """An old AAAA is enough to let the order fail."""
    pebble = authority()
    edge = start_edge(acme_ca=pebble.url, acme_ca_roots=str(pebble.roots), bind="127.0.0.1")
    with open("/etc/hosts", "a") as hosts:
        hosts.write("127.0.0.1 both.test\n::1 both.test\n")
    edge.hold("shop", 3000, "both.test")
    until(lambda: "does not answer on port 80" in edge.domain("both.test").detail)
    assert "::1" in edge.domain("both.test").detail


def test_an_order_that_is_refused_is_told_and_not_repeated(start_edge: Start, authority: Authorities, app: App) -> None:
    pebble = authority()
    edge = start_edge(acme_ca=pebble.url.replace("/dir", "/nothing"), acme_ca_roots=str(pebble.roots))
    app(3000)
    edge.hold("shop", 3000, "shop.test")
    until(lambda: edge.domain("shop.test").state == "failed")
    assert edge.domain("shop.test").detail
    tried = edge.said().count("Unable to obtain ACME certificate")
    edge.hold("other", 3001, "other.test", tls="internal")
    assert edge.said().count("Unable to obtain ACME certificate") == tried
    told = subprocess.run([*COMMAND, "edge", "status"], capture_output=True, text=True, check=False)
    assert told.returncode == 3
    assert "FAILED" in told.stdout


def test_a_trial_does_not_leave_its_certificates(start_edge: Start, app: App, authority: Authorities) -> None:
    trial, real = authority(14000), authority(14100)
    edge = start_edge(acme_ca=trial.url, acme_ca_roots=str(trial.roots))
    app(3000)
    edge.hold("shop", 3000, "shop.test")
    until(lambda: valid(edge, "shop.test"))
    edge.stop()
    edge.file.write_text(edge.file.read_text().replace(trial.url, real.url).replace(str(trial.roots), str(real.roots)))
    edge.start()
    until(lambda: real.issued() == 1 and valid(edge, "shop.test"))
    until(lambda: "received" in curl("--cacert", str(real.root(edge.place)), "https://shop.test/").stdout)
    assert os.path.exists(static.storage_of(EdgeSettings(state=str(edge.state), acme_ca=trial.url)))
