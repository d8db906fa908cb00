import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from slot_machine.core.errors import ConfigError, EdgeRefused
from slot_machine.edge import reach, settings
from slot_machine.edge.wire import Held, Wish
from slot_machine.edge.wishes import Wishes, checked

SHOP = Wish(
    app="shop", data="/srv/shop", port=3000, domains=("Shop.Example.",), redirects={"www.shop.example": "shop.example"}
)
BLOG = Wish(app="blog", data="/srv/blog", port=3001, domains=("blog.example",))


@pytest.fixture
def wishes(tmp_path: Path) -> Wishes:
    wishes = Wishes(tmp_path)
    key, wish = wishes.take(1000, SHOP)
    wishes.keep(key, Held(uid=1000, wish=wish))
    return wishes


def test_names_have_one_form(wishes: Wishes) -> None:
    assert [name for name, _ in wishes.names()] == ["shop.example", "www.shop.example"]


@pytest.mark.parametrize("uid", [1000, 1001, 0])
@pytest.mark.parametrize("name", ["shop.example", "SHOP.example", "www.shop.example.", "shop.example."])
def test_two_apps_with_one_domain_are_refused_by_name(wishes: Wishes, uid: int, name: str) -> None:
    with pytest.raises(EdgeRefused, match=r"(www\.)?shop\.example is held by app shop of "):
        wishes.take(uid, msgspec.structs.replace(BLOG, domains=(name,)))


def test_another_user_cannot_take_a_name_by_naming_the_same_folder(wishes: Wishes) -> None:
    with pytest.raises(EdgeRefused, match="is held by app shop"):
        wishes.take(1001, SHOP)


def test_an_app_changes_its_own(wishes: Wishes) -> None:
    key, wish = wishes.take(1000, msgspec.structs.replace(SHOP, domains=("shop.example", "new.example")))
    wishes.keep(key, Held(uid=1000, wish=wish))
    assert len(wishes.held) == 1
    wishes.take(1001, msgspec.structs.replace(BLOG, domains=("other.example",)))


def test_wishes_outlive_the_edge(wishes: Wishes, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    again = Wishes(tmp_path)
    assert again.held == wishes.held
    again.drop(again.key_with("shop.example"))
    assert Wishes(tmp_path).held == {}


def test_what_is_no_wish_keeps_no_app_from_being_served(wishes: Wishes, tmp_path: Path) -> None:
    held = dict(wishes.held)
    (tmp_path / "0.json").mkdir()
    os.mkfifo(tmp_path / "1.json")
    (tmp_path / "2.json").symlink_to(tmp_path / "nothing")
    (tmp_path / "3.json").write_bytes(b"\xff{")
    assert Wishes(tmp_path).held == held


@pytest.mark.parametrize(
    "changed",
    [
        {"domains": ()},
        {"domains": ("a_b",)},
        {"port": 0},
        {"secret": "short"},
        {"secret": "s" * 30 + "\n"},
        {"data": "relative"},
        {"app": "a\nb"},
        {"cert": "{{env}}"},
    ],
)
def test_malformed_wishes(tmp_path: Path, changed: dict[str, object]) -> None:
    with pytest.raises(EdgeRefused):
        Wishes(tmp_path).take(1000, msgspec.structs.replace(BLOG, **changed))


@pytest.mark.parametrize(("bits", "refused"), [(1024, True), (2048, False)])
def test_certificate_of_a_short_rsa_key_is_refused(tmp_path: Path, bits: int, *, refused: bool) -> None:
    new = ["openssl", "req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-days", "90", "-subj", "/CN=a.example"]
    subprocess.run([*new, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    wish = msgspec.structs.replace(BLOG, tls="own", cert=(tmp_path / "cert").read_text(), key="k")
    if not refused:
        assert checked(wish).cert == wish.cert
        return
    with pytest.raises(EdgeRefused, match="has 1024 bits") as caught:
        checked(wish)
    assert "at least 2048 bits" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "edge.json: "),
        ('{"http_port": 0}', "http_port"),
        ('{"https_port": 80}', "are the same"),
        ('{"acme_mail": "x"}', "unknown field 'acme_mail'"),
        ('{"acme_email": "x"}', "acme_email: 'x': write an address such as \"you@example.com\""),
        ('{"acme_email": "a@b@c"}', "acme_email: 'a@b@c': write an address"),
        ('{"acme_ca": "http://x"}', "acme_ca: 'http://x': write an address that begins with \"https://\""),
        ('{"bind": ' + "[" * 30_000, "edge.json: "),
        ('{"trusted_proxies": ["x"]}', "edge.json: trusted_proxies: 'x' does not appear"),
        ('{"trusted_proxies": ["x"]}', 'write an address or a network such as "10.0.0.0/8"'),
        ('{"bind": "localhost"}', "edge.json: bind: 'localhost' does not appear"),
        ('{"bind": "localhost"}', 'write an address such as "192.0.2.1"'),
    ],
)
def test_edge_json_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.parse(text.encode(), Path("/etc/edge.json"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_are_those_of_the_file(tmp_path: Path) -> None:
    read = settings.parse(b'{"state": "kept", "acme_ca_roots": "ca.pem"}', tmp_path / "edge.json")
    assert (read.state, read.acme_ca_roots) == (str(tmp_path / "kept"), str(tmp_path / "ca.pem"))


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot read .*roots.pem: No such file"), (b"DER", "there is no PEM certificate")]
)
def test_roots_that_can_not_be_used_are_said_at_once(tmp_path: Path, content: bytes | None, words: str) -> None:
    (tmp_path / "edge.json").write_text('{"acme_ca_roots": "roots.pem"}')
    if content:
        (tmp_path / "roots.pem").write_bytes(content)
    with pytest.raises(ConfigError, match=f"acme_ca_roots: {words}"):
        settings.read(tmp_path / "edge.json", required=True)


def test_a_missing_file_means_defaults_unless_it_was_named(tmp_path: Path) -> None:
    assert settings.read(tmp_path / "edge.json", required=False).https_port == 443
    with pytest.raises(ConfigError, match="there is no"):
        settings.read(tmp_path / "edge.json", required=True)


def unknown(_: str) -> list[str]:
    raise OSError(-2, "Name or service not known")


def test_a_name_without_an_address_waits() -> None:
    found = reach.obstacle("a.example", "/p", "t", "tls-alpn-01", unknown)
    assert found == "waiting for DNS of a.example: Name or service not known"
    assert "no address" in reach.obstacle("a.example", "/p", "t", "tls-alpn-01", lambda _: [])


@pytest.mark.parametrize("address", ["104.16.1.2", "2606:4700::1"])
def test_a_proxied_name_is_told_what_works(address: str) -> None:
    told = reach.obstacle("a.example", "/p", "t", "tls-alpn-01", lambda _: [address])
    assert "proxied by Cloudflare: use acme_challenge http-01" in told
