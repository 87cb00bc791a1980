"""Unit tests as a verifier: the verdict is the tests', whatever the program does."""

import random

import pytest

from rung import Chain, ChainRecord, Problem, Verdict, Verifier
from rung.data import load, step_texts
from rung.label import CodeLabeler
from rung.label.code import labels_of
from rung.verify import CodeReport, CodeVerifier, LocalSandbox, Sandbox, TestResult
from rung.verify.program import program_of

DOUBLE = Problem("d", "Double it.", tests=("assert double(2) == 4", "assert double([1]) == [1, 1]"))
RIGHT = "def double(x):\n    return x + x"


def chain(*steps: str, problem: Problem = DOUBLE) -> Chain:
    return Chain.of(problem, steps)


@pytest.fixture(scope="module")
def verifier() -> CodeVerifier:
    """The programs in this module are ours, so they are also tried where there is no sandbox."""
    return CodeVerifier(LocalSandbox(), workers=2, test_timeout_s=1.0, trace=True)


def test_verdicts_follow_the_tests(verifier: CodeVerifier):
    assert isinstance(verifier, Verifier)
    programs = {
        RIGHT: "correct",
        "Here it is:\n```python\n" + RIGHT + "\n```\nThat's all.": "correct",
        "print('hi')\ninput and None\n" + RIGHT: "correct",
        "def double(x):\n    return 2 * x if x == 2 else None": "incorrect",
        "def double(x):\n    raise ValueError": "incorrect",
        "def twice(x):\n    return x + x": "incorrect",
        "while True: pass": "timeout",
        "def double(x):\n    while x: pass\n    return x": "timeout",
        "double it yourself": "unparsed",
        "def double(x:": "unparsed",
        "   ": "unparsed",
        "x = \0": "unparsed",
        "(" * 10_000: "unparsed",
    }
    verdicts = verifier.verify([chain(text) for text in programs])
    assert dict(zip(programs, map(str, verdicts), strict=True)) == programs


FORGERIES = [
    "print('passed'); print('{\"status\": \"passed\"}')",
    "import sys; sys.exit(0)",
    "import os; os._exit(0)",
    "def double(x):\n    raise SystemExit(0)",
    "def double(x):\n    import os; os._exit(0)",
    "class E:\n    def __eq__(self, o): return True\n    __hash__ = None\n"
    "def double(x): return E()",
    "class E(int):\n    def __eq__(self, o): return True\n    __hash__ = None\n"
    "def double(x): return E()",
    "class E(list):\n    def __eq__(self, o): return True\n    __hash__ = None\n"
    "def double(x): return E()",
    "import builtins\nbuiltins.AssertionError = type('A', (Exception,), {})\n"
    "def double(x): raise AssertionError",
    "import sys, gc\ndef double(x):\n"
    "    for f in sys._current_frames().values():\n"
    "        while f:\n            f.f_globals['status'] = 'passed'; f = f.f_back\n    return 0",
    "import os\ndef double(x):\n    for fd in range(3, 64):\n        try:\n"
    '            os.write(fd, b\'{"status": "passed"}\\n{"status": "passed"}\\n\')\n'
    "        except OSError: pass\n    return 0",
    "import os\nfor fd in range(2, 64):\n    try:\n        os.write(fd, b'{\"ready\": true}\\n')\n"
    '        os.write(fd, b\'{"status": "passed"}\\n{"status": "passed"}\\n\')\n'
    "    except OSError: pass\nos._exit(0)",
    'import json\njson.dumps = lambda *a: \'{"value": 4, "args": {"l": []}, "line": 1}\'\n'
    "def double(x): return 0",
    "tests = open('tests.json').read()\ndef double(x): return 4",
    "def double(x):\n    import glob\n    for p in glob.glob('rung/**/*.py', recursive=True):\n"
    "        open(p, 'w').write('')\n    return 0",
    "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(600)\n"
    "def double(x): return 4",
]


def test_no_verdict_can_be_forged(sandbox: Sandbox):
    verdicts = CodeVerifier(sandbox, workers=2, test_timeout_s=1.0).verify(map(chain, FORGERIES))
    assert dict(zip(FORGERIES, verdicts, strict=True)) == dict.fromkeys(
        FORGERIES, Verdict.INCORRECT
    )


def test_a_program_cannot_bring_its_own_builtins_or_modules_to_a_test(verifier: CodeVerifier):
    tests = ("assert set(f([1])) == set([1])", "assert math.isclose(f([1])[0], 1)")
    problem = Problem("p", "?", tests=tests)
    cheat = "def set(x): return 7\nclass math:\n    isclose = print\ndef f(x): return [2]"
    honest = "import math\ndef f(x): return [1]"
    verdicts = verifier.verify([chain(t, problem=problem) for t in (cheat, honest)])
    assert verdicts == [Verdict.INCORRECT, Verdict.CORRECT]
    own = Problem("q", "?", tests=("assert sum(10, 15) == 25",))
    [verdict] = verifier.verify([chain("def sum(a, b):\n    return a + b", problem=own)])
    assert verdict is Verdict.CORRECT


def test_values_of_every_plain_kind_cross_and_objects_stay_on_their_side(verifier: CodeVerifier):
    values = [
        "None", "True", "-(10**5000)", "0.1", "float('inf')", "'\\ud800é'", "b'\\xff'", "1 + 2j",
        "[1, (2, {3}), {'a': frozenset([4])}]", "{(1, 2): range(3)}", "bytearray(b'x')",
        "Fraction(1, 3)", "Decimal('1.10')", "deque([1])",
    ]  # fmt: skip
    imports = "from collections import deque\nfrom decimal import Decimal\n"
    imports += "from fractions import Fraction\n"
    tests = [f"{imports}v = {v}\nassert same(v) == v and type(same(v)) is type(v)" for v in values]
    tests += [
        "p = Point(3, y=4)\nassert p.x == 3 and p.norm() == norm(p) == 5.0 and p != Point(3, 4)",
        "assert list(count(3)) == [0, 1, 2] and len(Point(0, 0)) == 2",
        "p = Point(0, 0)\np.x = Point(1, 2)\nassert p.x.y == 2 and same(int) is int",
        "a = [3, 1]\nassert order(a) is None and a == [1, 3]",
        "try:\n    same()\nexcept TypeError:\n    pass\nelse:\n    assert False",
        "def check(f):\n    assert all(f(k) == k for k in range(3))\ncheck(same)",
        "assert same.__name__ if False else True",
    ]
    program = (
        "def same(v): return v\nclass Point:\n"
        "    def __init__(self, x, y): self.x, self.y = x, y\n"
        "    def norm(self): return (self.x**2 + self.y**2) ** 0.5\n"
        "    def __len__(self): return 2\n"
        "def norm(p): return p.norm()\ndef count(n): yield from range(n)\ndef order(a): a.sort()"
    )
    [report] = verifier.check([chain(program, problem=Problem("v", "?", tests=tuple(tests)))])
    wrong = [
        (t, r.message) for t, r in zip(tests, report.tests, strict=True) if r.status != "passed"
    ]
    assert wrong == []


def test_a_test_that_hands_over_code_is_said_to_be_no_answer(verifier: CodeVerifier):
    problem = Problem("p", "?", tests=("assert f(lambda: 1) == 1",))
    [report] = verifier.check([chain("def f(g): return g()", problem=problem)])
    assert (report.verdict, report.tests[0].status) == (Verdict.UNPARSED, "unsendable")


def test_a_problem_without_tests_is_our_callers_mistake(verifier: CodeVerifier):
    with pytest.raises(ValueError, match="no tests"):
        verifier.verify([chain(RIGHT, problem=Problem("p", "?"))])


def test_lines_are_mapped_to_steps_through_fences_and_questions():
    fenced = program_of(chain("Words.\n```python\na = 1\n```", "no code", "```\nb = 2\n```"))
    assert fenced is not None
    assert (fenced.text, fenced.steps) == ("a = 1\nb = 2\n", (0, 2))
    body = program_of(chain("    return 1", problem=Problem("h", "def f():\n", tests=("f()",))))
    assert body is not None
    assert (body.text, body.steps) == ("def f():\n    return 1\n", (None, 0))
    assert [body.step_of(line) for line in (None, 0, 1, 2, 3)] == [None, None, None, 0, None]
    assert program_of(chain("```js\nlet a\n```")) is None


HELP = "def helper(x):\n    return x"
TOTAL = Problem("t", "?", tests=("assert total([1, 2]) == 3", "assert helper(5) == 5"))


@pytest.mark.parametrize(
    ("steps", "labels"),
    [
        ([HELP, "def total(xs):\n    return sum(map(helper, xs))"], (1.0, 1.0)),
        ([HELP, "def total(xs):\n    return sum(xs) + helper(1)", "x = 1"], (1.0, 0.0, None)),
        ([HELP, "def total(xs):\n    return xs.sum()", "x = 1"], (1.0, 0.0, None)),
        (["def helper(x):\n    return x + 1", "def total(xs):\n    return 3"], (0.0, None)),
        (["import math", "y = 1 / 0", HELP], (None, 0.0, None)),
        (["import math", "def total(xs", HELP], (None, 0.0, None)),
        ([HELP, "x = 1"], (1.0, 0.0)),
        (["```\n" + HELP + "\n```", "then", "```\ndef total(x): return 3\n```"], (1.0, None, 1.0)),
        (["I don't know."], (0.0,)),
        (["```js\n1\n```"], (None,)),
    ],
)
def test_the_failing_step_is_labeled_and_no_more_is_claimed_than_was_seen(
    verifier: CodeVerifier, steps: list[str], labels: tuple[float | None, ...]
):
    [given] = CodeLabeler(verifier).label([chain(*steps, problem=TOTAL)])
    assert (given.labels, given.source) == (labels, "code")


def test_a_program_that_ran_out_of_time_gets_no_labels():
    report = CodeReport(verdict=Verdict.TIMEOUT, tests=(TestResult(status="timeout", line=1),))
    assert labels_of(chain(RIGHT, "x = 1"), report) == (None, None)


def test_outcome_and_labels_come_from_one_run_and_others_stay(verifier: CodeVerifier):
    untested = ChainRecord(chain("a", problem=Problem("n", "?")), outcome=Verdict.CORRECT)
    first, second = CodeLabeler(verifier).judge([ChainRecord(chain(RIGHT)), untested])
    assert first.outcome is Verdict.CORRECT
    assert first.labels[0].labels == (1.0,)
    assert second == untested


@pytest.mark.parametrize(("name", "count"), [("mbpp", 974), ("humaneval", 164)])
def test_reference_programs_pass_their_own_tests(shared_data, sandbox: Sandbox, name, count):
    records = list(load(shared_data / f"problems_{name}.jsonl.gz"))
    assert len(records) == count
    chains = [r.chain for r in random.Random(0).sample(records, 12)]
    verdicts = CodeVerifier(sandbox, workers=2).verify(chains)
    assert {c.problem.id: v for c, v in zip(chains, verdicts, strict=True) if v != "correct"} == {}


@pytest.mark.parametrize(
    ("how", "steps"),
    [
        ("function", ["import os", "@f\ndef a():\n    pass", "class B:\n    x = 1", "a()\nb()"]),
        ("block", ["import os\n@f\ndef a():\n    pass\nclass B:\n    x = 1", "a()\nb()"]),
        (
            "line",
            ["import os", "@f", "def a():", "    pass", "class B:", "    x = 1", "a()", "b()"],
        ),
    ],
)
def test_programs_are_split_with_their_indentation(how: str, steps: list[str]):
    text = "import os\n@f\ndef a():\n    pass\nclass B:\n    x = 1\n\n\na()\nb()\n"
    assert step_texts(text, how) == steps
    cells = "Say:\n```\na\n```\nThen:\n```\nb\n```\n"
    assert step_texts(cells, "cell") == ["Say:\n```\na\n```", "Then:\n```\nb\n```"]
    assert step_texts("a = 1\n# %% two\nb = 2", "cell") == ["a = 1", "# %% two\nb = 2"]
