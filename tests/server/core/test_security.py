"""What stands before every route: hosts, forged requests, sizes; and what every answer carries."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from plaudit.feedback.store import StoreUnavailable
from plaudit.server.security import COOKIE, HEADERS

from .conftest import PASSWORD, URL, Site, told

SIGN_IN = {"name": "Ada", "password": PASSWORD}


def change(client: TestClient, **headers: str) -> int:
    """A change by the session's cookie, without our token unless ``headers`` bring it; the status."""
    client.headers.pop("x-csrf-token", None)
    return client.patch(
        "/api/me", json={"preferences": {}}, headers={k.replace("_", "-"): v for k, v in headers.items()}
    ).status_code


@pytest.fixture
def ada(site: Site) -> TestClient:
    return site.join("Ada")


def test_a_request_of_our_own_pages_passes(site: Site, ada: TestClient) -> None:
    token = ada.headers["x-csrf-token"]
    assert change(ada, x_csrf_token=token) == 200
    assert change(ada, origin=URL) == 200
    assert change(ada, origin=URL, sec_fetch_site="same-origin") == 200
    assert change(ada, referer=f"{URL}/work/p") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:8777"},  # another scheme is another origin
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:8777.evil.example"},
        {"referer": "https://evil.example/127.0.0.1:8777"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": URL, "sec_fetch_site": "cross-site"},
        {"x_csrf_token": "0" * 48},
        {"x_csrf_token": ""},
        {},
    ],
)
def test_a_forged_request_is_refused(ada: TestClient, headers: dict[str, str]) -> None:
    assert change(ada, **headers) == 403


def test_the_right_token_does_not_excuse_a_wrong_origin(ada: TestClient) -> None:
    assert change(ada, x_csrf_token=ada.headers["x-csrf-token"], origin="https://evil.example") == 403


def test_the_token_of_another_session_is_refused(site: Site, ada: TestClient) -> None:
    assert change(ada, x_csrf_token=site.join("Grace").headers["x-csrf-token"]) == 403


def test_signing_in_cannot_be_forged_either(site: Site, ada: TestClient) -> None:
    anybody = site.browser()
    forged = anybody.post("/api/session", json=SIGN_IN, headers={"origin": "https://evil.example"})
    assert "another site" in told(forged, 403)
    assert anybody.post("/api/session", json=SIGN_IN, headers={"origin": URL}).status_code == 204
    assert site.browser().post("/api/session", json=SIGN_IN).status_code == 204  # a program: no browser's headers


def test_a_bearer_token_needs_no_origin_and_ignores_the_cookie(site: Site, ada: TestClient) -> None:
    site.join("Boss", "admin")
    token = site.services.accounts.tokens.make("Boss", "robot", "Boss", ["admin"])
    program = site.program(token)
    assert program.post("/api/admin/invites", json={}).status_code == 201
    # Whoever says "Bearer" is not checked for forgery, so the cookie must count for nothing.
    ada.headers.pop("x-csrf-token")
    wrong = ada.patch("/api/me", json={"preferences": {}}, headers={"authorization": "Bearer nonsense"})
    told(wrong, 401)


@pytest.mark.parametrize("site_header", ["none", "same-origin"])
def test_where_a_request_comes_from_is_not_told_by_half_of_the_headers(ada: TestClient, site_header: str) -> None:
    """A browser that sends Sec-Fetch-Site with a change sends an Origin as well."""
    token = ada.headers["x-csrf-token"]
    assert change(ada, sec_fetch_site=site_header) == 403
    assert change(ada, sec_fetch_site=site_header, x_csrf_token=token) == 200


def test_two_cookie_headers_are_read_alike_everywhere(site: Site, ada: TestClient) -> None:
    """Else the check looks for a session in the first header, and the route finds it in the second."""
    session = ada.cookies[COOKIE]
    headers = [("cookie", "other=1"), ("cookie", f"{COOKIE}={session}")]
    forged = site.browser().patch("/api/me", json={"preferences": {}}, headers=headers)
    assert "X-CSRF-Token" in told(forged, 403)


def test_a_body_of_two_lengths_is_refused(ada: TestClient) -> None:
    headers = {"content-length": "2", "transfer-encoding": "chunked"}
    assert "exclude each other" in told(ada.patch("/api/me", content=b"{}", headers=headers), 400)


def test_reading_needs_no_token(ada: TestClient) -> None:
    ada.headers.pop("x-csrf-token")
    assert ada.get("/api/me", headers={"origin": "https://evil.example"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8777", "127.0.0.1.evil.example", "", "[", "10.0.0.9"])
def test_another_host_name_is_refused(site: Site, host: str) -> None:
    assert "host name" in told(site.browser().get("/api/me", headers={"host": host}), 400)


@pytest.mark.parametrize("host", ["localhost:8777", "127.0.0.1", "[::1]:8777", "LOCALHOST"])
def test_this_machine_has_several_names(site: Site, host: str) -> None:
    assert told(site.browser().get("/api/me", headers={"host": host}), 401) == "sign in first"


def test_a_server_for_everybody_takes_addresses_but_no_strange_names(make_site: Callable[..., Site]) -> None:
    browser = make_site(host="0.0.0.0").browser()
    assert told(browser.get("/api/me", headers={"host": "192.168.1.5:8777"}), 401) == "sign in first"
    assert "host name" in told(browser.get("/api/me", headers={"host": "evil.example"}), 400)


def test_behind_a_proxy_the_public_address_is_the_origin(make_site: Callable[..., Site]) -> None:
    site = make_site(public_url="https://judge.example")
    ada = site.join("Ada")
    public = {"host": "judge.example"}
    assert change(ada, origin="https://judge.example", **public) == 200
    assert change(ada, origin="http://judge.example", **public) == 403
    assert change(ada, origin="https://judge.example") == 200  # a proxy that does not pass the host on
    entered = site.browser().post("/api/session", json=SIGN_IN)
    assert "Secure" in entered.headers["set-cookie"]
    assert entered.headers["strict-transport-security"]


def test_the_cookie_is_out_of_reach(site: Site, ada: TestClient) -> None:
    cookie = site.browser().post("/api/session", json=SIGN_IN).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    assert "Secure" not in cookie  # plain http on one's own machine


def test_large_bodies_are_refused(site: Site, ada: TestClient) -> None:
    large = {"preferences": {"a": "x" * 2**20}}
    assert "larger than 1 MiB" in told(ada.patch("/api/me", json=large), 413)

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 2**15

    told(ada.patch("/api/me", content=pieces(), headers={"content-type": "application/json"}), 413)


def test_asking_may_bring_much_along(site: Site) -> None:
    boss = site.join("Boss", "admin")
    site.project()
    text = "x" * (2 * 2**20)
    items = [{"prompt": text, "response": each} for each in "ab"]
    assert boss.post("/api/projects/p/questions", json={"questions": [{"items": items}]}).status_code == 201


def test_those_who_may_not_ask_may_not_send_much_to_where_questions_go(site: Site, ada: TestClient) -> None:
    site.project()
    site.join("Boss", "admin")
    tokens = site.services.accounts.tokens
    judge, ask = (site.program(tokens.make("Boss", each, "Boss", [each])) for each in ("judge", "ask"))
    much = {"questions": ["x" * (2 * 2**20)]}
    for client in (site.browser(), ada, judge, site.program("plt_unknown")):
        assert "larger than 1 MiB" in told(client.post("/api/projects/p/questions", json=much), 413)
    told(ask.post("/api/projects/p/questions", json=much), 422)

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 2**15

    sent = {"content-type": "application/json"}
    told(site.browser().post("/api/projects/p/questions", content=pieces(), headers=sent), 413)


@pytest.mark.parametrize("length", ["-1", "1e9", "many"])
def test_a_length_that_is_no_number_is_refused(site: Site, length: str) -> None:
    assert "length" in told(site.browser().get("/api/me", headers={"content-length": length}), 400).lower()


@pytest.mark.parametrize("path", ["/api/me", "/sign-in", "/static/style.css", "/static/none", "/nowhere", "/api/none"])
def test_every_answer_has_the_headers(site: Site, path: str) -> None:
    answer = site.browser().get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "server" not in answer.headers
    assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


def test_refusals_have_the_headers_too(site: Site) -> None:
    answer = site.browser().get("/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_the_policy_allows_nothing_inline() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy


def broken(site: Site, error: Exception) -> TestClient:
    """A browser on a server with a route and a page that raise ``error``."""
    client = site.browser()
    app = client.app
    assert isinstance(app, FastAPI)

    def fail() -> None:
        raise error

    app.add_api_route("/api/fail", fail)
    app.add_api_route("/fail", fail)
    return client


def test_a_bug_says_little_and_has_the_headers(site: Site) -> None:
    client = broken(site, RuntimeError("the password is hunter2"))
    for path in ("/api/fail", "/fail"):
        answer = client.get(path)
        assert answer.status_code == 500 and "hunter2" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_store_that_is_away_is_503_and_says_when_to_try_again(site: Site) -> None:
    client = broken(site, StoreUnavailable("the disk is full"))
    answer = client.get("/api/fail")
    assert told(answer, 503) == "the disk is full" and answer.headers["retry-after"] == "2"
    page = client.get("/fail")
    assert page.status_code == 503 and "The disk is full" in page.text and "<html" in page.text


def test_a_fault_on_a_page_is_a_page_and_is_escaped(site: Site) -> None:
    site.project()
    page = site.join("Boss", "admin").get("/admin/projects/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert page.status_code == 404 and "<script>alert" not in page.text


def test_pages_send_strangers_to_the_sign_in_page(site: Site) -> None:
    answer = site.browser().get("/admin/people?a=b", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/sign-in?next=/admin/people%3Fa%3Db"
