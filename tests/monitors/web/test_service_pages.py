"""The pages of a service and of one of its judges."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from qualitrace_collector.state import Database
from qualitrace_collector.state.requests import Request, Requests
from qualitrace_monitors.alerts.new_scores import Bet, take_bets
from qualitrace_monitors.alerts.rule_watch import RuleWatch
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links, rfc3339
from support import plain_http
from support.browser import Window
from support.web import NOW, WebStand

AddScore = Callable[..., str]
AddScores = Callable[..., None]
OpenWeb = Callable[..., WebStand]
OpenWindow = Callable[..., Window]
HOUR = 3600.0
JUDGE = "/service/shop/judge/groundedness"
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"}


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


@pytest.fixture
def fallen(database: Database, add_scores: AddScores) -> None:
    """Store a day of `shop`: release 1.4 did well, release 1.5, since three hours, does not."""
    for hour in range(24):
        release, passes = ("1.5", [True, False, False]) if hour < 3 else ("1.4", [True] * 9 + [False])
        at = NOW - hour * HOUR - 60
        add_scores(database, passes * 2, at, release=release, route="/ask", session="")
        with database.transaction() as connection:
            for number in range(4):
                request = Request(
                    trace_id=f"r{hour}-{number}", service="shop", session="", error=number == 0, seconds=2.0,
                    first_token=None, tokens=10, usd=0.25, slices={},
                )  # fmt: skip
                Requests.put(connection, [request], at, one_by_one=False)
    with database.transaction() as connection:
        take_bets(connection, NOW, silence=300)


class TestAddresses:
    def test_the_links_of_notifications_lead_to_the_judge(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """Whatever the names hold; a service named like an address of a judge is none."""
        for service in ("shop", "a/b c?d#é%2F", "//evil.example", "x/judge/y", "<b>"):
            add_score(database, "fail", NOW - 60, service=service)
            page = plain_http.get(Links(web.url).page(service, "groundedness", NOW - 90))
            assert page.status_code == 200
            assert "1 answer" not in page.text
            assert "<b>" not in page.text
            assert plain_http.get(Links(web.url).page(service, "", NOW - 90)).status_code == 200

    @pytest.mark.usefixtures("fallen")
    @pytest.mark.parametrize(
        "path",
        ["/service/nowhere", "/service/shop/judge/nobody", "/service/shop/x", "/service/", "/service/shop/judge/a/b"],
    )
    def test_what_is_unknown_is_not_found(self, web: WebStand, path: str) -> None:
        """With a page that says what."""
        answer = web.get(path)
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text

    @pytest.mark.usefixtures("fallen")
    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("from=yesterday", "from must be a time such as"),
            ("from=99999-01-01", "from must be a time such as"),
            ("from=2027-01-15T07:00:00Z&to=2027-01-15T06:00:00Z", "from must be before to"),
            (f"from={rfc3339(NOW + 60)}", "from must be before now"),
            ("from=2020-01-01&to=2020-01-02", "to must be within the last 30 days"),
            ("from=2027-01-15&window=1h", "not both"),
            ("to=2027-01-15", "to is of use with from"),
            ("window=31d", "window must be a time from 1m to 30d"),
            ("window=nan", "window must be"),
            ("tier=llm", "tier must be one of local"),
            ("by=colour", "by must be one of version, model"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, web: WebStand, query: str, message: str) -> None:
        """With the parameter, and what it may be."""
        answer = web.get(f"{JUDGE}?{query}")
        assert answer.status_code == 400
        assert message in answer.text

    @pytest.mark.usefixtures("fallen")
    @pytest.mark.parametrize(
        "query",
        ["from=2027-01-15T06:00:00%2B02:00", "from=2027-01-15T06:00:00+02:00", "from=2027-01-15T04:00:00.000Z"],
    )
    def test_times_are_read_in_any_zone(self, web: WebStand, query: str) -> None:
        """Also where the plus of an offset came as a blank."""
        assert "2027-01-15 04:00 UTC to 2027-01-15 08:00 UTC" in web.get(f"{JUDGE}?{query}").text

    @pytest.mark.usefixtures("fallen")
    def test_an_old_link_shows_what_is_kept(self, web: WebStand) -> None:
        """And says since when."""
        page = web.get(f"{JUDGE}?from=2026-01-01T00:00:00Z")
        assert page.status_code == 200
        assert "this begins at 2026-12-16" in page.text


@pytest.mark.usefixtures("fallen")
class TestJudge:
    @pytest.mark.parametrize("window", ["1h", "6h", "24h", "7d", "30d"])
    def test_the_estimate_is_that_of_the_window(self, database: Database, web: WebStand, window: str) -> None:
        """With its interval, its number of scores and its sampling rate."""
        seconds = {"1h": HOUR, "6h": 6 * HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR}[window]
        [estimate] = Estimator(database).estimates(NOW, seconds)
        low, high = estimate.pass_rate_interval
        page = web.get(f"{JUDGE}?window={window}").text
        assert f"<strong>{percent(estimate.pass_rate or 0)}</strong>" in page
        assert f"{percent(low)} – {percent(high)}" in page
        assert f'data-label="scores" class="number">{estimate.samples}<' in page
        assert 'data-label="sampled" class="number">100.0 %<' in page

    def test_releases_and_alerts_are_marked(self, database: Database, add_scores: AddScores, open_web: OpenWeb) -> None:
        """The release that came three hours ago, but not the first; the threshold, and the alert."""
        add_scores(database, [False] * 40, NOW - 5, release="1.5")
        web = open_web(alerts=[RULE])
        web.alerts.evaluate(NOW)
        page = web.get(f"{JUDGE}?window=6h").text
        began = round(NOW - 2 * HOUR - 60)
        assert f"{{&#34;at&#34;: {began}, &#34;kind&#34;: &#34;release&#34;" in page
        assert "release 1.5" in page
        assert "release 1.4" not in page.partition("By part of the traffic")[0]
        assert "&#34;thresholds&#34;: [{&#34;label&#34;: &#34;low&#34;, &#34;value&#34;: 0.9}]" in page
        assert 'alerts/event/1">low</a>' in page
        assert "&#34;kind&#34;: &#34;alert&#34;, &#34;label&#34;: &#34;low&#34;" in page
        assert "No rule watches this judge" not in page

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("window=1h", "In as long a time before, the local pass rate was 33.3 %"),
            (f"from={rfc3339(NOW - 24 * HOUR)}", "There is no score in as long a time before"),
            (f"from={rfc3339(NOW - 16 * 24 * HOUR)}", "Of as long a time before, not all is kept"),
            ("window=30d", "Of as long a time before, not all is kept"),
        ],
    )
    def test_the_time_before_is_compared_where_all_of_it_is_kept(self, web: WebStand, query: str, said: str) -> None:
        """A part of it would pass for the whole."""
        assert said in web.get(f"{JUDGE}?{query}").text

    def test_the_link_of_a_notification_shows_the_fall(
        self, database: Database, add_scores: AddScores, web: WebStand
    ) -> None:
        """The charts begin before it and mark the release to the second; what came since is not counted as before."""
        for passed, ago, release in ((True, 200, "1"), (False, 100, "2")):
            add_scores(database, [passed] * 20, NOW - ago, service="till", release=release, session="")
        with database.transaction() as connection:
            take_bets(connection, NOW, silence=300)
        page = " ".join(web.get(Links("").page("till", "groundedness", NOW - 110)).text.split())
        assert "2027-01-15 06:58 UTC to 2027-01-15 08:00 UTC, scores of the tier local" in page
        assert f"{{&#34;at&#34;: {round(NOW - 100)}, &#34;kind&#34;: &#34;release&#34;" in page
        assert "over 2027-01-15 07:58 UTC to 2027-01-15 08:00 UTC" in page
        assert "the local pass rate was 100.0 %" in page

    def test_a_drop_has_the_line_below_which_it_is_one(self, database: Database, open_web: OpenWeb) -> None:
        """It is known once the first thousand values came: their lower bound, less the drop."""
        web = open_web(alerts=[{**RULE, "name": "drop", "when": "drop > 0.05 from baseline"}])
        page = web.get(JUDGE).text
        assert "once the first scores say what it was" in page
        assert "thresholds" not in page
        watch = RuleWatch(web.config.alerts[0], "shop", 1)
        for _ in range(1001):
            watch.take(
                Bet(judge="groundedness", tier="local", version="1", service="shop", weight=1.0, value=1.0, passed=1.0,
                    failed=0.0, at=NOW)
            )  # fmt: skip
        with database.transaction() as connection:
            watch.save(connection)
        page = web.get(JUDGE).text
        [line] = re.findall(r"&#34;label&#34;: &#34;drop&#34;, &#34;value&#34;: ([\d.]+)}", page)
        assert 0.93 < float(line) < 0.95
        assert f"drop &gt; 0.05 from baseline</code>: below {float(line):.3f}" in page

    def test_without_a_rule_it_says_so(self, web: WebStand) -> None:
        """Nobody is told of a fall then."""
        assert "No rule watches this judge" in web.get(JUDGE).text

    def test_two_releases_are_compared(self, web: WebStand) -> None:
        """Their difference has an interval, and leaves no doubt."""
        page = web.get(f"{JUDGE}?window=24h&by=release&a=1.5&b=1.4").text
        assert "Pass rate of <strong>1.5</strong> less that of <strong>1.4</strong>" in page
        assert "-56.7 points" in page
        assert "they differ." in page
        assert "No score in this time is of release 9.9" in web.get(f"{JUDGE}?by=release&a=9.9&b=1.4").text

    @pytest.mark.parametrize("by", ["release", "route", "model", "prompt_version"])
    def test_names_of_persons_are_masked_and_compared_all_the_same(
        self, database: Database, add_scores: AddScores, open_web: OpenWeb, by: str
    ) -> None:
        """By a mark, or by the name itself for who knows it; the setting shows it to those who may act."""
        names = "jane.doe@example.com", "john.roe@example.com"
        for name, passes in zip(names, ([True] * 40, [True, False] * 20), strict=True):
            add_scores(database, passes, NOW - 90, **{by: name})
        web = open_web()
        page = web.get(f"{JUDGE}?window=24h&by={by}").text
        marks = re.findall(r'name="a" value="(~\w+)"', page)
        assert len(set(marks)) == 2
        assert all(f"[email] {mark}" in page for mark in marks)
        for a, b in (marks, names):
            compared = plain_http.get(f"{web.url}{JUDGE}", params={"window": "24h", "by": by, "a": a, "b": b}).text
            assert "50.0 points" in compared
            assert not any(name in compared or name in page for name in names)
        shown = open_web(listen={"web_personal_data": "shown"}).get(f"{JUDGE}?window=24h&by={by}").text
        assert all(f'value="{name}"' in shown for name in names)

    def test_tiers_stand_side_by_side_and_labels_correct_them(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """The model's answers, the cascade's joined estimate, and what experts say of them."""
        for number in range(12):
            changes = {"trace_id": f"t{number}", "release": "1.5"}
            for tier, probability in (("local", 1.0), ("llm", 0.5)):
                add_score(database, "pass", NOW - 90, tier=tier, inclusion_probability=probability, **changes)
            with database.transaction() as connection:
                connection.execute(
                    "INSERT INTO expert_label VALUES (?, 'groundedness', 'ann', ?, ?)", (f"t{number}", number > 2, NOW)
                )
        page = web.get(f"{JUDGE}?window=1h").text
        assert all(f"tier={tier}" in page for tier in ("local", "llm", "joined"))
        assert "by 12</span>" in page
        assert 'data-label="sampled" class="number">50.0 %<' in page
        assert "scores of the tier joined" in page
        assert "scores of the tier local" in web.get(f"{JUDGE}?window=1h&tier=local").text

    def test_the_distribution_and_what_holds_at_every_look_are_shown(self, web: WebStand) -> None:
        """In shares that are those of the scores; the sequence since the release beside the sliding interval."""
        page = web.get(f"{JUDGE}?window=24h").text
        passed = (3 * 2 + 21 * 18) / (3 * 6 + 21 * 20)
        assert f'<th scope="row">0.95 – 1.00</th><td>{percent(passed)}</td>' in page
        assert f'<th scope="row">0.00 – 0.05</th><td>{percent(1 - passed)}</td>' in page
        assert "release 1.5" in page.partition("Since the newest release")[2]

    def test_answers_are_linked_with_the_same_filter(self, web: WebStand) -> None:
        """Service, judge, time and verdict."""
        page = web.get(f"{JUDGE}?from=2027-01-15T04:00:00Z").text
        assert "answers?service=shop&amp;judge=groundedness&amp;from=2027-01-15T04%3A00%3A00Z&amp;verdict=fail" in page

    def test_a_judge_without_scores_in_the_time_says_so(self, database: Database, web: WebStand) -> None:
        """And draws nothing."""
        page = web.get(f"{JUDGE}?from=2027-01-10T00:00:00Z&to=2027-01-11T00:00:00Z")
        assert page.status_code == 200
        assert "No score in this time." in page.text
        assert "data-plot" not in page.text


@pytest.mark.usefixtures("fallen")
class TestService:
    def test_its_judges_are_rows_the_worst_first(
        self, database: Database, add_scores: AddScores, open_web: OpenWeb
    ) -> None:
        """With links, sparklines and thresholds; one that is configured and gave no score is named."""
        add_scores(database, [False] * 9, NOW - 60, judge="safety")
        page = (
            open_web(alerts=[RULE], judges=["groundedness", "safety", "toxicity"]).get("/service/shop?window=6h").text
        )
        assert 0 < page.index("judge/safety?window=6h") < page.index("judge/groundedness?window=6h")
        assert page.count('class="sparkline"') == 2
        assert page.count('class="threshold"') == 1
        assert "without a score of this service within 30 days: toxicity" in page

    def test_its_traffic_is_shown_as_it_is_stored(self, web: WebStand) -> None:
        """Requests, a quarter of them errors, and their costs, by the hour."""
        page = web.get("/service/shop?window=7d").text
        assert page.count("<td>4</td><td>25.0 %</td>") == 24
        assert page.count("<td>1</td></tr>") == 24

    def test_a_service_with_requests_alone_has_a_page(self, database: Database, web: WebStand) -> None:
        """It says that no judge scored it."""
        with database.transaction() as connection:
            request = Request(
                trace_id="r", service="quiet", session="", error=False, seconds=None, first_token=None, tokens=0,
                usd=0, slices={},
            )  # fmt: skip
            Requests.put(connection, [request], NOW - 60, one_by_one=False)
        page = web.get("/service/quiet")
        assert page.status_code == 200
        assert "No judge has scored this service" in page.text


@pytest.mark.slow
@pytest.mark.usefixtures("fallen")
class TestInABrowser:
    @pytest.mark.parametrize("path", ["/service/shop", f"{JUDGE}?window=24h&by=release&a=1.5&b=1.4"])
    def test_pages_have_no_barrier(self, open_web: OpenWeb, open_window: OpenWindow, path: str) -> None:
        """By axe-core, in both schemes and widths; nothing is wider than the screen; charts are drawn."""
        web = open_web(alerts=[RULE])
        web.alerts.evaluate(NOW)
        for scheme in ("light", "dark"):
            for width in (400, 1280):
                window = open_window(width, scheme=scheme)
                window.page.goto(f"{web.url}{path}")
                window.page.wait_for_selector("canvas")
                for details in window.page.locator("summary").all():
                    details.click()
                assert window.accessibility_violations() == []
                assert window.page.evaluate("document.documentElement.scrollWidth") <= width
                assert window.page.evaluate(PAINTED) == window.page.locator("[data-plot]").count() == 4
                assert window.complaints == []
        name = "judge" if "/judge/" in path else "service"
        window = open_window(1280, 1600)
        window.page.goto(f"{web.url}{path}")
        window.page.wait_for_selector("canvas")
        window.picture(name)

    def test_an_update_keeps_what_is_open_and_draws_what_is_new(
        self, database: Database, add_scores: AddScores, web: WebStand, window: Window
    ) -> None:
        """The table beside the chart has the new numbers, in the details that the reader opened."""
        page = window.page
        page.goto(f"{web.url}{JUDGE}?window=24h")
        table = page.get_by_role("region", name="Quality over time as a table")
        page.get_by_text("The numbers of these charts as a table").click()
        expect(table).to_be_visible()
        last = table.get_by_role("row").last
        before = last.inner_text()
        add_scores(database, [False] * 40, NOW - 30, release="1.5")
        expect(last).not_to_have_text(before, timeout=30_000)
        expect(table).to_be_visible()
        assert page.evaluate(PAINTED) == 4
        assert window.complaints == []

    def test_the_keyboard_reaches_every_control(self, web: WebStand, window: Window) -> None:
        """Links, fields, radio buttons and what scrolls, in the order of the page; two are compared without a mouse."""
        page = window.page
        page.goto(f"{web.url}{JUDGE}?window=24h")
        seen: list[str] = []
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.outerHTML.slice(0, 60)"))
        wanted = (
            "<summary>From when",
            "<summary>The numbers",
            '<select name="by"',
            'type="radio" name="a"',
            "<summary>The shares",
        )
        places = [next(place for place, text in enumerate(seen) if part in text) for part in wanted]
        assert places == sorted(places)
        page.locator('input[name="a"]').first.focus()
        page.keyboard.press("Space")
        page.locator("summary").first.focus()
        with page.expect_response(lambda response: "hx-request" in response.request.headers):
            pass
        expect(page.locator('input[name="a"]').first).to_be_checked()  # a renewal takes back no choice
        page.locator('input[name="b"]').first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.get_by_text("they differ.").first).to_be_visible()
        assert "a=1.4&b=1.5" in page.url


PAINTED = """[...document.querySelectorAll("[data-plot] canvas")].filter((canvas) =>
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0)).length"""
