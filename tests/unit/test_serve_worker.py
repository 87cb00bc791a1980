"""The thread that owns a model: what waits is done together, and nothing is lost or spoiled."""

from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

import pytest

from rung import Chain, Problem, RungError, Sampling, Step, UnavailableError
from rung.serve.shared_policy import SharedPolicy, VisitingPolicy
from rung.serve.shared_scorer import SharedScorer, SharedSession, VisitingScorer
from rung.serve.waiting import GoneError, Visitor
from rung.serve.worker import Batch, FullError, Job, Worker
from serve_models import SCORES, Gate, ServedPolicy, ServedScorer
from tree_policy import DicePolicy

PROBLEM = Problem("p", "Which way?")


class Held:
    """A worker whose first call waits, so that what comes meanwhile is seen to be batched."""

    def __init__(self, **options: Any) -> None:
        self.gate, self.calls, self.batches = Gate(), list[tuple[Any, list[Any]]](), list[Batch]()
        made: dict[str, Any] = {"batch_size": 4, "max_waiting": 10, **options}
        self.worker = Worker("hand", self._do, counted=self.batches.append, **made)
        self.first = self.worker.submit(job("first"))
        self.gate.reached.wait(timeout=60)

    def _do(self, kind: Any, asked: list[Any]) -> list[Any]:
        self.calls.append((kind, asked))
        if len(self.calls) == 1:
            self.gate.pass_through()
        if "bad" in asked:
            raise RungError("this job is bad")
        return [ValueError(one) if one == "odd" else f"{one} done" for one in asked]

    def open(self) -> list[list[Any]]:
        """Let it work and stop it; the calls behind the first."""
        self.gate.opened.set()
        self.first.result(timeout=60)
        while self.worker.waiting:
            pass
        self.worker.close()
        return [asked for _, asked in self.calls[1:]]


def job(asked: str, size: int = 1, kind: str = "kind", *names: str) -> Job:
    return Job(kind=kind, asked=asked, size=size, names=frozenset(names))


def submit(held: Held, *jobs: Job) -> list[Future[Any]]:
    return [held.worker.submit(one) for one in jobs]


def test_what_waits_is_done_together_up_to_the_budget():
    held = Held()
    futures = submit(held, job("a", 2), job("b", 1), job("c", 3), job("d", 1), job("huge", 99))
    assert held.open() == [["a", "b", "d"], ["c"], ["huge"]]
    assert [f.result() for f in futures] == [f"{x} done" for x in ("a", "b", "c", "d", "huge")]
    assert [(b.num_jobs, b.size) for b in held.batches] == [(1, 1), (3, 4), (1, 3), (1, 99)]


def test_kinds_are_not_mixed_and_nobody_overtakes_in_its_own_name():
    held = Held()
    submit(held, job("a", 1, "x", "s"), job("b", 1, "y", "s"), job("c", 1, "x", "s"))
    submit(held, job("d", 1, "x", "t"))
    assert held.open() == [["a", "d"], ["b"], ["c"]]


def test_a_bad_job_spoils_no_other():
    held = Held()
    good, bad, odd = submit(held, job("good"), job("bad"), job("odd"))
    held.open()
    assert good.result() == "good done"
    with pytest.raises(RungError, match="this job is bad"):
        bad.result()
    with pytest.raises(ValueError, match="odd"):
        odd.result()


def test_what_is_taken_back_is_not_done_and_makes_room():
    held = Held(max_waiting=2)
    jobs = [job("a"), job("b")]
    submit(held, *jobs)
    with pytest.raises(FullError, match="hand: 2 requests wait already"):
        held.worker.submit(job("c"))
    held.worker.submit(job("must"), must=True)
    held.worker.take_back(jobs[0])
    held.worker.take_back(jobs[0])
    assert held.worker.waiting == 2
    assert held.open() == [["b", "must"]]
    assert jobs[0].future.cancelled()


def test_a_closed_worker_refuses_what_waits_and_what_comes():
    held = Held()
    [waiting] = submit(held, job("a"))
    with ThreadPoolExecutor(1) as closer:
        closing = closer.submit(held.worker.close)
        with pytest.raises(UnavailableError, match="stopping"):
            waiting.result(timeout=60)
        held.gate.opened.set()
        closing.result(timeout=60)
    assert held.first.result() == "first done"  # what has begun is finished
    with pytest.raises(UnavailableError, match="stopping"):
        held.worker.submit(job("late"))


def test_who_leaves_gets_nothing_and_asks_no_more():
    held, visitor = Held(), Visitor()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(visitor.ask, held.worker, job("a"))
        while not held.worker.waiting:
            pass
        visitor.leave()
        with pytest.raises(GoneError):
            asking.result(timeout=60)
    with pytest.raises(GoneError):
        visitor.ask(held.worker, job("b"))
    assert held.open() == []


def test_a_visitor_remembers_what_failed_first():
    held, visitor = Held(), Visitor()
    held.gate.opened.set()
    with pytest.raises(RungError):
        visitor.ask(held.worker, job("bad"))
    assert isinstance(visitor.error, RungError)
    held.worker.close()


def shared(scorer: ServedScorer, **options: Any) -> SharedScorer:
    return SharedScorer(scorer, **{"max_waiting": 10, **options})  # pyright: ignore


def done(made: SharedScorer, one: Job) -> Any:
    return made.worker.submit(one).result(timeout=60)


def test_many_chains_are_scored_in_jobs_that_let_others_in_between():
    scorer: Any = ServedScorer(SCORES)
    scorer.batch_tokens = 1024
    made = shared(scorer)
    chains = [Chain.of(PROBLEM, ["left " * 1000]) for _ in range(4)]
    jobs = list(made.scored(chains))
    assert [len(one.asked) for one in jobs] == [2, 2]
    assert all(one.size <= made.batch_tokens for one in jobs)
    made.worker.close()


def test_sessions_share_prefixes_and_the_last_one_lets_them_go():
    scorer = ServedScorer(SCORES)
    made = shared(scorer)
    one, other = SharedSession(made), SharedSession(made)
    for session in (one, other):
        done(made, session.add(PROBLEM))
        [[grown], *_] = [done(made, session.grow([PROBLEM.root_id], [Step("left")]))]
        assert grown.score == 0.8
    assert made.held_prefixes == 2 and made.kept_tokens == 1
    done(made, one.drop([grown.id]))
    assert made.held_prefixes == 2
    with pytest.raises(RungError, match="no live prefix has the id"):
        done(made, one.grow([grown.id], [Step("no")]))
    assert done(made, other.grow([grown.id], [Step("no")]))[0].score == 0.1
    done(made, other.drop())
    done(made, one.drop())
    assert made.held_prefixes == 0 and scorer.session is not None and not scorer.session.chains
    made.worker.close()


def test_steps_of_several_sessions_are_scored_in_one_call():
    scorer = ServedScorer(SCORES)
    made = shared(scorer)
    sessions = [SharedSession(made) for _ in range(3)]
    for session in sessions:
        done(made, session.add(PROBLEM))
    scorer.gate, chain = Gate(), Chain.of(PROBLEM, ["left"])
    first = made.worker.submit(next(iter(made.scored([chain]))))
    scorer.gate.reached.wait(timeout=60)
    futures = [made.worker.submit(s.grow([PROBLEM.root_id], [Step("yes")])) for s in sessions[:2]]
    bad = made.worker.submit(sessions[2].grow(["nothing"], [Step("yes")]))
    scorer.gate.opened.set()
    first.result(timeout=60)
    assert [future.result(timeout=60)[0].score for future in futures] == [0.9, 0.9]
    with pytest.raises(RungError, match="no live prefix"):
        bad.result(timeout=60)
    assert scorer.calls == [["left"], ["yes", "yes"]]
    made.worker.close()


def test_a_search_that_leaves_holds_nothing():
    scorer = ServedScorer(SCORES)
    made, visitor = shared(scorer), Visitor()
    visiting = VisitingScorer(made, visitor)
    visiting.open(PROBLEM)
    [grown] = visiting.extend([PROBLEM.root_id], [Step("left")])
    [look] = visiting.peek([grown.id], ["n"], hold=True)
    assert made.held_prefixes == 3 and look.score == 0.5
    visitor.leave()
    with pytest.raises(GoneError):
        visiting.score([Chain.of(PROBLEM, ["left"])])
    visiting.close()
    done(made, made.call(lambda: None))
    assert made.held_prefixes == 0
    made.worker.close()
    visiting.close()  # a closed worker holds nothing anyway


class HeldDice(DicePolicy):
    """Dice that wait at the first call; `asked` has the questions of every call."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.asked = Gate(), list[list[str]]()

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        self.asked.append([prefix.problem.id for prefix in prefixes])
        self.gate.pass_through()
        return super().sample(prefixes, n, sampling)


def root(question: str) -> Chain:
    return Chain(Problem(question, question), ())


def test_a_shared_policy_writes_together_what_does_not_depend_on_one_another():
    policy = HeldDice()
    made = SharedPolicy(policy, max_waiting=10)
    with ThreadPoolExecutor(4) as pool:

        def ask(question: str) -> Future[Any]:
            visiting = VisitingPolicy(made, Visitor())
            return pool.submit(visiting.sample, [root(question)], 2, Sampling())

        asking = [ask("first")]
        policy.gate.reached.wait(timeout=60)
        for question in ("a", "b", "a"):
            asking.append(ask(question))
            while made.worker.waiting < len(asking) - 1:
                pass
        policy.gate.opened.set()
        _, a, b, again = [one.result(timeout=60) for one in asking]
    made.worker.close()
    assert policy.asked == [["first"], ["a", "b"], ["a"]]
    assert a == again == DicePolicy().sample([root("a")], 2, Sampling()) and a != b


def test_a_policy_counts_its_prompts_or_says_nothing():
    for policy, count in ((ServedPolicy({}), 2), (DicePolicy(), None)):
        made = SharedPolicy(policy, max_waiting=10)
        assert made.worker.submit(made.prompt_tokens(PROBLEM)).result(timeout=60) == count
        made.worker.close()


def test_cancelled_futures_are_passed_over():
    held = Held()
    [future] = submit(held, job("a"))
    future.cancel()
    assert held.open() == []
    with pytest.raises(CancelledError):
        future.result()
