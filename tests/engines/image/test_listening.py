"""Which addresses of a start command are those that it listens on."""

import pytest

from slot_machine.engines.image.listening import for_everybody


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        (".venv/bin/gunicorn app:app --bind 127.0.0.1:$PORT", ".venv/bin/gunicorn app:app --bind 0.0.0.0:$PORT"),
        ("puma -b tcp://127.0.0.1:$PORT", "puma -b tcp://0.0.0.0:$PORT"),
        ("uvicorn a:a --host 127.0.0.1 --port $PORT", "uvicorn a:a --host 0.0.0.0 --port $PORT"),
        ("php artisan serve --host=127.0.0.1 --port=$PORT", "php artisan serve --host=0.0.0.0 --port=$PORT"),
        ("php -S localhost:${PORT} -t public", "php -S 0.0.0.0:${PORT} -t public"),
        ("HOSTNAME=127.0.0.1 node server.js", "HOSTNAME=0.0.0.0 node server.js"),
        ("FOO=1 HOST=127.0.0.1 node build", "FOO=1 HOST=0.0.0.0 node build"),
        ("ROCKET_ADDRESS=127.0.0.1 ROCKET_PORT=$PORT a", "ROCKET_ADDRESS=0.0.0.0 ROCKET_PORT=$PORT a"),
        ("daphne -b 127.0.0.1 -p $PORT a:a", "daphne -b 0.0.0.0 -p $PORT a:a"),
        ("ruby a.rb -o 127.0.0.1 -p $PORT", "ruby a.rb -o 0.0.0.0 -p $PORT"),
        ("bin/web -addr 127.0.0.1:$PORT", "bin/web -addr 0.0.0.0:$PORT"),
    ],
)
def test_addresses_to_listen_on(command: str, changed: str) -> None:
    assert for_everybody(command) == changed


@pytest.mark.parametrize(
    "command",
    [
        "node server.js",
        "gunicorn --forwarded-allow-ips=127.0.0.1 --bind 0.0.0.0:$PORT a:a",
        "REDIS=redis://127.0.0.1:6379 node a.js",
        "bin/web --redis 127.0.0.1:6379",
        "DB_HOST=127.0.0.1 node a.js",
        "psql -h 127.0.0.1:5432",
    ],
)
def test_other_addresses(command: str) -> None:
    assert for_everybody(command) == command
