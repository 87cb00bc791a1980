"""The report: one page that is complete, safe and loads nothing."""

import re
from html.parser import HTMLParser

import pytest
from eval_records import made_records

from rung.core import Chain, ChainRecord, Problem, StepLabels, StepScores, Verdict
from rung.eval import (
    ReportData,
    Stage,
    best_of_n,
    choose_examples,
    rewards_of,
    step_metrics,
    write_curves_svg,
    write_report,
)
from rung.eval.charts import ticks
from rung.eval.report import headline
from rung.eval.reward_chart import reward_chart
from rung.eval.svg import Markup, spread, tag

HOSTILE = "<script>alert('x')</script><img src=http://evil.example/x onerror=alert(1)> & </li>"


@pytest.fixture(scope="module")
def records():
    return made_records()


@pytest.fixture(scope="module")
def curves(records):
    return best_of_n(records, prm="prm", orm="orm", resamples=100)


def report_of(records, curves, **changes):
    metrics = step_metrics(records, scorer="prm", resamples=50)
    given = {
        "best_of_n": curves,
        "calibration": metrics.calibration,
        "step_auroc": metrics.auroc,
        "examples": choose_examples(records, seed=0),
        "stages": [Stage("sample the chains", 61.0, 122_000), Stage("label every step", 2.5)],
        "command": "rung quickstart --seed 0",
        "seed": 0,
        "settings": {"problems": 40},
    }
    return ReportData(**{**given, **changes})


def page_of(tmp_path, report):
    write_report(tmp_path / "report.html", report)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Checks that elements are nested and collects their names and attributes."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def elements_of(page):
    parser = Elements()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def test_the_page_says_the_numbers_that_were_measured(tmp_path, records, curves):
    page = page_of(tmp_path, report_of(records, curves))
    assert f"{100 * curves.at('prm_min', 8).accuracy:.1f}% of the problems" in page
    for name, curve in curves.curves.items():
        assert name in page
        for point in curve:
            cell = f"{100 * point.accuracy:.1f}<small>{100 * point.low:.1f}–{100 * point.high:.1f}"
            assert cell in page
    gap = curves.gap_at("prm_min_minus_orm", 8)
    assert f"{100 * abs(gap.difference):.1f} points more than the ORM" in page
    assert "rung quickstart --seed 0" in page
    assert "1 min 01 s" in page and "122,000" in page and "2,000" in page


def test_the_page_loads_nothing_from_elsewhere(tmp_path, records, curves):
    page = page_of(tmp_path, report_of(records, curves))
    assert "http://" not in page and "https://" not in page
    assert "url(" not in page and "@import" not in page
    assert "default-src 'none'" in page
    for name, attributes in elements_of(page):
        assert name not in {"script", "link", "img", "iframe", "object", "base"}
        assert not {"src", "href", "onload", "onerror", "srcset"} & set(attributes)


def test_what_models_write_is_escaped(tmp_path, records, curves):
    problem = Problem(HOSTILE, HOSTILE, HOSTILE)
    hostile = ChainRecord(
        Chain.of(problem, [HOSTILE, "x" * 60_000], answer=HOSTILE),
        (StepLabels((1.0, 0.0), "lab"),),
        (StepScores((0.9, None), "prm"),),
        Verdict.UNPARSED,
    )
    report = report_of(
        records, curves, examples=[hostile], settings={HOSTILE: HOSTILE}, command=HOSTILE
    )
    page = page_of(tmp_path, report)
    assert "<script" not in page and "<img" not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    assert "(60,000 characters)" in page and len(page) < 200_000
    assert not [name for name, _ in elements_of(page) if name in {"script", "img"}]


def test_steps_show_a_number_and_an_icon_and_the_first_error_is_marked(tmp_path, records, curves):
    examples = choose_examples(records, seed=0)
    page = page_of(tmp_path, report_of(records, curves))
    steps = re.findall(r'<li class="step .*?</li>', page)
    assert len(steps) == sum(len(r.chain.steps) for r in examples)
    for step in steps:
        assert re.search(r'class="score">\d\.\d\d <b aria-hidden="true">[✓✗]</b>', step)
    marked = [step for step in steps if "first-error" in step]
    assert len(marked) == sum(r.labels[0].first_error is not None for r in examples)
    assert all(">first error</span>" in step for step in marked)
    assert page.count("right answer</span>") == 4 and page.count("wrong answer</span>") == 6


def test_examples_are_of_different_problems_and_drawn_with_the_seed(records):
    chosen = choose_examples(records, seed=0)
    assert len({r.chain.problem.root_id for r in chosen}) == len(chosen) == 10
    assert [r.chain.id for r in chosen] == [r.chain.id for r in choose_examples(records, seed=0)]
    assert chosen != choose_examples(records, seed=1)


def test_a_report_without_prm_calibration_examples_or_stages_is_whole(tmp_path, records):
    votes = best_of_n(records, prm=None, orm=None, resamples=10)
    page = page_of(tmp_path, report_of(records, votes, calibration=None, examples=[], stages=[]))
    elements_of(page)
    assert "majority voting is right" in page
    assert "lead, as N grows" not in page and "What it cost" not in page


def test_the_headline_says_less_where_the_prm_loses(records):
    upside_down = [
        record.with_scores(StepScores(tuple(1 - s for s in record.scores_by("prm").known), "prm"))
        for record in records
    ]
    found = best_of_n(upside_down, prm="prm", orm="orm", resamples=10)
    assert "points less than the ORM" in headline(found)


def test_the_same_report_gives_the_same_bytes(tmp_path, records, curves):
    first, second = (page_of(tmp_path, report_of(records, curves)) for _ in range(2))
    assert first == second


def test_the_picture_stands_alone_and_shows_dark_and_light(tmp_path, curves):
    write_curves_svg(tmp_path / "curves.svg", curves)
    picture = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    elements_of(picture)
    assert picture.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert picture.count("http") == 1
    assert "prefers-color-scheme: dark" in picture
    assert f"{100 * curves.at('prm_min', 8).accuracy:.1f}%" in picture


def test_one_chain_a_problem_can_still_be_drawn(tmp_path, records):
    single = best_of_n(records, prm="prm", orm="orm", ns=[1], resamples=10)
    page = page_of(tmp_path, report_of(records, single))
    elements_of(page)
    assert f"{100 * single.pass_at_1:.1f}%" in page


def test_end_labels_keep_their_order_and_distance():
    assert spread([10, 11, 50], 18, 0, 100) == [10, 28, 50]
    placed = spread([95, 96, 97], 18, 0, 100)
    assert placed == [64, 82, 100]


def test_ticks_are_round_and_inside():
    assert ticks(0.3, 1.0) == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert ticks(-0.05, 0.1) == pytest.approx([-0.05, 0, 0.05, 0.1])


def test_markup_escapes_text_and_attributes():
    assert tag("text", "<b>", title='"<') == '<text title="&quot;&lt;">&lt;b&gt;</text>'
    assert tag("g", Markup("<b/>")) == "<g><b/></g>"


def looks(**counted: float) -> list[dict[str, float]]:
    said = zip((0, 100, 200), (0.5, 0.6, 0.7), (1.0, 1.5, 3.0), strict=True)
    return [
        {"tokens_sampled": n, "held_out_accuracy": right, "held_out_reward": paid, **counted}
        for n, right, paid in said
    ]


def test_rewards_and_truth_have_their_intervals():
    found = rewards_of("rl", looks(held_out_problems=100, held_out_reward_error=0.5))
    assert found is not None
    assert found.accuracy[0].interval == pytest.approx((0.4038, 0.5962), abs=1e-4)  # Wilson's
    assert found.reward[2].interval == pytest.approx((3 - 0.98, 3 + 0.98))
    chart = reward_chart(found)
    assert chart.count('class="band"') == 2
    assert (
        "right 0.700 (0.604 to 0.781) at the end, paid 3.000 (2.020 to 3.980) at the end" in chart
    )
    assert "3 (0.02 to 3.98)" in chart  # the axis of rewards has room for the band


def test_the_names_of_lines_that_end_together_stand_apart():
    rows = [
        {"step": k, "tokens_sampled": k, "held_out_accuracy": k, "held_out_reward": 3 * k}
        for k in range(2)
    ]
    found = rewards_of("rl", rows)
    assert found is not None
    heights = re.findall(r'class="series"[^>]* y="([\d.]+)"', reward_chart(found))
    assert len(heights) == 2 and abs(float(heights[0]) - float(heights[1])) >= 16


def test_looks_that_count_no_problems_have_no_band():
    found = rewards_of("rl", looks())
    assert found is not None
    chart = reward_chart(found)
    assert 'class="band"' not in chart and "right 0.700 at the end, paid 3.000 at the end" in chart
    assert rewards_of("rl", [{"step": 1, "loss": 0.5}]) is None
