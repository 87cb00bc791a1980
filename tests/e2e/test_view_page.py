"""The pages of `rung view` in a real Chromium, from a bundle on disk and from the server."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import DESKTOP, PHONE, check_accessible, watched_page
from rung.core import read_records, write_records
from rung.core.progress import Silent
from rung.serve.app import create_app
from rung.serve.view.bundle import write_bundle
from rung.serve.view.library import Library
from rung.serve.view.routes import view_routes
from served import served
from view_runs import made_records, write_runs

CHAINS = "#/runs/scored/chains/test.jsonl.gz"
LONG = 73
"""The place of the chain with 300 steps."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def site(runs: Path, web: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a bundle's page, on disk."""
    out = tmp_path_factory.mktemp("site") / "bundle"
    return Path(write_bundle(Library(runs), web, out, Silent()).index).as_uri()


@pytest.fixture(scope="module")
def tree(runs: Path) -> str:
    """The address of a search's tree."""
    listed = Library(runs).searches("searches", "beam.jsonl.events")
    return f"#/runs/searches/searches/beam.jsonl.events/{listed.searches[0].problem}"


def addresses(tree: str) -> dict[str, str]:
    """Every view, with something that stands in it."""
    return {
        "#/": "Runs in",
        "#/runs/scored": "Charts",
        CHAINS: "chains of",
        f"{CHAINS}/0?a=prm&b=prm-2&step=1": "First error",
        "#/runs/searches/searches/beam.jsonl.events": "searches",
        f"{tree}?node=0.2": "The chain up to step",
        f"{tree}?with=searches/mcts.jsonl.events&at=8": "tokens",
        "#/runs/scored/charts": "Best of n",
        "#/runs/scored/charts?kind=reliability": "share right",
        "#/runs/scored/charts?kind=positions": "mean",
        "#/runs/scored/charts?kind=first-errors": "right left alone",
        "#/runs/rl/charts": "held out",
        "#/nowhere": "There is no page",
    }


@pytest.mark.parametrize(("dark", "size"), [(False, DESKTOP), (True, PHONE)])
def test_every_view_opens_from_disk_and_keeps_nobody_out(
    chromium: Browser, site: str, tree: str, dark: bool, size: dict[str, int]
) -> None:
    with watched_page(chromium, dark=dark, size=size) as page:
        for address, words in addresses(tree).items():
            page.goto("about:blank")
            page.goto(site + address)
            page.get_by_text(words).first.wait_for(state="attached")
            check_accessible(page)
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, f"{address} is {wider} pixels wider than the window"


def at(page: Page, words: str) -> None:
    """The address says so, in a moment at the latest."""
    expect(page).to_have_url(re.compile(re.escape(words)))


def test_chains_by_keyboard(page: Page, site: str) -> None:
    page.goto(site + CHAINS)
    page.get_by_text("74 chains of 14 problems").wait_for()
    page.keyboard.press("]")
    page.get_by_role("heading", name="Chain 0").wait_for()
    step = page.locator('[aria-current="step"]')
    page.keyboard.press("j")
    expect(step).to_contain_text("We have")
    page.keyboard.press("j")
    expect(step).to_contain_text("Then")
    page.keyboard.press("k")
    expect(step).to_contain_text("We have")
    page.keyboard.press("o")  # prm-2 over prm: .71 apart at step 2, .8 at step 4
    expect(page.get_by_label("laid over by")).to_have_value("prm-2")
    for place in ("4", "2", "3", "4"):
        page.keyboard.press("n")
        expect(step.locator(".place")).to_have_text(place)
    at(page, "step=3")
    at(page, "b=prm-2")
    page.keyboard.press("]")
    page.get_by_role("heading", name="Chain 1").wait_for()
    at(page, "b=prm-2")
    assert "step" not in page.url
    page.keyboard.press("[")
    page.get_by_role("heading", name="Chain 0").wait_for()


def test_opinions_stand_side_by_side_with_both_first_errors(page: Page, site: str) -> None:
    page.goto(f"{site}{CHAINS}/0?a=prm-2")
    row = page.locator(".steps li", has_text="Then").last
    for said in ("human", "bad", "arithmetic", "rollout", "1/8", "judge:j", ".20"):
        expect(row).to_contain_text(said)
    labelled = "labelled by human, arithmetic, rollout; predicted by prm-2"
    expect(row).to_contain_text(f"First error, {labelled}")
    expect(row).to_contain_text("arithmetic: 2 + 2 is 4, not 5")


def test_what_a_colour_says_stands_in_a_sign_or_a_number_too(page: Page, site: str) -> None:
    page.goto(f"{site}{CHAINS}/0?a=prm-2")
    page.locator(".steps li").first.wait_for()
    for step in page.locator(".steps li").all():
        expect(step).to_contain_text(re.compile(r"[<>]?\.\d\d"))  # the score
    signs = {
        said: page.get_by_role("img", name=said, exact=True)
        .first.locator("path")
        .get_attribute("d")
        for said in ("right", "wrong", "not judged")
    }
    assert len(set(signs.values())) == 3
    page.goto(f"{site}#/runs/scored/charts")
    curves = page.get_by_role("figure").first
    for name in ("oracle (pass@n)", "PRM min", "majority"):
        expect(curves.locator("svg").get_by_text(name, exact=True)).to_be_visible()  # at its line


def test_text_of_models_is_text_and_its_formulas_are_typeset(page: Page, site: str) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(f"{site}{CHAINS}/0")
    article = page.get_by_role("article")
    expect(article.get_by_text("<script>alert(1)</script>").first).to_be_visible()
    assert article.locator("script, img").count() == 0
    first = page.locator(".steps li").first
    assert first.locator(".katex").count() == 3
    expect(first).to_contain_text("costs $5 and $6.")
    expect(page.locator(".unread")).to_have_text(r"\frac{1")


def test_filters_leave_the_chains_they_name(page: Page, site: str, runs: Path) -> None:
    records = list(read_records(runs / "scored" / "test.jsonl.gz"))
    trusted = sum(
        r.outcome == "incorrect" and min(r.scores_by("prm").known) >= 0.5  # pyright: ignore
        for r in records
    )
    assert 0 < trusted < len(records)
    page.goto(site + CHAINS)
    page.get_by_role("button", name="Wrong but trusted").press("Enter")
    page.get_by_text(re.compile(f"^{trusted} of 74 chains")).wait_for()
    at(page, "show=trusted")
    page.get_by_role("button", name="Wrong but trusted").press("Enter")
    page.get_by_role("button", name="Unparsed").press("Enter")
    page.get_by_text(re.compile("^1 of 74 chains")).wait_for()
    page.get_by_role("button", name="Unparsed").press("Enter")
    page.get_by_role("button", name="Long").press("Enter")
    page.get_by_text(re.compile("^1 of 74 chains")).wait_for()
    page.get_by_role("button", name="Long").press("Enter")
    page.keyboard.press("/")
    page.keyboard.type("number 11")
    page.get_by_text(re.compile("^6 of 74 chains")).wait_for()
    page.reload()
    expect(page.get_by_label("Find in questions and answers")).to_have_value("number 11")
    page.get_by_text(re.compile("^6 of 74 chains")).wait_for()


def test_lists_and_long_chains_hold_only_what_is_in_sight(page: Page, site: str) -> None:
    page.goto(f"{site}{CHAINS}/{LONG}")
    page.get_by_role("heading", name=f"Chain {LONG}").wait_for()
    rows = page.locator(".box li")
    assert rows.count() < 30
    expect(rows.last).to_contain_text("73")  # the list shows the chain that is open
    steps = page.locator(".steps .place")
    expect(steps.first).to_be_visible()
    assert steps.count() < 200
    page.keyboard.press("k")  # from the end
    expect(page.locator('[aria-current="step"]')).to_contain_text("300")
    expect(page.locator('[aria-current="step"]')).to_be_in_viewport()
    assert steps.count() < 200


def test_a_search_is_replayed_by_keyboard(page: Page, site: str, tree: str) -> None:
    page.goto(site + tree)
    page.get_by_role("heading", name="beam").wait_for()
    nodes = page.locator("g.node")
    whole = nodes.count()
    page.keyboard.press("Home")
    expect(nodes).to_have_count(0)
    page.keyboard.press(".")
    at(page, "at=1")
    expect(nodes.first).to_be_visible()
    assert nodes.count() < whole
    expect(page.locator("g.node text").first).to_have_text("–")  # written, not scored yet
    page.keyboard.press(".")
    at(page, "at=2")
    page.keyboard.press(",")
    at(page, "at=1")
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    at(page, "at=2")
    page.get_by_role("button", name="Play").focus()
    page.keyboard.press("End")
    expect(nodes).to_have_count(whole)
    chosen = page.get_by_role("button", name=re.compile("step 1:.*chosen"))
    chosen.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="The chain up to step 1").wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="The chain up to step 2").wait_for()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("heading", name="The chain up to step 1").wait_for()


def test_two_searches_are_compared_at_equal_tokens(page: Page, site: str, tree: str) -> None:
    page.goto(site + tree)
    page.get_by_label("Compare with").select_option(label="mcts.jsonl.events")
    page.get_by_role("heading", name="mcts").wait_for()
    page.keyboard.press("Home")
    page.keyboard.press(".")
    expect(page).to_have_url(re.compile(r"at=[1-9]"))
    tokens = int(re.search(r"at=(\d+)", page.url)[1])  # pyright: ignore
    for spent in page.locator(".trees dl > div:first-child dd").all():
        assert int(spent.inner_text().split()[0]) <= tokens
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.get_by_role("heading", name="mcts").wait_for()
    expect(page.locator("output")).to_contain_text(f"{tokens} of")


def test_searches_of_different_runs_are_compared_by_an_address(
    page: Page, chromium: Browser, runs: Path, tmp_path: Path, web: Path, tree: str
) -> None:
    for run in ("one", "two"):
        shutil.copytree(runs / "searches", tmp_path / run)
    (tmp_path / "two" / "beam.jsonl.events").unlink()
    with served(create_app(view_routes(Library(tmp_path)), pages=web)) as address:
        page.goto(address + tree.replace("runs/searches", "runs/one"))
        choice = page.get_by_label("Compare with")
        choice.focus()
        choice.select_option(label="two/mcts.jsonl.events")
        page.get_by_role("region", name="two/mcts.jsonl.events").wait_for()
        shared = page.url
        page.goto("about:blank")
        page.goto(shared)
        page.get_by_role("region", name="two/mcts.jsonl.events").wait_for()
        page.get_by_role("region", name="beam.jsonl.events", exact=True).wait_for()
        expect(choice).to_have_value("two/mcts.jsonl.events")


def test_curves_show_the_numbers_of_the_file_and_rules_can_be_chosen(
    page: Page, site: str, runs: Path
) -> None:
    curve = json.loads((runs / "scored" / "best_of_n.json").read_text())["curves"]["prm_mean"]
    page.goto(f"{site}#/runs/scored/charts")
    figure = page.get_by_role("figure").first
    figure.locator("summary", has_text="Rules").press("Enter")
    figure.get_by_label("PRM mean", exact=True).first.check()
    at(page, "prm_mean")
    figure.locator("summary", has_text="Numbers").press("Enter")
    last = figure.locator("tbody tr").last
    expect(last).to_contain_text(f"{100 * curve[-1]['accuracy']:.1f}%")
    expect(last).to_contain_text(f"{100 * curve[-1]['low']:.1f}%")


def test_keys_are_shown_and_the_appearance_is_remembered(page: Page, site: str) -> None:
    page.goto(f"{site}{CHAINS}/0")
    page.get_by_role("heading", name="Chain 0").wait_for()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("the largest disagreement, then the next")
    check_accessible(page)
    page.keyboard.press("]")  # the dialog is open: nothing moves
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Chain 0")).to_be_visible()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Appearance").select_option("dark")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


@pytest.fixture(scope="module")
def server(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of `rung view` on a file, and the file."""
    path = tmp_path_factory.mktemp("live") / "chains.jsonl"
    write_records(path, made_records(2, 2))
    with served(create_app(view_routes(Library(path.parent)), pages=web)) as address:
        yield address, path


def test_the_server_shows_what_a_file_holds_now(page: Page, server: tuple[str, Path]) -> None:
    address, path = server
    answer = page.goto(address)
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy
    page.get_by_text("5 chains of 3 problems").wait_for()  # the only file opens by itself
    check_accessible(page)
    write_records(path, made_records(3, 2))
    page.reload()
    page.get_by_text("7 chains of 4 problems").wait_for()


def test_the_lock_file_names_no_registry(pytestconfig: pytest.Config) -> None:
    lock = (pytestconfig.rootpath / "web" / "package-lock.json").read_text()
    assert not re.search(r'"resolved"|registry\.', lock)
