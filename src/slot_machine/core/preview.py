"""The link to a preview."""

NAME = "slot-machine-preview"
"""Of the parameter in a link, of the cookie, where the public port follows, and of the field for scripts."""


def link(address: str, token: str) -> str:
    return f"{address}/?{NAME}={token}"
