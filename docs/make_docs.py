"""Write what is generated: docs/cli.md, and the quickstart's tables and picture.

The first comes from the program's own help, the others from measured results. Then the links of
every page are checked.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from rung.cli import main as cli
from rung.eval import CurvePoint, curves_svg

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CLI_PAGE = ROOT / "docs" / "cli.md"
LAB_PAGE = ROOT / "docs" / "lab.md"
PICTURE = ROOT / "docs" / "images" / "quickstart.svg"
RESULTS = ROOT / "docs" / "results"
"""Each `results.json` of a quickstart, kept as quickstart-SEED.json."""
TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- end -->)", re.DOTALL)
COLUMNS = {
    "PRM (min)": "prm_min",
    "PRM-weighted vote": "weighted_prm_min",
    "ORM": "orm",
    "majority": "majority",
    "oracle": "oracle",
}
LEADS = {"PRM minus ORM": "prm_min_minus_orm", "PRM minus majority": "prm_min_minus_majority"}
LAB_NS = (8, 64)
INTRODUCTION = """\
# The command line

This page is written by `make docs` from the program's own help; a test compares the two.

Every verb reads files, or standard input where a file is `-`; prints its result on standard
output, as JSON with `--json`; and says how far it is on standard error. Files end in `.jsonl`,
`.jsonl.gz`, `.jsonl.zst` or `.parquet`, and each may be a URL ([scale.md](guides/scale.md)). Exit
codes: 0 done, 2 a mistake in what was given (one sentence says which), 130 stopped by control-C. A
verb that was stopped or killed goes on from there when the same command is given again.
"""
LINK = re.compile(r"\]\(([^)#\s]+)?(?:#([^)\s]*))?\)")


def commands() -> dict[tuple[str, ...], type[Any]]:
    """Every command by its words, as ("data", "convert")."""
    found: dict[tuple[str, ...], type[Any]] = {}
    for name, verb in cli.VERBS.items():
        module = importlib.import_module(verb.module)
        if hasattr(module, "COMMAND"):
            found[(name,)] = module.COMMAND
        else:
            found |= {(name, sub): kind for sub, kind in module.COMMANDS.items()}
    return found


def cli_page() -> str:
    """The text of docs/cli.md: the help of every command, 100 columns wide, without colors."""
    words = ["", *(" ".join(command) for command in commands())]
    return "\n".join([INTRODUCTION, *(_section(command) for command in words)])


def _section(command: str) -> str:
    program = f"rung {command}".strip()
    return f"## {program}\n\n```text\n{_help(command.split())}\n```\n"


def _help(words: list[str]) -> str:
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # as a terminal: it gets boxes
    plain = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    with patch.dict(os.environ, plain), contextlib.redirect_stdout(printed):
        assert cli.main([*words, "--help"]) == 0
    printed.seek(0)
    return "\n".join(line.rstrip() for line in printed.read().strip().splitlines())


def readme() -> str:
    """The README with its table of results as the files in docs/results have them."""
    return TABLE.sub(lambda _: results_table(quickstarts()), README.read_text())


def lab_page() -> str:
    """docs/lab.md with its table of results, in the same way."""
    return TABLE.sub(lambda _: lab_table(quickstarts()), LAB_PAGE.read_text())


def picture() -> str:
    """The README's picture: the curves of the first seed."""
    curves = quickstarts()[0]["curves"]
    return curves_svg(msgspec.convert(curves, dict[str, tuple[CurvePoint, ...]]))


def quickstarts() -> list[dict[str, Any]]:
    """What the quickstarts of docs/results measured, by seed."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("quickstart-*.json"))]


def results_table(results: list[dict[str, Any]]) -> str:
    """One row a run, at its largest N."""
    largest = max(point["n"] for point in results[0]["curves"]["prm_min"])
    head = ["seed", "pass@1", *COLUMNS, "PRM minus ORM", "time"]
    rows = [head, ["---"] * len(head), *(_results_row(result, largest) for result in results)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"Percent right, one of {largest} chains picked, with 95% intervals:\n\n{table}\n"


def lab_table(results: list[dict[str, Any]]) -> str:
    """Accuracies and leads of every run at two N, in percent and points."""
    names = [*list(COLUMNS)[:-1], *LEADS]
    head = ["seed", *(f"{name}, N = {', '.join(map(str, LAB_NS))}" for name in names)]
    rows = [head, ["---"] * len(head), *map(_lab_row, results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _lab_row(result: dict[str, Any]) -> list[str]:
    curves = [result["curves"][name] for name in list(COLUMNS.values())[:-1]]
    gaps = [result["gaps"][name] for name in LEADS.values()]
    cells = [[_percent(_at(curve, n)["accuracy"]) for n in LAB_NS] for curve in curves]
    cells += [[f"{100 * _at(gap, n)['difference']:+.1f}" for n in LAB_NS] for gap in gaps]
    return [str(result["seed"]), *map(", ".join, cells)]


def _results_row(result: dict[str, Any], n: int) -> list[str]:
    picked = [_at(result["curves"][name], n) for name in COLUMNS.values()]
    shares = [f"{_percent(p['accuracy'])} ({_range(p)})" for p in picked]
    gap = _at(result["gaps"]["prm_min_minus_orm"], n)
    gained = f"{_percent(gap['difference'])} ({_range(gap)})"
    minutes = f"{result['seconds'] / 60:.1f} min"
    return [str(result["seed"]), _percent(result["pass_at_1"]), *shares, gained, minutes]


def _at(curve: list[dict[str, float]], n: int) -> dict[str, float]:
    return next(point for point in curve if point["n"] == n)


def _range(point: dict[str, float]) -> str:
    return f"{_percent(point['low'])} to {_percent(point['high'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def pages() -> list[Path]:
    """Every page of documentation, the README first."""
    top = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    return [*top, *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("recipes/*/*.md"))]


def broken_links(page: Path) -> list[str]:
    """The links of a page that lead to no file or heading of this repository."""
    broken: list[str] = []
    for target, heading in LINK.findall(page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        file = page.parent / target if target else page
        if not file.exists() or (heading and heading not in _headings(file)):
            broken.append(f"{page.relative_to(ROOT)}: {target}{'#' if heading else ''}{heading}")
    return broken


def _headings(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def main() -> int:
    """Write what is generated; return 1 when a link is broken."""
    CLI_PAGE.write_text(cli_page())
    README.write_text(readme())
    LAB_PAGE.write_text(lab_page())
    PICTURE.write_text(picture())
    broken = [link for page in pages() for link in broken_links(page)]
    print("\n".join([*broken, f"{len(pages())} pages, {len(broken)} broken links"]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
