"""What a notebook shows of a chain."""

import subprocess
import sys
from html.parser import HTMLParser

from rung import Chain, ChainRecord, Problem, StepLabels, StepScores, Verdict
from view_runs import SCRIPT, judged_record, long_record


class Seen(HTMLParser):
    """The elements and the text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        assert all(name == "style" for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_a_record_shows_every_opinion_and_the_first_errors() -> None:
    seen = Seen(judged_record()._repr_html_())
    head, *steps = seen.rows
    assert head[2:] == ["prm", "prm-2", "orm", "human", "arithmetic", "rollout", "judge:j"]
    assert steps[0][1].endswith(SCRIPT)
    assert steps[1][2:] == [
        "✓ 0.91", "✗ 0.20 first error", "–", "✗ first error", "✗ first error", "✗ 0.12 first error",
        "✓",
    ]  # fmt: skip
    assert seen.tags <= {"div", "p", "table", "thead", "tbody", "tr", "th", "td", "b"}


def test_color_follows_the_score_and_text_is_only_text() -> None:
    chain = Chain.of(Problem("p", "<b>1</b> & 2", '"3"'), ["a", "b", "c"], answer="<i>")
    html = ChainRecord(
        chain,
        (StepLabels((1.0, 0.0, None), "human"),),
        (StepScores((1.0, 0.5, 0.0), "<u>"),),
        Verdict.INCORRECT,
    )._repr_html_()
    assert "rgba(31, 119, 218, 0.45)" in html and "rgba(217, 95, 2, 0.45)" in html
    assert "&lt;b&gt;1&lt;/b&gt; &amp; 2" in html and "&lt;u&gt;" in html and "&lt;i&gt;" in html
    assert "✗ wrong answer" in html
    assert not Seen(html).tags & {"i", "u"}


def test_a_chain_alone_and_a_long_one() -> None:
    assert len(Seen(judged_record().chain._repr_html_()).rows) == 5
    assert "… and 100 more steps" in long_record()._repr_html_()


def test_importing_rung_reads_no_html_of_it() -> None:
    code = "import rung, sys; raise SystemExit('rung.core.html' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
