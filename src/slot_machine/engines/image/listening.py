"""Lets a start command listen for everybody. On one machine an app listens on 127.0.0.1, as `init` writes it.

In a container nobody else could reach it there.
"""

import re

ANY = "0.0.0.0"
LOCAL = r"(?:127\.0\.0\.1|localhost|\[::1\]|::1)"
OPTIONS = (
    r"-b|-o|-H|-h|-l|-S|-L|-a|--bind|--host|--hostname|--ip|--address|--addr|--listen|--interface|--http-host"
    r"|--server\.address|-host|-addr|-address|-listen|-bind|-http"
)
VARIABLES = (
    r"HOST|HOSTNAME|BIND|ADDRESS|LISTEN_ADDRESS|LISTEN_ADDR|NITRO_HOST|ROCKET_ADDRESS|UVICORN_HOST|GUNICORN_BIND"
)

WITH_PORT = re.compile(rf"(?<![\w.@-]){LOCAL}(?=:\$(?:PORT\b|\{{PORT\b))")
"""Right before the port that the app gets."""
OF_OPTION = re.compile(rf"(?:(?<=\s)(?:{OPTIONS})[ =]|(?:(?<=\s)|^)(?:{VARIABLES})=){LOCAL}(?![\w.:])")


def for_everybody(command: str) -> str:
    """With 0.0.0.0 in place of the loopback address that it listens on. Others, such as of a database, stay."""
    command = WITH_PORT.sub(ANY, command)
    return OF_OPTION.sub(lambda found: re.sub(rf"{LOCAL}\Z", ANY, found[0]), command)
