"""The text of a Dockerfile."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import Swarm
from slot_machine.core.setup.files import Files
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.image.base import Base
from slot_machine.engines.image.dockerfile import Places, ignored, setup_files, written
from slot_machine.engines.shape import App

COMMIT = "1" * 40
TOP = Path("/srv/shop")
PLACES = Places()
WHOLE = """\
# By slot-machine, of slot-machine.json.
FROM node:24-slim
USER 0
ENV HOME=/home/app PATH=/home/app/.local/bin:$PATH
ENV SLOT_MACHINE=1 SLOT_MACHINE_SHARED=/shared
COPY ["slot-machine/shim.sh", "/slot-machine/shim.sh"]
RUN ["/bin/sh", "-c", "/bin/sh /slot-machine/shim.sh check\
 && { grep -q ':x:10001:' /etc/passwd || echo app:x:10001:10001:app:/home/app:/bin/sh >> /etc/passwd; }\
 && { grep -q ':x:10001:' /etc/group || echo app:x:10001: >> /etc/group; }\
 && mkdir -p /home/app /shared /app/web && chown -R 10001:10001 /home/app /shared /app\
 && printf '%s\\\\n' data > /slot-machine/shared"]
USER 10001:10001
WORKDIR "/app/web"
COPY --chown=10001:10001 ["app/web/package-lock.json", "app/web/package.json", "/app/web/"]
RUN ["/bin/sh", "-c", "npm ci"]
COPY --chown=10001:10001 ["app/", "/app/"]
RUN ["/bin/sh", "-c", "mkdir -p /shared /shared/data && { [ ! -e data ] || cp -a data/. /shared/data/; }\
 && rm -rf data && ln -s /shared/data data"]
ENV SLOT_MACHINE_COMMIT=1111111111111111111111111111111111111111
RUN ["/bin/sh", "-c", "npm run \\"build\\""]
LABEL org.opencontainers.image.title="shop"\
 org.opencontainers.image.revision="1111111111111111111111111111111111111111"\
 slot-machine.app="shop" slot-machine.commit="1111111111111111111111111111111111111111"
ENV HOST=0.0.0.0 PORT=3000 INTERNAL_PORT=3000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=10s --retries=3 --start-period=10s CMD\
 ["/bin/sh", "/slot-machine/shim.sh", "health", "/healthz", "200", ""]
ENTRYPOINT ["/bin/sh", "/slot-machine/shim.sh"]
CMD ["run", "node server.js"]
"""


def app(env_file: str = "", data: str = "", **fields: object) -> App:
    version = VersionConfig(**{"start_command": "node server.js", **fields})  # type: ignore[arg-type]
    daemon = DaemonConfig(port=3000, engine=Swarm(), env_file=env_file, data=data)
    return App(name="shop", commit=COMMIT, image=f"shop:{COMMIT}", version=version, daemon=daemon)


def files(texts: Mapping[str, str]) -> Files:
    return Files({name: hashlib.sha1(text.encode()).hexdigest() for name, text in texts.items()}, texts.__getitem__)


def test_the_whole_of_it() -> None:
    shop = app(root="web", setup_command="npm ci", build_command='npm run "build"', shared_dirs=("data",))
    inputs = setup_files(shop.version, files({"web/package.json": "{}", "web/package-lock.json": "{}", "web/a.js": ""}))
    assert written(shop, Base("node:24-slim"), inputs, PLACES) == WHOLE
    assert written(shop, Base("node:24-slim"), inputs, PLACES) == WHOLE


def test_everything_comes_first_where_the_inputs_are_in_doubt() -> None:
    packed = '{"scripts": {"postinstall": "node make.js"}}'
    texts = {"package.json": packed, "package-lock.json": "{}", "make.js": ""}
    shop = app(setup_command="npm ci")
    assert setup_files(shop.version, files(texts)) == ()
    lines = written(shop, Base("node:24-slim"), (), PLACES).splitlines()
    assert lines.index('COPY --chown=10001:10001 ["app/", "/app/"]') < lines.index('RUN ["/bin/sh", "-c", "npm ci"]')


def test_everything_comes_first_after_a_setup_whose_failure_is_passed_over() -> None:
    shop = app(setup_command="npm ci || true")
    assert setup_files(shop.version, files({"package.json": "{}", "package-lock.json": "{}"})) == ()


def test_inputs_that_a_person_names_may_be_folders_and_may_not_be_odd() -> None:
    shop = app(setup_command="make", setup_inputs=("lib", "Makefile"))
    inputs = setup_files(shop.version, files({"lib/a": "", "lib/b/c": "", "Makefile": "", "x": ""}))
    text = written(shop, Base("gcc"), inputs, PLACES)
    assert '["app/Makefile", "/app/"]' in text
    assert '["app/lib/a", "/app/lib/"]' in text
    assert '["app/lib/b/c", "/app/lib/b/"]' in text
    assert setup_files(shop.version, files({"lib/[id]": "", "Makefile": ""})) == ()


def test_no_text_of_a_command_means_something_to_the_builder() -> None:
    text = written(app(build_command="cat <<EOF\n$A\nEOF\n"), Base("debian"), (), PLACES)
    assert 'RUN ["/bin/sh", "-c", "cat <<EOF\\n$A\\nEOF\\n"]' in text.splitlines()


def test_images_that_others_come_from() -> None:
    base = Base("php:8.4-cli", ("corepack enable",), (("composer:2", "/usr/bin/composer", "/usr/bin/composer"),))
    text = written(app(), base, (), PLACES)
    assert "COPY --from=composer:2 /usr/bin/composer /usr/bin/composer" in text.splitlines()
    assert 'RUN ["/bin/sh", "-c", "corepack enable"]' in text.splitlines()


def test_secrets_and_git_are_not_sent() -> None:
    lines = ignored(app(".env", root="web", data=".slot-machine"), TOP, "app").splitlines()
    assert {"app/.git", "app/**/.git", "app/.slot-machine", "app/.env", "app/web/.env"} <= set(lines)


@pytest.mark.parametrize("outside", ["/etc/shop.env", "../shop.env", "/srv/shop"])
def test_what_is_not_in_the_repository_is_not_named(outside: str) -> None:
    assert ignored(app(outside, data="/var/lib/x"), TOP).splitlines() == [".git", "**/.git", "slot-machine-export"]
    assert ignored(app(outside), None).splitlines() == [".git", "**/.git", "slot-machine-export"]


@pytest.mark.parametrize(
    ("env_file", "pattern"),
    [
        ("/srv/shop/conf/prod.env", "conf/prod.env"),
        ("..env", "..env"),
        ("#prod.env", r"\#prod.env"),
        ("conf/[prod] *.env", r"conf/\[prod\]?\*.env"),
    ],
)
def test_secrets_are_not_sent_whatever_their_file_is_called(env_file: str, pattern: str) -> None:
    assert pattern in ignored(app(env_file), TOP).splitlines()


def test_a_shared_folder_is_no_option_of_a_command() -> None:
    text = written(app(shared_dirs=("-rf",)), Base("node:24-slim"), (), PLACES)
    assert "cp -a ./-rf/. /shared/-rf/" in text
    assert "rm -rf ./-rf && ln -s /shared/-rf ./-rf" in text
