"""The README's tables, made from results.json, so that no number in them is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import IMAGES, RESULTS_PAGE, image, interval, made, percent, put, table, write_results

from rung.core.files import replacing
from rung.eval import Estimate, MeasureResult
from rung.eval.forest import forest_svg

HERE = Path(__file__).resolve().parent
NAME = "label-sources"
ALT = "Problems answered right by PRMs of each source of labels, with 95% intervals"


def show(results: Mapping[str, Any]) -> str:
    """What was compared, the PRMs, their differences from the plain judge, the labels."""
    parts = [_about(results), show_prms(results), _differences(results), _labels(results)]
    return "\n\n".join([*parts, _judges(results)])


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results; put tables and picture into README.md and docs/results.md."""
    write_results(results, HERE / "results.json")
    with replacing(IMAGES / f"{NAME}.svg") as aside:
        aside.write_text(picture(results), encoding="utf-8")
    readme = HERE / "README.md"
    put(readme, "results", f"{image(NAME, ALT, readme)}\n\n{show(results)}")
    put(RESULTS_PAGE, NAME, f"{image(NAME, ALT, RESULTS_PAGE)}\n\n{short(results)}")


def picture(results: Mapping[str, Any]) -> str:
    """What the PRMs of each source pick, best first."""
    n, num_problems = (results["settings"][key] for key in ("test_chains", "test_problems"))
    found = MeasureResult(
        name=f"best of {n}",
        in_percent=True,
        lower_is_better=False,
        num_problems=num_problems,
        num_chains=n * num_problems,
        note="",
        published=None,
        scores={row["source"]: _estimate(row["best_of_n"]) for row in results["rows"]},
    )
    return forest_svg(f"Problems answered right, best of {n}, by what the PRM learned from", found)


def _estimate(told: Mapping[str, Any]) -> Estimate:
    return Estimate(told["value"], told["low"], told["high"])


def short(results: Mapping[str, Any]) -> str:
    """What docs/results.md shows of it."""
    return f"{_about(results)}\n\n{show_prms(results)}"


def _about(results: Mapping[str, Any]) -> str:
    chains, seeds = results["chains"], results["settings"]["seeds"]
    said = f"{chains['train']} training chains, {chains['trusted']} trusted ones, {chains['test']} "
    said += f"test chains of {results['settings']['test_problems']} problems, of which "
    said += f"{percent(results['pass_at_1'])} % are right; {seeds} PRMs a source. "
    return said + made(results)


def show_prms(results: Mapping[str, Any]) -> str:
    """How good each source's PRMs are."""
    n = results["settings"]["test_chains"]
    head = ["labels", "step AUROC", "first-error F1", "F1, threshold tuned", f"best of {n}"]
    rows = [
        [
            row["source"],
            *(interval(row[key]) for key in ("auroc", "f1", "f1_tuned", "best_of_n")),
            f"{row['brier']['value']:.3f}",
        ]
        for row in results["rows"]
    ]
    return table([*head, "Brier score"], rows)


def _differences(results: Mapping[str, Any]) -> str:
    n = results["settings"]["test_chains"]
    head = ["minus its plain judge", "step AUROC", "first-error F1", "F1, threshold tuned"]
    rows = [
        [
            row["source"],
            *(
                interval(row[key]["minus_judge"], sign="+")
                for key in ("auroc", "f1", "f1_tuned", "best_of_n")
            ),
        ]
        for row in results["rows"]
        if row["source"] != row["judge"]
    ]
    return table([*head, f"best of {n}"], rows)


def _labels(results: Mapping[str, Any]) -> str:
    head = ["labels", "steps labeled, %", "of them wrong, %", "rollout tokens"]
    head += ["chains read by a judge", "trusted chains"]
    rows = [
        [
            row["source"],
            percent(row["labeled"]),
            percent(row["wrong_labels"]),
            *(str(row[key] or "") for key in ("rollout_tokens", "judgings", "trusted_chains")),
        ]
        for row in results["rows"]
    ]
    return table(head, rows)


def _judges(results: Mapping[str, Any]) -> str:
    head = ["says right of wrong steps / of right ones, %", "all training chains"]
    head += ["trusted chains", "Dawid-Skene, no truth"]
    rows = [
        [
            row["judge"],
            *(
                " / ".join(percent(rate) for rate in row[key])
                for key in ("all training chains", "trusted chains", "Dawid-Skene")
            ),
        ]
        for row in results["judges"]
    ]
    return table(head, rows)
