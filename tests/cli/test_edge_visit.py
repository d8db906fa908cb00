"""What `edge check` says of a name in front of which Cloudflare's proxy stands."""

import pytest

from slot_machine.cli.edge_visit import OVER_HTTP, Page, complaint_about, visited
from slot_machine.edge.wire import AppStatus, DomainStatus, Reply

PROXIED, DIRECT = "104.16.1.2", "192.0.2.1"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (Page(200, ""), ""),
        (Page(301, "https://shop.example/"), OVER_HTTP),
        (Page(308, "https://shop.example"), OVER_HTTP),
        (Page(421, ""), OVER_HTTP),
        (Page(302, "https://shop.example/login"), ""),
        (Page(301, "https://www.shop.example/"), ""),
    ],
)
def test_a_redirect_to_itself_is_named(page: Page, told: str) -> None:
    assert complaint_about("shop.example", lambda _: [PROXIED], lambda _: page) == told


def test_a_name_that_leads_here_is_not_visited() -> None:
    def nobody(_: str) -> Page:
        raise AssertionError

    assert complaint_about("shop.example", lambda _: [DIRECT], nobody) == ""


def test_a_name_that_can_not_be_visited_is_said() -> None:
    def broken(_: str) -> Page:
        raise OSError("certificate verify failed")

    told = complaint_about("shop.example", lambda _: [DIRECT, PROXIED], broken)
    assert told == "cannot visit https://shop.example/: certificate verify failed"


def test_what_the_edge_says_comes_first() -> None:
    domains = (
        DomainStatus(domain="a.example", state="valid"),
        DomainStatus(domain="b.example", state="waiting", detail="waiting for DNS of b.example"),
    )
    app = AppStatus(app="shop", user="root", data="/srv", port=3000, domains=domains)
    seen = visited(Reply(apps=(app,)), lambda name: f"{name} is wrong")
    assert [domain.detail for domain in seen.apps[0].domains] == ["a.example is wrong", "waiting for DNS of b.example"]
