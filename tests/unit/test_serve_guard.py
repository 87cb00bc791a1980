"""What every server of rung lets in, and what not."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi import APIRouter, Depends, Request
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from rung import RungError
from rung.serve.app import App, create_app
from rung.serve.bodies import Bounds
from rung.serve.guard import Safety, admin
from rung.serve.rates import Rate, Rates
from rung.serve.running import Listening, bound, check_listening, server_of
from rung.serve.tokens import Caller, Find, admin_by, hash_of, new_token, read_token
from served import served

URL = "http://localhost:8000"
TOKEN = new_token()
EVA, GONE = new_token(), new_token()
PEOPLE = {hash_of(EVA): Caller("eva")}
HTML = {"Accept": "text/html"}


def part() -> APIRouter:
    router = APIRouter()

    @router.post("/echo")
    async def echo(request: Request) -> Any:
        return {"size": len(await request.body())}

    @router.get("/who")
    def who(request: Request) -> Any:
        return {"name": request.state.caller.name}

    @router.get("/secret", dependencies=[Depends(admin)])
    def secret() -> Any:
        return {"secret": 1}

    @router.get("/fails")
    def fails() -> Any:
        raise ZeroDivisionError

    return router


def finds(people: dict[str, Caller]) -> Find:
    async def find(hashed: str) -> Caller | None:
        return people.get(hashed)

    return find


def client(safety: Safety | None = None) -> TestClient:
    app = create_app(part(), safety=safety)
    return TestClient(app, base_url=URL, raise_server_exceptions=False)


def guarded(rate: Rate | None = None) -> TestClient:
    return client(Safety(find=admin_by(TOKEN, finds(PEOPLE)), rate=rate))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_answer_has_the_headers_of_a_safe_page():
    with client() as asks:
        answers = [asks.get(path) for path in ("/health", "/nothing", "/fails", "/login.js")]
    assert [answer.status_code for answer in answers] == [200, 404, 500, 200]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert "ZeroDivisionError" not in answers[2].text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[::1", "a:b:c"])
def test_a_name_that_is_not_ours_is_refused(host: str):
    with client() as asks:
        assert asks.get("/who", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:9"])
def test_our_names_and_plain_addresses_are_ours_at_any_port(host: str):
    with client() as asks:
        assert asks.get("/who", headers={"Host": host}).status_code == 200
    with client(Safety(names=("Rung.example",))) as asks:
        assert asks.get("/who", headers={"Host": "rung.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Origin": "http://localhost:8001"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_another_origin_may_not_post(headers: dict[str, str]):
    with client() as asks:
        assert asks.post("/echo", headers=headers).status_code == 403
        assert asks.post("/echo", headers={"Origin": URL}).status_code == 200


def test_a_link_from_elsewhere_may_be_followed_and_nothing_else_loaded():
    with client() as asks:
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert asks.get("/who", headers=link).status_code == 200
        image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert asks.get("/who", headers=image).status_code == 403


def test_tokens_say_who_asks():
    with guarded() as asks:
        assert asks.get("/who", headers=bearer(TOKEN)).json() == {"name": "admin"}
        assert asks.get("/who", headers=bearer(EVA)).json() == {"name": "eva"}
        assert asks.get("/secret", headers=bearer(TOKEN)).status_code == 200
        assert asks.get("/secret", headers=bearer(EVA)).status_code == 403
        refused = asks.get("/who", headers=bearer(GONE))
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "token" in refused.json()["error"]["message"]
        assert asks.get("/who").status_code == 401
        assert asks.get("/health").status_code == 200
        assert asks.get("/openapi.json").status_code == 401


def test_without_tokens_everybody_here_is_the_administrator():
    with client() as asks:
        assert asks.get("/secret").status_code == 200
        assert asks.post("/login", data={"token": "x"}).status_code == 404


def test_a_person_logs_in_and_comes_back_to_the_page():
    with guarded() as asks:
        page = asks.get("/who?a=<b>&c=d", headers=HTML)
        assert page.status_code == 401
        assert 'value="/who?a=%3Cb%3E&amp;c=d"' in page.text
        form = {"token": f" {EVA} ", "next": "/who?c=d#/runs/a?b=1"}
        entered = asks.post("/login", data=form, follow_redirects=False)
        assert (entered.status_code, entered.headers["location"]) == (303, form["next"])
        cookie = entered.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert cookie.startswith("rung-8000=")  # another port on this machine is another server
        assert asks.get("/who").json() == {"name": "eva"}
        assert asks.post("/echo").status_code == 403  # browsers say where they post from
        assert asks.post("/echo", headers={"Origin": URL}).status_code == 200
        asks.post("/logout", headers={"Origin": URL}, follow_redirects=False)
        assert asks.get("/who").status_code == 401


def test_the_cookie_is_kept_to_tls_where_there_is_tls():
    app = create_app(part(), safety=Safety(find=admin_by(TOKEN)))
    with TestClient(app, base_url="https://localhost") as asks:
        entered = asks.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert "Secure" in entered.headers["set-cookie"]


def test_a_token_that_is_taken_away_is_refused_when_it_comes_again():
    people = dict(PEOPLE)
    with client(Safety(find=finds(people))) as asks:
        asks.post("/login", data={"token": EVA}, follow_redirects=False)
        assert asks.get("/who").status_code == 200
        people.clear()
        assert asks.get("/who").status_code == 401  # the cookie replays it
        assert asks.get("/who", headers=bearer(EVA)).status_code == 401
        page = asks.post("/login", data={"token": EVA})
        assert page.status_code == 401 and "Nobody has this token" in page.text


@pytest.mark.parametrize(
    "next", ["//evil.example", "http://evil.example", "/\\evil.example", "/\t/evil.example", "x"]
)
def test_login_leads_nowhere_else(next: str):
    with guarded() as asks:
        form = {"token": TOKEN, "next": next}
        entered = asks.post("/login", data=form, follow_redirects=False)
        assert entered.headers["location"] in ("/", "/%09/evil.example")
        page = asks.post("/login", data={"token": GONE, "next": next}).text
        assert 'href="/"' in page or 'href="/%09/evil.example"' in page


def test_who_asks_too_often_waits_and_the_others_do_not():
    with guarded(Rate(per_s=0.001, burst=2)) as asks:
        statuses = [asks.get("/who", headers=bearer(EVA)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert int(asks.get("/who", headers=bearer(EVA)).headers["retry-after"]) > 900
        assert asks.get("/who", headers=bearer(TOKEN)).status_code == 200
        strangers = [asks.get("/who", headers=bearer(GONE)).status_code for _ in range(3)]
        assert strangers == [401, 401, 429]
        assert asks.post("/login", data={"token": TOKEN}).status_code == 429


def test_a_bucket_fills_with_time():
    now_s = [0.0]
    rates = Rates(Rate(per_s=2.0, burst=1), clock=lambda: now_s[0])
    assert [rates.wait_s("a"), rates.wait_s("a"), rates.wait_s("b")] == [0, 0.5, 0]
    now_s[0] = 0.5
    assert [rates.wait_s("a"), rates.wait_s("a")] == [0, 0.5]


def test_a_body_that_is_too_long_is_refused_before_and_while_it_is_read():
    bounds = Bounds(max_body_bytes=1000)
    with client(Safety(bounds=bounds)) as asks:
        assert asks.post("/echo", content=b"x" * 1000).json() == {"size": 1000}
        assert asks.post("/echo", content=b"x" * 1001).status_code == 413

        def chunks() -> Iterator[bytes]:  # without a Content-Length
            yield from [b"x" * 500] * 3

        assert asks.post("/echo", content=chunks()).status_code == 413
        assert asks.post("/echo", content=b"x").json() == {"size": 1}


def test_all_bodies_together_are_bounded():
    bounds = Bounds(max_body_bytes=1000, max_total_bytes=100)
    with client(Safety(bounds=bounds)) as asks:
        full = asks.post("/echo", content=b"x" * 101)
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert asks.post("/echo", content=b"x" * 100).status_code == 200
        assert asks.post("/echo", content=b"x" * 100).status_code == 200


def ask_by_hand(url: str, *texts: bytes) -> bytes:
    """All that the server says to raw bytes, each sent when those before have their JSON."""
    host, port = url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=30) as line:
        for text in texts[:-1]:
            line.sendall(text)
            while not answer.endswith(b"}"):
                answer += line.recv(2**16)
            answer += b"\n"
        line.sendall(texts[-1])
        while piece := line.recv(2**16):
            answer += piece
        return answer


def test_slow_clients_are_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rung.serve.running.HEAD_TIMEOUT_S", 0.1)
    app = create_app(part(), safety=Safety(bounds=Bounds(body_timeout_s=0.1)))
    with served(app) as url:
        head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"
        assert b" 408 " in ask_by_hand(url, head)
        assert b" 408 " in ask_by_hand(url, head + b"Content-Length: 5\r\n\r\n{")
        whole = head + b"Content-Length: 1\r\n\r\n{"
        answers = ask_by_hand(url, whole, whole, b"POST")
        assert answers.count(b" 200 ") == 2 and answers.count(b" 408 ") == 1


def test_a_client_that_takes_no_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rung.serve.running.TAKE_TIMEOUT_S", 0.1)
    router, ended = APIRouter(), Event()

    @router.get("/flood")
    async def flood() -> StreamingResponse:
        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    await asyncio.sleep(0)
                    yield b"x" * 2**20
            finally:
                ended.set()

        return StreamingResponse(endless())

    with served(create_app(router)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as line:
            line.sendall(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert ended.wait(timeout=60)


def test_the_log_shows_no_token_and_no_forged_line(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "rung.access"), guarded() as asks:
        asks.get(f"/who?token={EVA}", headers=bearer(EVA))
        asks.get("/who%0aGET%20/forged", headers=bearer(TOKEN))
        asks.post("/login", data={"token": TOKEN})
    lines = [record.getMessage() for record in caplog.records if record.name == "rung.access"]
    assert lines[0].startswith("GET /who 200 ") and lines[0].endswith(" eva")
    assert lines[1].startswith("GET /who%0AGET%20/forged 404")
    assert not any(secret in line for secret in (EVA, TOKEN) for line in lines)


def test_tokens_are_read_and_short_ones_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "token"
    monkeypatch.delenv("RUNG_TOKEN", raising=False)
    assert read_token(None) is None
    file.write_text(f"{TOKEN}\n")
    assert read_token(file) == TOKEN
    monkeypatch.setenv("RUNG_TOKEN", "secret")
    with pytest.raises(RungError, match="6 characters, expected at least 24"):
        read_token(None)
    with pytest.raises(RungError, match="can't be read"):
        read_token(tmp_path / "none")


def reach(safety: Safety | None = None, **where: Any) -> None:
    check_listening(safety or Safety(), Listening(port=0, **where))


def test_nobody_listens_beyond_this_machine_by_accident(tmp_path: Path):
    tls = {"tls_cert": tmp_path / "c", "tls_key": tmp_path / "k"}
    known = Safety(find=admin_by(TOKEN))
    for host in ("127.0.0.1", "localhost", "::1"):
        reach(host=host)
    for safety, options in [(None, {}), (known, {}), (None, tls)]:
        with pytest.raises(RungError, match="lets other machines in: give --token-file"):
            reach(safety, host="0.0.0.0", **options)
    reach(known, host="0.0.0.0", **tls)
    reach(host="0.0.0.0", unsafe_open=True)
    with pytest.raises(RungError, match="go together"):
        reach(tls_cert=tmp_path / "c")


def test_small_answers_are_not_held_back() -> None:
    """Without TCP_NODELAY the second part of an answer waits for the client's 40 ms of silence."""
    with bound(Listening(port=0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_and_bad_tls_files_are_one_sentence(tmp_path: Path):
    with bound(Listening(port=0)) as first:
        port = first.getsockname()[1]
        taken = f"can't listen on port {port} of 127.0.0.1"
        with pytest.raises(RungError, match=taken), bound(Listening(port=port)):
            pass
    with pytest.raises(RungError, match="expected 0 to 65535"), bound(Listening(port=70000)):
        pass
    (tmp_path / "c").write_text("no certificate")
    where = Listening(tls_cert=tmp_path / "c", tls_key=tmp_path / "c")
    with pytest.raises(RungError, match="no TLS with these"):
        server_of(create_app(), where)


@pytest.fixture
def pages(tmp_path: Path) -> App:
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<title>the page</title>")
    (folder / "assets" / "a.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    return create_app(part(), pages=folder)


def test_pages_are_served_and_their_addresses_lead_to_the_one_page(pages: App):
    with TestClient(pages, base_url=URL) as asks:
        hashed = asks.get("/assets/a.js")
        assert "immutable" in hashed.headers["cache-control"]
        for path in ("/", "/run/a.jsonl/3"):
            page = asks.get(path, headers=HTML)
            assert (page.status_code, page.text) == (200, "<title>the page</title>")
            assert page.headers["cache-control"] == "no-cache"
        tag = {"If-None-Match": page.headers["etag"], **HTML}
        assert asks.get("/", headers=tag).status_code == 304
        assert asks.get("/assets/none.js").status_code == 404
        assert asks.get("/who").json() == {"name": "local"}


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/assets/..%2f..%2fsecret",
        "/%2fetc%2fpasswd",
        "//etc/passwd",
        "/..%5csecret",
        "/%00",
        "/link",
    ],
)
def test_no_path_reaches_outside_the_pages(pages: App, path: str):
    with served(pages) as url:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert b" 404 " in ask_by_hand(url, head.encode())


def test_a_checkout_without_pages_says_how_they_are_built(tmp_path: Path):
    folder = tmp_path / "web"
    with TestClient(create_app(pages=folder), base_url=URL) as asks:
        missing = asks.get("/", headers=HTML)
        assert missing.status_code == 404 and "make web" in missing.text
        folder.mkdir()
        (folder / "index.html").write_text("built")
        assert asks.get("/", headers=HTML).text == "built"


def test_errors_have_one_shape():
    with client() as asks:
        error = asks.get("/nothing").json()["error"]
    assert error == {"message": "Not Found", "type": "not_found", "code": 404}
