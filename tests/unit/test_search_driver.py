"""The driver of searches: budgets, the log, kills, and policies and scorers that misbehave."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from odd_parts import Odd, elsewhere, no_chain, no_numbers, raises
from rung.core import (
    Chain,
    InputError,
    Problem,
    Provenance,
    RungError,
    Sampling,
    Step,
    StepScores,
    UnavailableError,
)
from rung.search import (
    Beam,
    BestOfN,
    Budget,
    Busy,
    Prices,
    Search,
    SearchLog,
    SearchResult,
    Setting,
    rule,
    run_searches,
)
from tree_policy import PROBLEM, DicePolicy, TableScorer, words

PICK = rule("min", scorer=None, answer_key=lambda chain: chain.answer)
PROBLEMS = [Problem(str(k), f"Problem {k}?") for k in range(6)]


def setting(policy: Any = None, scorer: Any = None, **given: Any) -> Setting:
    scorer = scorer or TableScorer(otherwise=lambda text: int(text) / 10)
    return Setting(generator=policy or DicePolicy(), scorer=scorer, pick=PICK, **given)


def seen(results: Sequence[SearchResult]) -> list[Any]:
    return [(r.chosen and r.chosen.chain.texts, r.value, r.reason, r.spent) for r in results]


def test_what_a_search_is_told_does_not_depend_on_the_others() -> None:
    together = run_searches(Beam(n=8), PROBLEMS, setting(in_flight=6, batch=1000))
    alone = [run_searches(Beam(n=8), [p], setting(batch=1))[0] for p in PROBLEMS]
    assert seen(together) == seen(alone)


@pytest.mark.parametrize("tokens", [1, 2, 5, 17, 40, 41, 200])
@pytest.mark.parametrize("search", [BestOfN(n=8), Beam(n=8, width=2)])
def test_a_budget_of_tokens_is_kept_and_the_best_so_far_is_given(
    tokens: int, search: Search
) -> None:
    how = setting(budget=Budget(tokens=tokens), sampling=Sampling(max_tokens=4))
    [result] = run_searches(search, [PROBLEM], how)
    assert result.spent.tokens <= tokens
    assert result.reason == ("done" if tokens == 200 else "tokens")
    assert (result.chosen is not None) == (tokens > 1)
    assert result.is_finished or tokens < 200


def test_a_budget_of_calls_or_money_is_kept() -> None:
    [result] = run_searches(Beam(n=8), [PROBLEM], setting(budget=Budget(calls=11)))
    assert (result.spent.calls, result.reason) == (11, "calls")
    prices = Prices(sampled=1e6, scored=0.5e6)
    how = setting(budget=Budget(money=12), prices=prices, sampling=Sampling(max_tokens=4))
    [result] = run_searches(Beam(n=8), [PROBLEM], how)
    assert result.spent.money(prices) <= 12 and result.reason == "money"


@pytest.mark.parametrize("budget", [Budget(tokens=40), Budget(money=1.0)])
def test_a_budget_of_tokens_is_refused_where_the_policy_does_not_count(budget: Budget) -> None:
    def uncounted(prefix: Chain, sampling: Sampling) -> list[Chain]:
        return [Chain(prefix.problem, (*prefix.steps, Step("1")), source=Provenance())]

    [result] = run_searches(Beam(n=2), [PROBLEM], setting(Odd(uncounted), budget=budget))
    assert result.reason == "failed" and "does not count its tokens" in str(result.error)
    [result] = run_searches(Beam(n=2), [PROBLEM], setting(Odd(uncounted), max_steps=3))
    assert result.reason == "done"


def test_a_budget_of_seconds_ends_what_is_under_way() -> None:
    class Slow(DicePolicy):
        def sample(self, prefixes: Any, n: int, sampling: Sampling) -> Any:
            time.sleep(0.05)
            return super().sample(prefixes, n, sampling)

    how = setting(Slow(steps=1000), budget=Budget(seconds=0.2))
    [result] = run_searches(Beam(n=4), [PROBLEM], how)
    assert result.reason == "seconds" and result.chosen is not None and not result.is_finished


@pytest.mark.parametrize("limit", [{"tokens": 0}, {"calls": -1}, {"seconds": 0.0}, {"money": -1}])
def test_a_budget_of_nothing_is_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(RungError, match="expected above 0"):
        Budget(**limit)


def test_no_problems_are_refused() -> None:
    with pytest.raises(RungError, match="no problems"):
        run_searches(BestOfN(), [], setting())


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on_from_its_log_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    class Dies(DicePolicy):
        def sample(self, prefixes: Any, n: int, sampling: Sampling) -> Any:
            if self.calls == 3:
                raise Killed
            return super().sample(prefixes, n, sampling)

    path, search = tmp_path / "log.jsonl", Beam(n=8)
    whole = run_searches(search, PROBLEMS, setting(unbroken := DicePolicy(), in_flight=2))
    with SearchLog.open(path, "dice") as log, pytest.raises(Killed):
        run_searches(search, PROBLEMS, setting(Dies(), in_flight=2), log=log)
    with open(path, "ab") as stream:
        stream.write(b'{"event":"sampled","key":"half a row')
    scorer = TableScorer(otherwise=lambda text: int(text) / 10)
    with SearchLog.open(path, "dice") as log:
        paid = set(log.scored)
        resumed = DicePolicy()
        again = run_searches(search, PROBLEMS, setting(resumed, scorer, in_flight=2), log=log)
    assert seen(again) == seen(whole)
    assert 0 < resumed.calls <= unbroken.calls - 3
    again_paid = {chain.prefix_id for chain in scorer.scored}
    assert paid and not again_paid & {name.split()[0] for name in paid}
    with SearchLog.open(path, "dice") as log:
        silent = DicePolicy()
        assert seen(run_searches(search, PROBLEMS, setting(silent), log=log)) == seen(whole)
    assert silent.calls == 0


def test_a_log_serves_a_larger_budget_too(tmp_path: Path) -> None:
    small, large, fresh = (DicePolicy() for _ in range(3))
    with SearchLog.open(tmp_path / "log", "dice") as log:
        run_searches(Beam(n=8), PROBLEMS, setting(small, budget=Budget(calls=20)), log=log)
        results = run_searches(Beam(n=8), PROBLEMS, setting(large), log=log)
    assert seen(results) == seen(run_searches(Beam(n=8), PROBLEMS, setting(fresh)))
    assert large.calls < fresh.calls


class Told(DicePolicy):
    """Tells of each step it has written that its log-probability is the number it rolled."""

    def _write(self, prefix: Chain, sampling: Sampling, draws: Any) -> Chain:
        chain = super()._write(prefix, sampling, draws)
        assert sampling.logprobs and chain.source is not None
        before = (prefix.source or Provenance()).logprobs_for(len(prefix.steps))
        new = [-float(text) for text in chain.texts[len(prefix.steps) :]]
        return replace(chain, source=replace(chain.source, step_logprobs=(*before, *new)))


@pytest.mark.parametrize("search", [BestOfN(n=4), Beam(n=4, width=2)])
def test_log_probabilities_of_all_steps_come_with_the_chains_and_out_of_the_log(
    search: Search, tmp_path: Path
) -> None:
    how = setting(Told(), sampling=Sampling(logprobs=True))
    with SearchLog.open(tmp_path / "log", "x") as log:
        first = run_searches(search, [PROBLEM], how, log=log)
    with SearchLog.open(tmp_path / "log", "x") as log:
        again = run_searches(search, [PROBLEM], replace(how, generator=Odd(raises)), log=log)
    for [result] in (first, again):
        chains = [record.chain for record in result.chains]
        assert chains and all(chain.source for chain in chains)
        for chain in chains:
            assert chain.source is not None
            assert chain.source.step_logprobs == tuple(-float(text) for text in chain.texts)


def test_the_log_is_typed_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with SearchLog.open(path, "dice") as log:
        run_searches(BestOfN(n=2), PROBLEMS[:1], setting(), log=log)
    rows = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert [row["event"] for row in rows[:2]] == ["begun", "sampled"]
    assert rows[-1]["event"] == "ended" and rows[-1]["reason"] == "done"
    assert {"scored"} == {row["event"] for row in rows[2:-1]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"event":"begun","search_of":"cards"}\n', "another policy, sampling or scorer"),
        (b'{"event":"ended"}\n', "line 1: this is no row of a search's log"),
        (b'{"question":"?"}\n', "line 1: this is no row"),
        (b"notes", "line 1: this is no log of searches"),
        (b'{"event":"begun","search_of":"dice"}\n[]\n', "line 2: this is no row"),
    ],
)
def test_a_file_that_is_no_log_of_this_run_is_refused_and_left_alone(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said), SearchLog.open(path, "dice"):
        pass
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (no_chain, "was asked for a chain for each of 4 prefixes"),
        (elsewhere, "does not go on from its prefix"),
        (raises, "ConnectionError: the server is gone"),
    ],
)
def test_a_policy_that_fails_ends_its_searches_and_says_why(write: Any, said: str) -> None:
    [result] = run_searches(Beam(n=4), [PROBLEM], setting(Odd(write)))
    assert result.reason == "failed" and result.error is not None and said in result.error


@pytest.mark.parametrize(("away", "num_calls"), [(range(99), 2), (range(0, 99, 2), 5)])
def test_a_server_that_is_gone_is_not_waited_for_by_every_search(
    away: Sequence[int], num_calls: int, tmp_path: Path
) -> None:
    """Each call has been patient already; one that fails now and then is called on."""

    class Away(DicePolicy):
        def sample(self, prefixes: Any, n: int, sampling: Sampling) -> Any:
            groups = super().sample(prefixes, n, sampling)
            if self.calls - 1 in away:
                raise UnavailableError("no server answers")
            return groups

    with SearchLog.open(tmp_path / "log", "dice") as log:
        run_searches(BestOfN(n=2), PROBLEMS[-1:], setting(), log=log)
    policy, how = Away(), {"batch": 2, "in_flight": 2}
    with SearchLog.open(tmp_path / "log", "dice") as log:
        results = run_searches(BestOfN(n=2), PROBLEMS, setting(policy, **how), log=log)
    assert policy.calls == num_calls
    failed = [r for r in results if r.reason == "failed"]
    assert len(failed) == (5 if num_calls == 2 else 3)
    assert {r.error for r in failed} == {"UnavailableError: no server answers"}
    assert results[-1].reason == "done", "what the log has is not lost"


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (no_numbers, "nan"),
        (lambda chains: [], "gave other numbers of scores than of steps"),
        (lambda chains: [StepScores((0.5,) * 9, "s") for _ in chains], "other numbers of scores"),
    ],
)
def test_a_scorer_that_gives_no_scores_ends_the_search_and_says_why(scores: Any, said: str) -> None:
    scorer = TableScorer()
    scorer.score = scores
    [result] = run_searches(Beam(n=4), [PROBLEM], setting(scorer=scorer))
    assert result.reason == "failed" and result.error is not None and said in result.error


def test_duplicates_hold_one_place_and_cost_one_score() -> None:
    policy, scorer = DicePolicy(sides=1), TableScorer()
    twins = [PROBLEM, replace(PROBLEM, id="twin")]
    one, two = run_searches(Beam(n=8, width=2), twins, setting(policy, scorer))
    assert seen([one]) == seen([two])
    assert one.spent.tokens_scored == 4 and one.spent.tokens_sampled == 4 * 8
    assert sorted(map(words, scorer.scored)) == ["1", "1 1", "1 1 1", "1 1 1 1"]


def test_sampling_and_scoring_overlap() -> None:
    """The scorer waits for the policy to be called again while it scores: alone it would wait."""
    called = threading.Event()

    class Policy(DicePolicy):
        def sample(self, prefixes: Any, n: int, sampling: Sampling) -> Any:
            if self.calls == 1:
                called.set()
            return super().sample(prefixes, n, sampling)

    class Scorer(TableScorer):
        def score(self, chains: Sequence[Chain]) -> list[StepScores]:
            assert called.wait(timeout=30)
            return super().score(chains)

    busy, how = Busy(), setting(Policy(), Scorer(), batch=4)
    results = run_searches(BestOfN(n=4), PROBLEMS[:2], how, busy=busy)
    assert [r.reason for r in results] == ["done", "done"]
    assert busy.sampling_s > 0 and busy.scoring_s > 0 and busy.total_s > 0
