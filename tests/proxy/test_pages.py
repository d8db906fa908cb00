"""The replies that the proxy gives in place of the app."""

import json
from http import HTTPStatus

import pytest

from slot_machine.proxy import pages

WHY = '<script>"A" & B</script>'


def page(accept: bytes) -> tuple[bytes, bytes]:
    """Head and body."""
    reply = pages.reply(HTTPStatus.BAD_REQUEST, WHY, accept, connection=b"close", head_only=False)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    return head, body


def test_what_a_client_sent_is_not_markup() -> None:
    head, body = page(b"*/*")
    assert b"text/html" in head
    assert b'<p>&lt;script&gt;"A" &amp; B&lt;/script&gt;</p>' in body


@pytest.mark.parametrize("accept", [b"application/json", b"Application/JSON, text/html;q=0.5"])
def test_json_is_sent_if_it_is_asked_for_first(accept: bytes) -> None:
    head, body = page(accept)
    assert b"application/json" in head
    assert json.loads(body) == {"error": WHY, "status": 400}
