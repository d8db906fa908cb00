import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.config_file import parse
from slot_machine.core.domains import LABEL, BadDomain, canonical
from slot_machine.core.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("shop.example.com", "shop.example.com"),
        ("Shop.EXAMPLE.com.", "shop.example.com"),
        ("müller.example", "xn--mller-kva.example"),
        ("MÜLLER.example", "xn--mller-kva.example"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("intranet", "intranet"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_one_name_has_one_form(given: str, name: str) -> None:
    assert canonical(given) == name


@pytest.mark.parametrize(
    "given",
    [
        "",
        ".",
        "a..b",
        "-a.example",
        "a-.example",
        "a_b.example",
        "*.example.com",
        "192.0.2.1",
        "::1",
        "1.0x7f",
        "shop.example.com:443",
        "https://shop.example.com",
        "shop.example.com/path",
        "shop.example.com`) || Host(`x",
        "{{env `HOME`}}.example",
        "a" * 64 + ".example",
        ".".join(["abcdefgh"] * 30),
        "straße.example",
        "a.example\n",
        "a example",
    ],
)
def test_what_is_no_name_is_refused(given: str) -> None:
    with pytest.raises(BadDomain):
        canonical(given)


@given(st.text(max_size=80))
def test_any_text_gives_a_name_or_is_refused(text: str) -> None:
    try:
        name = canonical(text)
    except BadDomain:
        return
    assert canonical(name) == name
    assert all(map(LABEL.fullmatch, name.split(".")))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('"domains": ["a.example", "A.example."]', "domains: a.example is there twice"),
        ('"domains": ["a_b"]', "is no name of a host"),
        ('"domains": ["*.example.com"]', "wildcard"),
        ('"domains": ["a.example"], "redirects": {"b.example": "b.example"}', "redirected to itself"),
        ('"domains": ["a.example"], "redirects": {"A.example": "a.example"}', "redirected to itself"),
        ('"domains": ["a.example", "b.example"], "redirects": {"b.example": "a.example"}', "is one of the domains"),
        ('"domains": ["a.example"], "redirects": {"b.example": "c.example"}', "none of the domains"),
        ('"redirects": {"b.example": "c.example"}', "none of the domains"),
        ('"tls": "none"', "tls: "),
        ('"tls": {"cert": "a.pem"}', "key is missing"),
        ('"http3": 1', "http3: expected `bool`"),
    ],
)
def test_the_configuration_says_what_is_wrong(fields: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f'{{"start_command": "x", {fields}}}')
    assert words in str(caught.value)


def test_an_app_behind_the_edge_listens_on_loopback() -> None:
    assert parse('{"start_command": "x"}')[0].daemon.address == ""
    assert parse('{"start_command": "x", "domains": ["a.example"]}')[0].daemon.address == "127.0.0.1"
    assert parse('{"start_command": "x", "domains": ["a.example"], "bind": "::"}')[0].daemon.address == "::"
