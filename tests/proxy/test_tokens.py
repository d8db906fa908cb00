"""Tokens of previews in the heads of requests: all forms are found, and nothing else is changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.proxy.heads.fields import ProtocolError
from slot_machine.proxy.heads.forwarded import TrustedProxies
from slot_machine.proxy.heads.request import TRAILERS, RequestHead
from slot_machine.proxy.heads.tokens import A_TOKEN, Tokens, mentioned, without

TOKEN = b"s3cr_t-TOKEN"
STRANGER = TrustedProxies(()).sender("192.0.2.7")
PROXY = TrustedProxies(("192.0.2.0/24",)).sender("192.0.2.7")


def head(target: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> RequestHead:
    fields = b"".join(b"%b\r\n" % line for line in (b"Host: h", *lines))
    return RequestHead(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, fields))


def seen(request: RequestHead) -> bytes:
    """All that an app, a log or a count gets of it."""
    logged = "".join(request.logged()).encode()
    return b"".join((request.for_app(STRANGER)[0], request.for_app(PROXY)[0], logged, request.target))


@pytest.mark.parametrize(
    ("target", "kept", "link"),
    [
        (b"/?slot-machine-preview=T", b"/", b"T"),
        (b"/a%20b?x=%31&slot-machine-preview=T&y=+1&&z", b"/a%20b?x=%31&y=+1&&z", b"T"),
        (b"/a?slot-machine-preview=T&b=2", b"/a?b=2", b"T"),
        (b"/a?slot-machine-preview=T;b=2", b"/a?b=2", b"T"),
        (b"/a?b;slot-machine-preview=T", b"/a?b", b"T"),
        (b"/a?slot-machine-preview=T&slot-machine-preview=U&b=2", b"/a?b=2", b"U"),
        (b"/?SLOT-Machine-preview=T", b"/", b"T"),
        (b"/?%73lot%2Dmachine%2dp%52eview=T%2D", b"/", b"T-"),
        (b"/?+%20slot-machine-preview=T", b"/", b"T"),
        (b"/?slot-machine-preview[]=T&slot-machine-preview%5Ba%5D=U", b"/", b"U"),
        (b"/?slot-machine-preview", b"/", b""),
        (b"/?slot-machine-preview=off", b"/", b"off"),
        (b"/?slot-machine-preview=T#part", b"/#part", b"T"),
        (b"//x?slot-machine-preview=T", b"//x", b"T"),
        (b"http://h/a?slot-machine-preview=T", b"/a", b"T"),
        (b"http://h?slot-machine-preview=T", b"/", b"T"),
        (b"/?a=slot-machine-preview", b"/?a=slot-machine-preview", None),
        (
            b"/?slot-machine-previews=T&my-slot-machine-preview=T",
            b"/?slot-machine-previews=T&my-slot-machine-preview=T",
            None,
        ),
        (b"/login?to=%2Fa%3Fslot-machine-preview%3DT_%2d%26b", b"/login?to=%2Fa%3Fslot-machine-preview%3D%26b", None),
        (b"/%3Fslot-machine-preview=T", b"/%3Fslot-machine-preview=", None),
        (b"/?to=%252F%253Fslot-machine-preview%253DT", b"/?to=%252F%253Fslot-machine-preview%253D", None),
        (b"/cart&slot-machine-preview=T", b"/cart&slot-machine-preview=", None),
        (b"/cart;slot-machine-preview=T", b"/cart;slot-machine-preview=", None),
    ],
)
def test_in_a_link(target: bytes, kept: bytes, link: bytes | None) -> None:
    request = head(target)
    assert (request.target, request.tokens and request.tokens.link) == (kept, link)
    assert seen(request).startswith(b"GET %b HTTP/1.1\r\n" % kept)


@pytest.mark.parametrize(
    ("cookie", "kept", "cookies"),
    [
        (b"slot-machine-preview-80=T", None, {b"slot-machine-preview-80": [b"T"]}),
        (b"a=1; slot-machine-preview-80=T; b=2", b"a=1; b=2", {b"slot-machine-preview-80": [b"T"]}),
        (b"slot-machine-preview-80=T;b=2", b"b=2", {b"slot-machine-preview-80": [b"T"]}),
        (b"a=1; slot-machine-preview-80=T", b"a=1", {b"slot-machine-preview-80": [b"T"]}),
        (b'slot-machine-preview="T" ; b=2', b"b=2", {b"slot-machine-preview": [b"T"]}),
        (b"Slot-Machine-Preview-80 = T", None, {b"slot-machine-preview-80": [b"T"]}),
        (b"slot%2Dmachine-previe%77-80=T", None, {b"slot-machine-preview-80": [b"T"]}),
        (
            b"slot-machine-preview-80=T; slot-machine-preview-81=U",
            None,
            {b"slot-machine-preview-80": [b"T"], b"slot-machine-preview-81": [b"U"]},
        ),
        (b"slot-machine-previews=T; x=slot-machine-preview", b"slot-machine-previews=T; x=slot-machine-preview", None),
        (b"to=/?slot-machine-preview=T_1; b=2", b"to=/?slot-machine-preview=; b=2", None),
    ],
)
def test_in_cookies(cookie: bytes, kept: bytes | None, cookies: dict[bytes, list[bytes]] | None) -> None:
    request = head(b"/", b"A: 1", b"cookie: " + cookie, b"B: 2")
    assert (request.tokens and request.tokens.cookies) == cookies
    assert [
        line[8:] for line in seen(request).split(b"\r\n\r\n")[0].split(b"\r\n") if line[:7].lower() == b"cookie:"
    ] == ([kept] if kept else [])


def test_in_several_lines_with_cookies() -> None:
    request = head(
        b"/", b"Cookie: a=1", b"Cookie: slot-machine-preview-80=T", b"Cookie: b=2; slot-machine-preview-80=U"
    )
    assert request.tokens == Tokens(None, None, {b"slot-machine-preview-80": [b"T", b"U"]})
    assert b"\r\nCookie: a=1\r\nCookie: b=2\r\n" in request.for_app(STRANGER)[0]


@pytest.mark.parametrize("name", [b"Slot-Machine-Preview", b"slot-machine-preview", b"SLOT-MACHINE-PREVIEW"])
def test_in_the_field_for_scripts(name: bytes) -> None:
    request = head(b"/", name + b": \t" + TOKEN + b" ")
    assert request.tokens == Tokens(None, TOKEN, {})
    assert TOKEN not in seen(request)


def test_in_a_trailer() -> None:
    """The app would get it, as a body is sent as it came."""
    with pytest.raises(ProtocolError):
        TRAILERS.check_trailer(b"slot-Machine-Preview: T")


def test_two_fields_are_no_token() -> None:
    request = head(b"/", b"Slot-Machine-Preview: T", b"Slot-Machine-Preview: T")
    assert request.tokens
    assert request.tokens.field == b"T,T"


@pytest.mark.parametrize("name", [b"slot_machine_preview", b"Slot-Machine.Preview"])
def test_a_field_that_an_app_takes_for_ours_is_not_passed_on(name: bytes) -> None:
    request = head(b"/", name + b": " + TOKEN)
    assert (request.tokens, request.misnamed) == (None, 1)
    assert TOKEN not in seen(request)


@pytest.mark.parametrize("name", [b"Referer", b"X-Forwarded-Uri", b"X-Original-URL", b"HX-Current-URL", b"referer"])
def test_in_addresses_of_other_fields(name: bytes) -> None:
    request = head(b"/", name + b": https://h/a?b=1&slot-machine-preview=" + TOKEN + b"&c#d")
    assert request.tokens is None
    assert TOKEN not in seen(request)
    assert b": https://h/a?b=1&c#d" in request.for_app(PROXY)[0]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"Cookie: a=1, slot-machine-preview-80=%b", b"Cookie: a=1, slot-machine-preview-80="),
        (b"Cookie: a=1,slot-machine-preview-80=%b, b=2", b"Cookie: a=1,slot-machine-preview-80=, b=2"),
        (b"X-Cookie: a=1; slot-machine-preview-80=%b; b=2", b"X-Cookie: a=1; slot-machine-preview-80=; b=2"),
        (b"X-Cookie: Slot-Machine-Preview%%2D80%%3D%b", b"X-Cookie: Slot-Machine-Preview%2D80%3D"),
    ],
)
def test_in_cookies_that_a_server_in_front_wrote_elsewhere(line: bytes, kept: bytes) -> None:
    request = head(b"/", line % TOKEN)
    assert TOKEN not in seen(request)
    assert b"\r\n%b\r\n" % kept in request.for_app(STRANGER)[0]


def test_a_request_with_a_token_is_not_anonymous() -> None:
    assert head().anonymous
    for request in (head(b"/?slot-machine-preview=T"), head(b"/", b"Slot-Machine-Preview: T")):
        assert not request.anonymous


def test_equal_heads_with_other_tokens_are_not_mixed_up() -> None:
    for token in (b"T", b"U", b"T"):
        request = head(b"/", b"A: 1", b"Cookie: slot-machine-preview-1=%b" % token, b"Slot-Machine-Preview: " + token)
        assert request.tokens == Tokens(None, token, {b"slot-machine-preview-1": [token]})


OURS = [b"slot-machine-preview", b"%73lot-machine-preview", b"Slot-Machine-Preview", b"slot-machine%2Dpreview"]


@given(
    st.lists(
        st.tuples(st.sampled_from([*OURS, b"other", b""]), st.sampled_from([b"=", b"==1", b"=?", b"=%41"])), max_size=5
    ),
    st.sampled_from([b"&", b";"]),
)
def test_other_parameters_stay_byte_for_byte(parts: list[tuple[bytes, bytes]], separator: bytes) -> None:
    url = b"/a?" + separator.join(map(b"".join, parts))
    kept = separator.join(b"".join(part) for part in parts if part[0] not in OURS)
    found, value = without(url)
    if value is None:
        assert found == url
        assert not {name for name, _ in parts} & set(OURS)
    else:
        assert found == (b"/a?" + kept if kept else b"/a")
        assert mentioned(url) & A_TOKEN
