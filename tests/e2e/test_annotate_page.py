"""The rating page in a real Chromium: the whole way by keyboard, and nothing lost on it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page, expect

import rung
from browser import PHONE, check_accessible, watched_page
from rating import Rater, rated_chain, somebody, with_labels, with_scores
from rung import write_records
from rung.label.rating_queue import queue_chains, queue_gold
from rung.serve.annotate import annotate
from rung.serve.annotate_desk import RatingDesk, local_name
from rung.serve.app import create_app
from rung.serve.guard import Safety
from rung.serve.pages import WEB
from rung.serve.tokens import hash_of, new_token
from rung.store.claims import Sharing, claim_of, next_chain
from rung.store.events import all_events
from rung.store.opening import Store, open_store
from rung.store.people import add_person, person_named, renew_token
from rung.store.values import Event
from served import served

pytestmark = pytest.mark.usefixtures("web")
expect.set_options(timeout=20_000)

SCRIPT = "<img src=x onerror=alert(1)><script>alert(2)</script> $\\href{javascript:alert(3)}{x}$"
CHAINS = [
    with_scores(rated_chain(1, "Add.", "$3 + 4 = 8$", "So 8."), 0.9, 0.95, 0.9),
    with_scores(rated_chain(2, "Add.", "$3 + 4 = 7$", SCRIPT), 0.6, 0.6, 0.6),
    with_scores(rated_chain(3, "Multiply."), 0.4),
]
"""The queue's order: the first is the most convincing wrong one."""
OTHER = replace(rated_chain(1, "Add.", "$3 + 4 = 7$"), meta={"is_alternative": True})


@pytest.fixture
def ratings(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "ratings.db") as store:
        with store.writing() as connection:
            queue_chains(connection, [*CHAINS, OTHER], first="convincing")
            add_person(connection, local_name(), "lead", None)
        yield store


@contextlib.contextmanager
def desk(store: Store, *, asks_token: bool = False, **settings) -> Iterator[str]:
    """The address of a server of this store."""
    settings = {"sharing": Sharing(gold_every=0), **settings}
    served_desk = RatingDesk(store=store, **settings)
    safety = Safety(find=served_desk.find if asks_token else None)
    app = create_app(annotate, safety=safety, pages=WEB)
    app.state.rating_desk = served_desk
    with served(app) as address:
        yield address


def events(store: Store) -> list[Event]:
    with store.reading() as connection:
        return [saved.event for saved in all_events(connection)]


def step(page: Page, name: str):
    return page.get_by_role("group", name=name, exact=True)


def open_chain(page: Page, address: str, first: str = "Add.") -> None:
    page.goto(f"{address}/annotate")
    expect(step(page, "step 1")).to_contain_text(first)


def all_saved(page: Page) -> None:
    expect(page.get_by_text("all saved")).to_be_visible()


def test_the_whole_way_by_keyboard_alone(page: Page, ratings: Store):
    press = page.keyboard.press
    with desk(ratings) as address:
        open_chain(page, address)
        submit = page.get_by_role("button", name="Submit")
        expect(submit).to_be_disabled()
        press("Enter")  # does nothing yet
        for key in ("3", "Control+z", "2", "1"):
            press(key)
        expect(submit).to_be_enabled()
        press("a")
        press("j")
        expect(step(page, "alternative 2a")).to_contain_text("3+4=7")
        press("3")
        press("e")
        page.get_by_role("textbox").fill("We get $7$.")
        press("Control+Enter")
        expect(step(page, "alternative 2b")).to_contain_text("We get")
        press("Enter")
        expect(page.get_by_role("region", name="Problem")).to_contain_text("in 2?")
        press("Backspace")
        expect(page.get_by_text("Submitted: first error found.")).to_be_visible()
        press("k")
        press("3")
        press("Enter")
        expect(page.get_by_role("region", name="Problem")).to_contain_text("in 2?")
        press("u")
        press("b")
        page.keyboard.type("It asks nothing.")
        press("Enter")
        expect(page.get_by_role("region", name="Problem")).to_contain_text("in 3?")
        press("g")
        page.keyboard.type("I don't know.")
        press("Enter")
        expect(page.get_by_role("heading", name="All done")).to_be_visible()
    said = [(e.kind, e.rating, e.finish) for e in events(ratings)]
    assert said == [
        ("rate", 1, None),
        ("undo", None, None),
        ("rate", 0, None),
        ("rate", -1, None),
        ("rate", 1, None),
        ("write", None, None),
        ("submit", None, "found_error"),
        ("reopen", None, None),
        ("rate", 1, None),
        ("submit", None, "found_error"),
        ("rate", None, None),
        ("submit", None, "bad_problem"),
        ("submit", None, "give_up"),
    ]
    assert all(e.took_ms is not None and e.at_ms is not None for e in events(ratings))
    assert [e.text for e in events(ratings) if e.text] == [
        "We get $7$.",
        "It asks nothing.",
        "I don't know.",
    ]


def test_a_click_does_what_a_key_does_and_a_rating_moves_on(page: Page, ratings: Store):
    with desk(ratings) as address:
        open_chain(page, address)
        step(page, "step 1").get_by_role("button", name="Great").click()
        expect(step(page, "step 2").get_by_role("button", name="Bad")).to_be_visible()
        page.get_by_role("button", name="step 1: Great. Change").click()
        step(page, "step 1").get_by_role("button", name="Unsure").click()
        page.get_by_role("button", name="Undo").click()
        all_saved(page)
    assert [(e.kind, e.rating, e.is_unsure) for e in events(ratings)] == [
        ("rate", 1, False),
        ("rate", None, True),
        ("undo", None, False),
    ]


def test_later_steps_are_pale_and_cannot_be_rated_before_their_turn(page: Page, ratings: Store):
    with desk(ratings) as address:
        open_chain(page, address)
        page.keyboard.press("j")
        expect(step(page, "step 1").get_by_role("button", name="Bad")).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("^step 3"))).to_have_count(0)
        page.keyboard.press("1")
        expect(page.get_by_text("Step 1 is the first bad one.")).to_be_visible()
        page.keyboard.press("j")
        expect(step(page, "step 1").get_by_role("button", name="Bad")).to_be_visible()


def test_rating_all_goes_on_behind_a_bad_step(page: Page, ratings: Store):
    with desk(ratings, rate_all=True) as address:
        open_chain(page, address)
        page.keyboard.press("1")
        expect(page.get_by_role("button", name="Submit")).to_be_disabled()
        page.keyboard.press("3")
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Problem")).to_contain_text("in 2?")


def test_what_a_model_wrote_is_text_and_never_a_page(page: Page, ratings: Store):
    said: list[str] = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    with desk(ratings) as address:
        open_chain(page, address)
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        expect(page.get_by_role("region", name="Problem")).to_contain_text("in 2?")
        expect(page.get_by_text("<img src=x onerror=alert(1)>")).to_be_attached()
        assert page.locator("main img, main script, main a[href^=javascript]").count() == 0
        page.keyboard.press("3")
        page.keyboard.press("3")
        page.keyboard.press("e")
        page.get_by_role("textbox").fill(f"Better: {SCRIPT}")
        page.keyboard.press("Control+Enter")
        expect(step(page, "alternative 3a")).to_contain_text("<img src=x onerror=alert(1)>")
        assert page.locator("main img, main script, main a[href^=javascript]").count() == 0
    assert said == []


def test_scores_are_hidden_until_asked_for_and_that_is_kept(page: Page, ratings: Store):
    with desk(ratings) as address:
        open_chain(page, address)
        page.keyboard.press("3")
        expect(page.get_by_text(".95")).to_have_count(0)
        page.keyboard.press("s")
        expect(page.get_by_text(".95")).to_be_visible()
        page.keyboard.press("1")
        all_saved(page)
        page.reload()
        expect(page.get_by_text(".95")).to_be_visible()
    assert [(e.kind, e.scores_shown) for e in events(ratings)] == [
        ("rate", False),
        ("show_scores", False),
        ("rate", True),
    ]


def test_a_page_that_is_loaded_again_goes_on_where_it_was(page: Page, ratings: Store):
    with desk(ratings) as address:
        open_chain(page, address)
        page.keyboard.press("3")
        page.keyboard.press("1")
        page.keyboard.press("e")
        page.get_by_role("textbox").fill("Better.")
        page.keyboard.press("Control+Enter")
        page.keyboard.press("3")
        all_saved(page)
        page.reload()
        expect(page.get_by_role("button", name="step 1: Great. Change")).to_be_visible()
        expect(page.get_by_role("button", name="Submit")).to_be_enabled()
        page.keyboard.press("a")
        expect(page.get_by_role("button", name="alternative 2b: Great. Change")).to_be_visible()
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        expect(page.get_by_text("Better.")).to_have_count(0)
        all_saved(page)
    assert [e.kind for e in events(ratings)] == ["rate", "rate", "write", "rate", "undo", "undo"]


NOTHING_ARRIVES = """
const real = window.fetch;
window.fetch = (...request) => String(request[0]).endsWith('/annotate/events')
  ? Promise.reject(new TypeError('lost')) : real(...request);
"""
"""Inside the page: on a busy machine Playwright's own route seems to let a request through."""


def test_a_browser_that_dies_before_it_could_send_loses_nothing(chromium: Browser, ratings: Store):
    with desk(ratings) as address:
        first = chromium.new_context()
        page = first.new_page()
        open_chain(page, address)
        page.evaluate(NOTHING_ARRIVES)
        for key in ("3", "1", "Enter"):
            page.keyboard.press(key)
        expect(page.get_by_text("3 kept here until the server answers")).to_be_visible()
        kept = first.storage_state()
        first.close()
        assert events(ratings) == []
        with contextlib.closing(chromium.new_context(storage_state=kept)) as second:
            page = second.new_page()
            page.goto(f"{address}/annotate")
            expect(page.get_by_role("region", name="Problem")).to_contain_text("in 2?")
            all_saved(page)
    assert [e.kind for e in events(ratings)] == ["rate", "rate", "submit"]


LOSES_TWO_ANSWERS = """
const real = window.fetch;
window.lost = [];
window.fetch = async (...request) => {
  const answer = await real(...request);
  if (!String(request[0]).endsWith('/annotate/events') || window.lost.length === 2) return answer;
  window.lost.push(await answer.text());
  throw new TypeError('lost');
};
"""
"""Inside the page: a request that Playwright repeats for it hung once on a busy machine."""


def test_an_answer_that_got_lost_doubles_nothing(chromium: Browser, ratings: Store):
    """The server keeps the event, the page never hears of it and sends it again."""
    with desk(ratings) as address, contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        page.add_init_script(LOSES_TWO_ANSWERS)
        open_chain(page, address)
        page.keyboard.press("3")
        all_saved(page)
        lost = page.evaluate("window.lost")
    assert ['"saved"' in lost[0], '"known"' in lost[1]] == [True, True]
    assert [e.kind for e in events(ratings)] == ["rate"]


@contextlib.contextmanager
def verb(folder: Path, port: int = 0) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """`rung annotate chains.jsonl` in a process of its own, and its port."""
    command = [sys.executable, "-m", "rung.cli.main", "annotate", "chains.jsonl"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--gold-every", "0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(rung.__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = (re.search(r"localhost:(\d+)", line) for line in process.stderr)
        yield process, int(next(filter(None, found))[1])
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_is_killed_and_started_again_loses_nothing(chromium: Browser, tmp_path: Path):
    write_records(tmp_path / "chains.jsonl", CHAINS)
    with contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        with verb(tmp_path) as (first, port):
            open_chain(page, f"http://localhost:{port}")
            page.keyboard.press("3")
            all_saved(page)
            first.kill()
            first.wait()
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        expect(page.get_by_text("2 kept here until the server answers")).to_be_visible()
        with verb(tmp_path, port) as (second, _):
            problem = page.get_by_role("region", name="Problem")
            expect(problem).to_contain_text("in 2?", timeout=30_000)
            all_saved(page)
            second.send_signal(signal.SIGINT)
            assert second.wait(timeout=60) == 0
    with open_store(tmp_path / "ratings.db") as store:
        assert [e.kind for e in events(store)] == ["rate", "rate", "submit"]


def test_people_log_in_by_their_link_and_work_for_themselves(chromium: Browser, ratings: Store):
    token = new_token()
    with ratings.writing() as connection:
        add_person(connection, "ann <b>", "rater", hash_of(token))
    with (
        desk(ratings, asks_token=True) as address,
        contextlib.closing(chromium.new_context()) as context,
    ):
        page = context.new_page()
        page.goto(f"{address}/annotate#token={token}")
        expect(step(page, "step 1")).to_contain_text("Add.")
        assert token not in page.url
        page.keyboard.press("1")
        all_saved(page)
        page.goto(f"{address}/annotate#token={token}")
        expect(page.get_by_role("button", name="Submit")).to_be_enabled()
        assert page.get_by_role("link", name="Team").count() == 0
        with ratings.reading() as connection:
            ann = person_named(connection, "ann <b>")
            assert claim_of(connection, ann.id, CHAINS[0].chain.prefix_id) is not None


def test_a_person_who_types_the_token_comes_to_the_page_that_was_asked_for(
    chromium: Browser, ratings: Store
):
    token = new_token()
    with ratings.writing() as connection:
        add_person(connection, "chris", "lead", hash_of(token))
    with (
        desk(ratings, asks_token=True) as address,
        contextlib.closing(chromium.new_context()) as context,
    ):
        page = context.new_page()
        page.goto(f"{address}/#/annotate/team")
        for typed in ("wrong" * 8, token):
            page.get_by_label("Your token").fill(typed)
            page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Team")).to_be_visible()
        assert page.url == f"{address}/#/annotate/team"


def test_people_choose_a_queue_and_see_how_far_each_is(page: Page, ratings: Store):
    with ratings.writing() as connection:
        queue_chains(connection, [rated_chain(7, "Seven.")], queue="hard & new")
    with desk(ratings) as address:
        open_chain(page, address)
        choice = page.get_by_role("combobox", name=re.compile("^Queue"))
        expect(choice).to_contain_text("hard & new: 0 of 1")
        choice.select_option("hard & new")
        expect(page.get_by_role("region", name="Problem")).to_contain_text("in 7?")
        check_accessible(page)
        page.reload()
        expect(page.get_by_text("1 of 1 taken")).to_be_visible()
        expect(choice).to_have_value("hard & new")
        expect(step(page, "step 1")).to_contain_text("Seven.")
        page.keyboard.press("3")
        page.keyboard.press("Enter")
        expect(page.get_by_text("no chain left for you to rate in the queue")).to_be_visible()
        page.goto(f"{address}/#/annotate/team")
        row = page.get_by_role("row", name=re.compile("^hard & new"))
        expect(row).to_contain_text("all who are assigned to none")
        check_accessible(page)


def test_whoever_must_log_in_again_keeps_what_was_not_sent(chromium: Browser, ratings: Store):
    token, other = new_token(), new_token()
    with ratings.writing() as connection:
        add_person(connection, "ann", "rater", hash_of(token))
    with (
        desk(ratings, asks_token=True) as address,
        contextlib.closing(chromium.new_context()) as context,
    ):
        page = context.new_page()
        page.goto(f"{address}/annotate#token={token}")
        expect(step(page, "step 1")).to_contain_text("Add.")
        with ratings.writing() as connection:
            renew_token(connection, "ann", hash_of(other))
        page.keyboard.press("1")
        expect(page.get_by_text("1 kept here")).to_be_visible()
        page.goto("about:blank")
        page.goto(f"{address}/annotate#token={other}")
        expect(page.get_by_role("button", name="Submit")).to_be_enabled()
        all_saved(page)
    assert [e.rating for e in events(ratings)] == [-1]


def test_a_lead_settles_what_others_disagree_on_and_sees_the_team(page: Page, ratings: Store):
    for name, second in (("ann", 1), ("bob", -1)):
        rater = Rater(ratings, somebody(ratings, name))
        with ratings.writing() as connection:
            next_chain(connection, rater.person, Sharing(overlap=2, gold_every=0))
        rater.rate(CHAINS[0], 0, 1)
        rater.rate(CHAINS[0], 1, second, took_ms=4000)
    with desk(ratings) as address:
        page.goto(f"{address}/#/annotate/team")
        expect(page.get_by_role("row", name=re.compile("^ann"))).to_contain_text("4.0")
        check_accessible(page)
        page.get_by_role("link", name="Settle them").click()
        expect(page.get_by_role("heading", name="Settle")).to_be_visible()
        expect(step(page, "step 2")).to_contain_text("1 Bad")
        expect(step(page, "step 2")).to_contain_text("1 Great")
        check_accessible(page)
        for key in ("3", "1", "Enter"):
            page.keyboard.press(key)
        expect(page.get_by_role("heading", name="Nothing to settle")).to_be_visible()
        page.goto(f"{address}/#/annotate/team")
        with page.expect_download() as download:
            page.get_by_role("link", name="PRM800K").click()
        assert download.value.suggested_filename == "ratings-prm800k.jsonl"
        assert '"finish_reason":"found_error"' in download.value.path().read_text()


def test_gold_chains_look_like_all_others(page: Page, tmp_path: Path):
    gold = with_labels(rated_chain(9, "Add.", "Right."), 1, 1)
    with open_store(tmp_path / "gold.db") as store:
        with store.writing() as connection:
            queue_gold(connection, [gold], "gold.jsonl")
            add_person(connection, local_name(), "lead", None)
        with desk(store, sharing=Sharing(gold_every=1)) as address:
            open_chain(page, address)
            with page.expect_response("**/v1/annotate/chains/*") as answer:
                page.reload()
            assert "gold" not in answer.value.text()
            page.keyboard.press("3")
            page.keyboard.press("3")
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="All done")).to_be_visible()


def test_keys_can_be_changed_and_the_browser_remembers(page: Page, ratings: Store):
    with desk(ratings) as address:
        open_chain(page, address)
        page.keyboard.press("i")
        page.get_by_role("button", name=re.compile("^bad: .* 1. Change")).click()
        page.keyboard.press("x")
        page.get_by_role("button", name="Close").last.click()
        page.reload()
        expect(step(page, "step 1")).to_contain_text("Add.")
        page.keyboard.press("1")
        page.keyboard.press("x")
        all_saved(page)
    assert [e.rating for e in events(ratings)] == [-1]


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_nobody_is_kept_out(chromium: Browser, ratings: Store, look: str):
    size = {"size": PHONE} if look == "phone" else {}
    with desk(ratings) as address, watched_page(chromium, dark=look == "dark", **size) as page:
        open_chain(page, address)
        for key in ("3", "1", "a", "s"):
            page.keyboard.press(key)
        expect(page.get_by_text(".95")).to_be_visible()
        check_accessible(page)
        for key in ("e", "g", "i"):
            page.keyboard.press(key)
            expect(page.get_by_role("dialog")).to_be_visible()
            check_accessible(page)
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= page.viewport_size["width"]
