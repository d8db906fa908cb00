"""What `webhook` prints of each forge, on 80 columns."""

from slot_machine.cli import forges
from slot_machine.cli.client import Json

ADDRESS = "https://hooks.example.com/.slot-machine/hook"
HOOK: Json = {
    "url": ADDRESS,
    "port": 9300,
    "secret_env": "HOOK_SECRET",
    "accepted_at": "",
    "refused": 0,
    "refused_at": "",
    "refused_why": "",
    "error": "",
}


def printed(hook: Json) -> str:
    return "\n".join(forges.lines(hook))


def test_each_forge_has_the_address_the_content_type_and_the_name_of_the_secret() -> None:
    for part in ("GitHub", "GitLab", "Gitea"):
        (section,) = [line for line in forges.lines(HOOK) if line.startswith(part)]
        assert ADDRESS in section
        assert "application/json" in section
        assert "what HOOK_SECRET is" in section
    assert f'-H "Authorization: Bearer $HOOK_SECRET" {ADDRESS}' in " ".join(printed(HOOK).split())
    assert "calls         none yet" in printed(HOOK)
    assert max(map(len, printed(HOOK).splitlines())) <= 80


def test_calls_and_refusals_are_told() -> None:
    hook = HOOK | {
        "accepted_at": "2023-11-14T22:13:08Z",
        "refused": 3,
        "refused_at": "2023-11-14T22:13:08Z",
        "refused_why": "x-gitlab-token does not match the secret",
        "error": "cannot listen on port 9300",
    }
    words = " ".join(printed(hook).split())
    assert "it does not listen: cannot listen on port 9300 the last one" in words
    assert "ago: x-gitlab-token does not match the secret" in words


def test_what_is_doubtful_about_an_address_is_told() -> None:
    assert list(forges.doubts(HOOK)) == []
    assert list(forges.doubts(HOOK | {"url": "http://shop.example.com:9300/hook"})) == [forges.IN_CLEAR]
    own, _ = forges.doubts(HOOK | {"url": "http://vm:9300/hook"})
    assert "vm is this machine's own name" in own
