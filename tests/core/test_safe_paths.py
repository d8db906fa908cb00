"""Which paths `rehearse: recent` asks for."""

import pytest

from slot_machine.core.safe_paths import LEAST_VISITS, MOST_PATHS, choose, is_safe


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/pricing",
        "/blog/",
        "/news",
        "/getting-started",
        "/credits",
        "/addresses",
        "/docs/v1/intro.html",
        "/posts/how-to-deploy-your-app-in-one-minute",
        "/sitemap.xml",
        "/about_us",
        "/~ada/",
        "/iPhone",
        "/weekend",
        "/likelihood",
        "/reviews",
        "/releases",
        "/disclaimer",
    ],
)
def test_page_is_asked_for(path: str) -> None:
    assert is_safe(path)


@pytest.mark.parametrize(
    "path",
    [
        "/logout",
        "/users/sign_out",
        "/signOut",
        "/log-off",
        "/account/confirm",
        "/confirmation",
        "/email/verify",
        "/verification",
        "/newsletter/unsubscribe",
        "/opt-out",
        "/reset_password",
        "/oauth/callback",
        "/items/delete",
        "/cart/add",
        "/posts/new",
        "/run",
        "/tasks/Trigger",
        "/removeItem",
        "/cart/addToCart",
        "/Team/AcceptInvite",
        "/team_invitations",
        "/orders/cancelOrder",
        "/subscription/cancellation",
        "/items/removal",
        "/users/unlock",
        "/connect/endsession",
        "/log_me_out",
        "/optIn",
        "/posts/upvote",
        "/accounts/logged_out",
        "/friends/unmute",
        "/comments/unhide",
        "/orders/disapprove",
        "/reports/regenerate",
        "/jobs/rerun",
        "/invoices/resend",
        "/cart/undo",
        "/config/reload",
        "/release/rollback",
        "/tables/truncate",
        "/counter/increment",
        "/notifications/mark-all-read",
        "/users/:id/posts",
        "/a-post-:id",
        "/commit/deadbeef",
        "/links/abcdefghijklmnopqrstuvwx",
        "/assets/index-BxK3d9aZ.js",
        "/assets/app-3f2a9c1b.js",
        "/assets/site.css",
        "/logo.PNG",
        "/caf\\xc3\\xa9",
        "/a%20b",
        "/search?q=1",
        "/a/../b",
        "//elsewhere",
        "/.env",
        "/" + "a-" * 38 + "...",
        "(other)",
        "(not found)",
        "*",
        "",
    ],
)
def test_what_may_change_something_or_is_no_page_is_not(path: str) -> None:
    assert not is_safe(path)


def test_most_frequent_ones_are_chosen() -> None:
    def name(number: int) -> str:
        return "/" + "abcdefghij"[number // 10] + "abcdefghij"[number % 10]

    visits = {name(number): number for number in range(100)} | {"/logout": 1000}

    assert choose(visits) == tuple(name(number) for number in range(99, 99 - MOST_PATHS, -1))


def test_rare_one_is_not() -> None:
    assert choose({"/often": LEAST_VISITS, "/once": LEAST_VISITS - 1}) == ("/often",)
