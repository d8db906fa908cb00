"""What a web service's labels tell the edge of a swarm."""

import pytest

from slot_machine.core.daemon_config import DaemonConfig, OwnCertificate
from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import Impossible
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import labels

SHOP = DaemonConfig(
    engine=Swarm(),
    port=3100,
    domains=("Shop.example.com.", "shop.example.org"),
    redirects={"www.example.com": "shop.example.com"},
)


def an_app(daemon: DaemonConfig = SHOP, name: str = "shop") -> App:
    return App(name=name, commit="c" * 40, image=f"{name}:c", version=VersionConfig(start_command="x"), daemon=daemon)


def test_requests_go_to_the_name_of_the_service() -> None:
    made = labels.labels(an_app(), maintenance=False)
    assert made["traefik.http.services.shop.loadbalancer.server.url"] == "http://shop_web:3100"
    assert made["traefik.swarm.network"] == labels.NETWORK


def test_each_domain_has_a_certificate_of_its_own_in_one_form() -> None:
    made = labels.labels(an_app(), maintenance=False)
    assert made["traefik.http.routers.shop-0.rule"] == "Host(`shop.example.com`)"
    assert made["traefik.http.routers.shop-0.tls.domains[0].main"] == "shop.example.com"
    assert made["traefik.http.routers.shop-1.tls.domains[0].main"] == "shop.example.org"
    assert made["traefik.http.routers.shop-0-http.middlewares"] == labels.TO_HTTPS


def test_a_redirect_leads_from_both_ports_to_https() -> None:
    made = labels.labels(an_app(), maintenance=False)
    replacement = "traefik.http.middlewares.shop-to-2.redirectregex.replacement"
    assert made[replacement] == "https://shop.example.com${1}"
    assert {made[f"traefik.http.routers.shop-2{end}.middlewares"] for end in ("", "-http")} == {"shop-to-2"}


def test_maintenance_stands_before_the_app_and_not_before_redirects() -> None:
    on, off = (labels.labels(an_app(), maintenance=maintenance) for maintenance in (True, False))
    changed = {name for name in on if on[name] != off[name]}
    assert changed == {f"traefik.http.routers.shop-{number}.middlewares" for number in (0, 1)}
    assert on["traefik.http.routers.shop-0.middlewares"] == labels.MAINTENANCE


def test_an_app_without_domains_answers_for_any_host_over_http() -> None:
    made = labels.labels(an_app(DaemonConfig(engine=Swarm())), maintenance=False)
    assert made["traefik.http.routers.shop.entrypoints"] == "http"
    assert labels.claims(made) == {labels.ANY}


def test_own_certificates_are_those_of_the_edge() -> None:
    app = an_app(DaemonConfig(engine=Swarm(), domains=("a.test",), tls=OwnCertificate(cert="c", key="k")))
    assert not any("certresolver" in name for name in labels.labels(app, maintenance=False))
    assert "edge.json" in labels.refuse(app)[0]


@pytest.mark.parametrize(
    ("daemon", "what"),
    [
        (DaemonConfig(engine=Swarm(), domains=("a.test",), tls="internal"), "authority"),
        (DaemonConfig(engine=Swarm(), redirects={"a.test": "b.test"}), "there are none"),
    ],
)
def test_what_the_edge_of_a_swarm_cannot_do_is_refused(daemon: DaemonConfig, what: str) -> None:
    with pytest.raises(Impossible, match=what):
        labels.labels(an_app(daemon), maintenance=False)


def test_a_domain_of_another_service_is_found_also_if_that_is_not_ours() -> None:
    made = labels.labels(an_app(), maintenance=False)
    other = labels.labels(an_app(DaemonConfig(engine=Swarm(), domains=("other.test",)), "other"), maintenance=False)
    foreign = {"traefik.http.routers.x.rule": "Host(`a.test`) || Host(`WWW.example.com`) && Path(`/x`)"}
    assert labels.taken(made, [("other_web", other)]) is None
    assert labels.taken(made, [("other_web", other), ("x", foreign)]) == ("www.example.com", "x")


def test_two_apps_without_domains_are_in_each_others_way() -> None:
    made, other = (labels.labels(an_app(DaemonConfig(engine=Swarm()), name), maintenance=False) for name in ("a", "b"))
    assert labels.taken(made, [("b_web", other)]) == (labels.ANY, "b_web")
