"""The history as its users see it: in the API, and by the commands `history` and `show`."""

import json

from spec.web import exchange

from tests.world import Site

SECRET = "s3cr3t-t0ken"


def test_output_is_in_the_entry_without_the_values_of_env_file(site: Site) -> None:
    (site.repo / "production.env").write_text(f"KEY={SECRET}\n")
    site.start(env_file="production.env", setup_command='printf "%s" "the key is $KEY"; exit 3')
    site.commit("v1")

    done = site.run("deploy")

    assert "  | the key is [KEY]" in done.stderr
    assert SECRET not in done.stderr.replace(site.config["setup_command"], "")  # type: ignore[arg-type]
    entry = json.loads(exchange(site.api_port, "GET", "/history/1")[1])
    assert entry["output"] == {"setup": "the key is [KEY]"}
    assert exchange(site.api_port, "GET", "/history/last")[1] == exchange(site.api_port, "GET", "/history/1")[1]
    (listed,) = json.loads(exchange(site.api_port, "GET", "/history")[1])
    assert "output" not in listed
    for name in ("state.db", "state.db-wal"):
        assert SECRET.encode() not in (site.data / name).read_bytes()
    assert SECRET in (site.data / "slot-a.log").read_text(), "the log is the app's own"
