"""The pages of answers over a real server: what they show, to whom, and what their forms do."""

from collections.abc import Callable

import httpx
import pytest

from qualitrace_collector.journal import JournalFull
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, Ledger, Opinions
from qualitrace_collector.state.ledger import TraceRecord
from qualitrace_monitors.answers import texts
from support import plain_http
from support.web import NOW, WebStand

AddScore = Callable[..., str]
OpenWeb = Callable[..., WebStand]
TOKENS = {"web_token": "acting-token-1", "web_read_token": "reading-token-1"}
ACTING, READING = ({"Authorization": f"Bearer {token}"} for token in TOKENS.values())


@pytest.fixture
def add(database: Database, add_score: AddScore) -> Callable[..., str]:
    """Write a failing score of a trace with texts; gives the trace's id."""

    def add_one(question: str, answer: str, *passages: str, label: str = "fail", **changes: object) -> str:
        trace_id = add_score(database, label, NOW, **changes)
        sample = Sample(inputs=question, outputs=answer, passages=passages, metadata={"seconds": "1.25"})
        with database.transaction() as connection:
            texts.keep(connection, trace_id, sample, NOW)
        return trace_id

    return add_one


class TestList:
    def test_an_answer_is_shown_with_all_that_was_said_of_it(
        self, database: Database, add: Callable[..., str], add_score: AddScore, web: WebStand
    ) -> None:
        """By judges and people; the sentence that failed is marked; its page is linked."""
        trace_id = add(
            "Refund?", "Yes. Within 99 days.", rationale="Least supported: “Within 99 days.” (…)", model="m9"
        )
        add_score(database, "pass", NOW, trace_id=trace_id, judge="relevance")
        with database.transaction() as connection:
            Opinions.put(connection, PersonFeedback(trace_id=trace_id, name="thumb", value="meh", user="ada"), NOW)
        page = web.get("/answers").text
        assert page.count("<article") == 1
        assert 'Yes. <mark>Within 99 days.<span class="by"> ◂ groundedness</span></mark>' in page
        assert f'href="./trace/{trace_id}"' in page
        for shown in ("Refund?", "fail 0.00", "pass 1.00", "relevance", "<strong>meh</strong> by ada", "m9"):
            assert shown in page

    def test_links_between_pages_keep_the_filters(self, add: Callable[..., str], web: WebStand) -> None:
        """Twenty answers a page; the next one has the others."""
        for number in range(25):
            add(f"Q{number}?", "A.", service="a&b", release="1.4")
        first = web.get("/answers?service=a%26b&release=1.4&order=worst").text
        address = first.partition('<a href="./answers?')[2].partition('">Next page')[0].replace("&amp;", "&")
        assert "service=a%26b" in address
        second = web.get(f"/answers?{address}").text
        assert (first.count("<article"), second.count("<article")) == (20, 5)
        assert "First page" in second

    @pytest.mark.parametrize(
        "query",
        [
            *("verdict=x", "order=x", "from=x", "window=x", "after=x", "text=" + "x" * 301),
            *("from=1969-12-31", "from=0001-01-01T00:00:00%2B23:59", "to=9999-12-31T23:59:59-23:59"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, web: WebStand, query: str) -> None:
        """As a page, with the parameter."""
        answer = web.get(f"/answers?{query}")
        assert answer.status_code == 400
        assert f"{query.partition('=')[0]} must" in answer.text

    @pytest.mark.parametrize("times", ["from=1970-01-01", "to=9999-12-31T23:59:59Z", "from=2027-01-15T07:59:00+00:00"])
    def test_times_stay_in_the_addresses_of_further_pages(
        self, add: Callable[..., str], web: WebStand, times: str
    ) -> None:
        """The earliest and the latest ones; a plus as browsers leave it."""
        for number in range(25):
            add(f"Q{number}?", "A.")
        page = web.get(f"/answers?{times}").text
        address = page.partition('<a href="./answers?')[2].partition('">Next page')[0].replace("&amp;", "&")
        assert web.get(f"/answers?{address}").text.count("<article") == 5

    def test_without_answers_it_says_so(self, web: WebStand) -> None:
        """And shows no empty list."""
        assert "No answer matches" in web.get("/answers").text


class TestTrace:
    def test_all_that_is_known_is_shown(self, add: Callable[..., str], open_web: OpenWeb) -> None:
        """Texts whole, passages, verdict with version and cost, where it comes from, and links."""
        web = open_web(mlflow={"tracking_uri": "sqlite:///x.db", "ui_url": "https://u:pw-12345@mlflow.example/x/"})
        trace_id = add(
            "Refund?",
            "Word " * 300 + "end.",
            "Refunds take 9 days.",
            version="v7",
            cost_usd=0.0125,
            tokens=321,
            release="1.4",
            route="/ask",
            session="s 1",
            rationale="See “Refunds take 9 days.”",
        )
        page = web.get(f"/trace/{trace_id}").text
        for shown in ("Word end.", "v7", "$0.012500, 321 tokens", "1.4", "/ask", "s 1", "1.25 s"):
            assert shown in page
        assert "<mark>Refunds take 9 days." in page
        assert f'href="https://mlflow.example/x/#/experiments/0/traces/{trace_id}"' in page
        assert "pw-12345" not in page
        assert f'href="../answers?session_of={trace_id}&amp;verdict=any"' in page
        assert web.get(f"/answers?session_of={trace_id}&verdict=any").text.count("<article") == 1

    def test_without_mlflow_s_pages_the_setting_is_named(self, add: Callable[..., str], web: WebStand) -> None:
        """A database has none."""
        assert "mlflow.ui_url" in web.get(f"/trace/{add('Q?', 'A.')}").text

    def test_a_trace_without_score_or_text(self, database: Database, web: WebStand) -> None:
        """Says what is known: that it was stored."""
        with database.transaction() as connection:
            Ledger.record_traces(connection, [TraceRecord("tr-" + "1" * 32, "shop", "stored", True)], NOW)
        page = web.get("/trace/tr-" + "1" * 32).text
        assert "No judge has scored this answer" in page
        assert "not kept here" in page

    @pytest.mark.parametrize("trace_id", ["tr-9", "", "a/b", "%00", "%ff", "x" * 3000, "..%2f..%2fetc", "%F0%9F%92%A9"])
    def test_an_unknown_trace_is_not_found(self, web: WebStand, trace_id: str) -> None:
        """Whatever its id is."""
        answer = web.get(f"/trace/{trace_id}")
        assert answer.status_code == 404
        assert "Nothing is kept here" in answer.text


class TestPersonalData:
    @pytest.mark.parametrize(
        ("setting", "headers", "is_shown"),
        [("masked", ACTING, False), ("shown", ACTING, True), ("shown", READING, False)],
    )
    def test_who_sees_it(
        self, add: Callable[..., str], open_web: OpenWeb, setting: str, headers: dict[str, str], is_shown: bool
    ) -> None:
        """Nobody by default; by the setting those who may act, never those who may only read."""
        web = open_web(listen={**TOKENS, "web_personal_data": setting})
        texts_with = [f"{name}@example.com" for name in ("question", "answer", "passage", "why", "session")]
        question, answer, passage, why, session = texts_with
        trace_id = add(question, answer, passage, rationale=why, session=session, route=f"/users/{why}")
        pages = [plain_http.get(f"{web.url}/{path}", headers=headers).text for path in ("answers", f"trace/{trace_id}")]
        assert [name for name in texts_with if name in pages[1]] == (texts_with if is_shown else [])
        assert ("why@example.com" in pages[0]) == is_shown
        assert ("[email]" in pages[0]) != is_shown


class TestLabels:
    def form(self, trace: str, **changes: str) -> dict[str, str]:
        """Fill in the form as the page has it."""
        fields = {"trace_id": trace, "say": "good groundedness", "reader": "Ada", "comment": "", "nonce": "a1"}
        return fields | changes

    def test_an_expert_s_label_is_feedback_of_an_expert(self, add: Callable[..., str], web: WebStand) -> None:
        """By name, and with the comment; the page that comes next says that it was taken, and keeps the name."""
        trace_id = add("Q?", "A.")
        with httpx.Client(base_url=web.url) as client:
            answer = client.post("/label", data=self.form(trace_id, comment="Right.", reader="Ada Löwe"))
            assert (answer.status_code, answer.headers["location"]) == (303, f"./trace/{trace_id}?given=groundedness")
            page = client.get(f"/trace/{trace_id}?given=groundedness").text
        (given,) = web.given
        assert (given.name, given.value, given.source) == ("groundedness", "good", "expert")
        assert (given.user, given.comment, given.mlflow_trace_id) == ("Ada Löwe", "Right.", trace_id)
        assert "Your label for groundedness was saved" in page
        assert 'name="reader" value="Ada Löwe"' in page
        assert "Löwe" not in web.get(f"/trace/{trace_id}").text

    def test_thumbs_are_feedback_of_users(self, add: Callable[..., str], web: WebStand) -> None:
        """They need no name."""
        trace_id = add("Q?", "A.")
        for say in ("up", "down"):
            assert plain_http.post(f"{web.url}/label", data=self.form(trace_id, say=say, reader="")).status_code == 303
        assert [(given.name, given.value, given.source, given.user) for given in web.given] == [
            ("thumb", True, "user", None),
            ("thumb", False, "user", None),
        ]

    def test_a_form_sent_twice_is_one_opinion(self, add: Callable[..., str], web: WebStand) -> None:
        """The same for MLflow, by its id; one that was changed, or a new form, is another."""
        trace_id = add("Q?", "A.")
        for changes in ({}, {}, {"say": "bad groundedness"}, {"nonce": "b2"}, {"reader": "Bob"}):
            plain_http.post(f"{web.url}/label", data=self.form(trace_id, **changes))
        ids = [given.assessment_id for given in web.given]
        assert ids[0] == ids[1]
        assert len(set(ids)) == 4

    @pytest.mark.parametrize(
        ("changes", "status", "named"),
        [
            ({"say": "good nobody"}, 400, "say must"),
            ({"say": "so-so groundedness"}, 400, "say must"),
            ({"say": "up groundedness"}, 400, "say must"),
            ({"say": ""}, 400, "say must"),
            ({"reader": "  "}, 400, "reader must"),
            ({"reader": "x" * 201}, 400, "reader must"),
            ({"reader": "a\0b"}, 400, "reader must"),
            ({"comment": "x" * 10_001}, 400, "comment must"),
            ({"nonce": "<b>"}, 400, "nonce must"),
            ({"trace_id": "tr-9"}, 404, "Nothing is kept"),
            ({"trace_id": "short"}, 404, "32 hexadecimal digits"),
        ],
    )
    def test_what_cannot_be_taken_is_named(
        self, add: Callable[..., str], web: WebStand, changes: dict[str, str], status: int, named: str
    ) -> None:
        """As a page; nothing is kept."""
        trace_id = add("Q?", "A.")
        add("Q?", "A.", trace_id="short")
        answer = plain_http.post(f"{web.url}/label", data=self.form(trace_id, **changes))
        assert answer.status_code == status
        assert named in answer.text
        assert web.given == []

    def test_a_full_journal_is_said(self, add: Callable[..., str], web: WebStand) -> None:
        """The label is not taken then."""

        def refuse(_: PersonFeedback) -> None:
            raise JournalFull("the journal is full")

        web.give = refuse
        answer = plain_http.post(f"{web.url}/label", data=self.form(add("Q?", "A.")))
        assert answer.status_code == 503
        assert "the journal is full" in answer.text

    def test_only_those_who_may_act_label(self, add: Callable[..., str], open_web: OpenWeb) -> None:
        """Readers see no form, and what they or other sites post is refused."""
        web = open_web(listen=TOKENS)
        trace_id = add("Q?", "A.")
        address, form = f"{web.url}/label", self.form(trace_id)
        assert plain_http.post(address, data=form, headers=READING).status_code == 403
        assert (
            plain_http.post(address, data=form, headers=ACTING | {"Origin": "https://evil.example"}).status_code == 403
        )
        assert web.given == []
        assert "<form method" not in plain_http.get(f"{web.url}/trace/{trace_id}", headers=READING).text
        assert "<form method" in plain_http.get(f"{web.url}/trace/{trace_id}", headers=ACTING).text
