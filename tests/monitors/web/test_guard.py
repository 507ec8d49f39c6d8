"""Who may read the web port, over a real server: hosts, origins, tokens, methods, headers for browsers."""

import base64
import socket
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from qualitrace_monitors.web.guard import WebGuard
from support import plain_http
from support.web import WebStand

TOKEN = "secret:1"
OpenWeb = Callable[..., WebStand]


def basic(user: str, password: str) -> str:
    """Write an Authorization header of the scheme Basic."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class TestReload:
    def test_it_is_asked_for_by_post_alone(self, web: WebStand) -> None:
        """A link or an image of a page asks by GET."""
        answer = web.get("/-/reload")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    def test_it_needs_the_token(self, open_web: OpenWeb) -> None:
        """As everything but the probes does."""
        web = open_web(listen={"web_token": TOKEN})
        assert plain_http.post(f"{web.url}/-/reload").status_code == 401

    def test_a_page_of_another_site_cannot_ask(self, web: WebStand) -> None:
        """A browser names the page's site when it posts, and the request does not reach the supervisor."""
        assert plain_http.post(f"{web.url}/-/reload", headers={"Origin": "https://evil.example"}).status_code == 403
        web.supervisor.setblocking(False)
        with pytest.raises(BlockingIOError):
            web.supervisor.recv(100)

    def test_nothing_else_is_posted_to(self, web: WebStand) -> None:
        """The other paths only read."""
        assert plain_http.post(f"{web.url}/metrics").status_code == 405


class TestHost:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:9464", "LOCALHOST", "[::1]", "[::1]:9464"])
    def test_loopback_is_served_by_every_name(self, web: WebStand, host: str) -> None:
        """Each name of loopback, with and without a port, is answered."""
        assert web.get("/healthz", Host=host).status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:9464", "localhost.evil.example", "evil@localhost", "127.0.0.1:x", "[::1", ""],
    )
    def test_another_host_is_refused(self, web: WebStand, host: str) -> None:
        """A name that was rebound to loopback, or no valid name at all, gets 421 and nothing of the page."""
        response = web.get("/", Host=host)
        assert response.status_code == 421
        assert "listen.allowed_hosts" in response.text

    def test_a_probe_that_names_no_host_is_served(self, web: WebStand) -> None:
        """Load balancers ask by HTTP/1.0 without the header, which every browser sends."""
        with socket.create_connection(("127.0.0.1", web.server.port), timeout=10) as client:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert client.makefile("rb").readline().split()[1] == b"200"

    def test_a_configured_host_is_served(self, open_web: OpenWeb) -> None:
        """A name of `listen.allowed_hosts` is answered, in any case and with any port."""
        web = open_web(listen={"allowed_hosts": ["Quality.example"]})
        assert web.get("/healthz", Host="quality.example:443").status_code == 200

    @given(host=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
    def test_no_other_text_passes_for_a_host(self, host: str) -> None:
        """Whatever text is not one of the known names, perhaps with a port, is refused."""
        client = TestClient(WebGuard(PlainTextResponse("in"), [], None), raise_server_exceptions=True)
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        known = name.lower() in ("127.0.0.1", "localhost", "[::1]", "::1")
        if not known:
            assert client.get("http://localhost/", headers={"Host": host}).status_code == 421


class TestOrigin:
    def test_the_own_origin_is_served(self, web: WebStand) -> None:
        """A request from the dashboard itself is answered, also behind a proxy that ends TLS."""
        host = f"127.0.0.1:{web.server.port}"
        assert web.get("/", Origin=f"http://{host}").status_code == 200
        assert web.get("/", Origin=f"https://{host}").status_code == 200

    @pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", ""])
    def test_another_origin_is_refused(self, web: WebStand, origin: str) -> None:
        """A page from elsewhere, even from another port of this host, gets 403."""
        assert web.get("/metrics", Origin=origin).status_code == 403


class TestToken:
    @pytest.fixture
    def locked(self, open_web: OpenWeb) -> WebStand:
        """Provide a web port with a token."""
        return open_web(listen={"web_token": TOKEN})

    @pytest.mark.parametrize("path", ["/", "/metrics", "/static/page.css", "/nowhere"])
    def test_without_the_token_nothing_is_shown(self, locked: WebStand, path: str) -> None:
        """Each path gets 401 with both challenges, one of them for browsers."""
        response = locked.get(path)
        assert response.status_code == 401
        challenges = [value.split()[0] for value in response.headers.get_list("www-authenticate")]
        assert challenges == ["Bearer", "Basic"]

    def test_a_token_for_reading_changes_nothing(self, open_web: OpenWeb) -> None:
        """It opens each page; what is posted needs the other token."""
        web = open_web(listen={"web_token": TOKEN, "web_read_token": "look"})
        reads, acts = {"Authorization": "Bearer look"}, {"Authorization": f"Bearer {TOKEN}"}
        assert plain_http.get(web.url, headers=reads).status_code == 200
        assert plain_http.post(f"{web.url}/-/nothing", headers=reads).status_code == 403
        assert plain_http.post(f"{web.url}/-/nothing", headers=acts).status_code == 404

    def test_health_needs_no_token(self, locked: WebStand) -> None:
        """A supervisor can ask whether the process lives."""
        assert locked.get("/healthz").text == "ok"

    def test_the_token_opens_as_password_of_any_user(self, locked: WebStand) -> None:
        """Basic authentication, which browsers prompt for, takes the token as password."""
        assert locked.get("/", Authorization=basic("anyone", TOKEN)).status_code == 200

    def test_the_token_opens_as_bearer(self, locked: WebStand) -> None:
        """Prometheus' `authorization` sends the token as Bearer; the scheme's case does not matter."""
        assert locked.get("/metrics", Authorization=f"Bearer {TOKEN}").status_code == 200
        assert locked.get("/metrics", Authorization=f"bearer {TOKEN}").status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "Bearer",
            "Bearer wrong",
            basic("x", "wrong"),
            basic(TOKEN, ""),
            "Basic %%%",
            "Basic /w==",
            "Digest x",
        ],
    )
    def test_anything_else_stays_out(self, locked: WebStand, header: str) -> None:
        """Wrong, empty and malformed credentials get 401."""
        assert locked.get("/metrics", Authorization=header).status_code == 401


class TestMethodsAndHeaders:
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
    def test_only_reading_is_answered(self, web: WebStand, method: str) -> None:
        """Each method but GET and HEAD gets 405 at a page."""
        response = httpx.request(method, web.url + "/")
        assert response.status_code == 405
        assert "GET" in response.headers["allow"]

    def test_head_has_the_headers_of_get_and_no_body(self, web: WebStand) -> None:
        """HEAD is answered like GET, without the page."""
        response = httpx.head(web.url + "/metrics")
        assert (response.status_code, response.content) == (200, b"")

    @pytest.mark.parametrize(("path", "host"), [("/", "localhost"), ("/nowhere", "localhost"), ("/", "evil.example")])
    def test_every_answer_has_strict_headers_for_browsers(self, web: WebStand, path: str, host: str) -> None:
        """Pages, errors and refusals alike forbid foreign scripts, framing, sniffing and referrers."""
        headers = web.get(path, Host=host).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "unsafe" not in headers["content-security-policy"]
