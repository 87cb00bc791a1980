"""Agents' calls are read, replayed and held against schemas; what can't be told stays open."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rung import Chain, InputError, Problem, RungError, Step
from rung.label import CheckedLabeler
from rung.verify import (
    Findings,
    LocalSandbox,
    Sandbox,
    ToolCall,
    ToolSchema,
    ToolVerifier,
    calls_in,
    read_tool_schema,
)
from rung.verify.same_output import is_same

TOOLS = {name: f"agent_tools:{name}" for name in ("price", "add", "wait", "offline", "leave")}
WAIT = '{"name": "wait", "arguments": {"seconds": 30}}'
PRICE = '{"name": "price", "arguments": {"fruit": "apple"}}'


@pytest.fixture(scope="module")
def importable_tools() -> Iterator[None]:
    """The tools are a user's module, found from the folder that rung is started in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).resolve().parents[1])
        yield


@pytest.fixture(scope="module")
def verifier(importable_tools: None) -> Iterator[ToolVerifier]:
    with ToolVerifier(TOOLS, workers=1, timeout_s=1.0) as made:
        yield made


def chain(*steps: tuple[str, str | None]) -> Chain:
    problem = Problem("a", "What do two apples cost?")
    return Chain(problem, tuple(Step(text, observation=seen) for text, seen in steps))


def checked(verifier: ToolVerifier, *steps: tuple[str, str | None]) -> Findings:
    return verifier.check([chain(*steps)])[0]


@pytest.mark.parametrize(
    "text",
    [
        PRICE,
        f"I look it up.\n<tool_call>\n{PRICE}\n</tool_call>",
        f"```json\n{PRICE}\n```",
        'Action: {"action": "price", "action_input": {"fruit": "apple"}}',
        '{"type": "tool_use", "id": "t1", "name": "price", "input": {"fruit": "apple"}}',
        '{"tool_calls": [{"id": "c1", "type": "function", "function":'
        ' {"name": "price", "arguments": "{\\"fruit\\": \\"apple\\"}"}}]}',
        '{"thought": "cheap?", "call": {"tool": "price", "args": {"fruit": "apple"}}}',
    ],
)
def test_common_ways_to_write_a_call_are_read(text: str):
    assert calls_in(text) == (ToolCall("price", {"fruit": "apple"}),)


def test_python_blocks_are_calls_and_prose_is_none():
    assert calls_in("So:\n```python\nprint(1)\n```\n") == (
        ToolCall("python", {"code": "print(1)\n"}),
    )
    assert calls_in("In {braces} and [1, 2] there is {} no call.") == ()
    assert len(calls_in(f"[{PRICE}, {PRICE}]")) == 2


@pytest.mark.parametrize(
    "text", ["{" * 60_000, "[" * 60_000, '{"a":' * 12_000, "```python\n" * 6_000, "1" * 60_000]
)
def test_no_text_keeps_the_reader(verifier: ToolVerifier, text: str):
    assert calls_in(text) == ()
    assert checked(verifier, (text, "x")).steps[0].status == "no-call"


def test_a_number_beyond_all_bounds_is_no_call(verifier: ToolVerifier):
    text = '{"name": "add", "arguments": {"a": %s, "b": 1}}' % ("9" * 5000)
    assert checked(verifier, (text, "x")).labels == (None,)


@pytest.mark.parametrize(
    "arguments",
    ['{"a": Infinity, "b": NaN}', '{"a": %s, "b": 1}' % ("[" * 900 + "]" * 900), '"\\ud800"'],
)
def test_no_arguments_make_it_raise(verifier: ToolVerifier, arguments: str):
    text = f'{{"name": "add", "arguments": {arguments}}}'
    assert checked(verifier, (text, "x")).labels in ((0.0,), (None,))


def test_whole_numbers_may_be_large(verifier: ToolVerifier):
    text = '{"name": "add", "arguments": {"a": 1%s, "b": 1}}' % ("0" * 30)
    assert checked(verifier, (text, "1" + "0" * 29 + "1")).labels == (1.0,)


@pytest.mark.parametrize(
    ("text", "seen", "status", "label"),
    [
        (PRICE, '{"price": 0.5, "fruit": "apple"}', "replayed", 1.0),
        (PRICE, '{"price": 0.55, "fruit": "apple"}', "differs", 0.0),
        (PRICE, "It is cheap.", "differs", 0.0),
        (PRICE.replace("apple", "plum"), "KeyError: 'plum'", "failed", 0.0),
        (PRICE.replace("fruit", "name"), "no such argument", "failed", 0.0),
        ('{"name": "price", "arguments": "{broken"}', "no JSON", "failed", 0.0),
        ('{"name": "add", "arguments": {"a": 0.1, "b": 0.2}}', "0.3", "replayed", 1.0),
        ('{"name": "wait", "arguments": {"seconds": 30}}', "done", "timeout", None),
        ('{"name": "offline", "arguments": {}}', "no route", "unavailable", None),
        ('{"name": "leave", "arguments": {}}', "", "failed", 0.0),
        ('{"name": "search", "arguments": {}}', "[]", "unknown-tool", None),
        (f"[{PRICE}, {PRICE}]", "[]", "several-calls", None),
        (PRICE, None, "no-observation", None),
        ("Two apples cost 1.", None, "no-call", None),
    ],
)
def test_a_step_is_judged_by_running_its_call_again(
    verifier: ToolVerifier, text: str, seen: str | None, status: str, label: float | None
):
    (step,) = checked(verifier, (text, seen)).steps
    assert (step.status, step.label) == (status, label)


def test_a_step_that_fails_and_is_mended_is_wrong_and_then_right(verifier: ToolVerifier):
    labeler = CheckedLabeler(verifier, "tools")
    mended = chain(
        (PRICE.replace("apple", "apples"), "KeyError: 'apples'"),
        (PRICE, '{"fruit": "apple", "price": 0.5}'),
        ('{"name": "add", "arguments": {"a": 0.5, "b": 0.5}}', "1.0"),
    )
    (labels,) = labeler.label([mended])
    assert labels.labels == (0.0, 1.0, 1.0)
    assert labels.first_error == 0


@pytest.mark.parametrize(
    ("output", "seen", "same"),
    [
        ({"a": [1, 2.0]}, '{"a": [1, 2.0000001]}', True),
        ([1, True], "[1, 1]", False),
        ("a  b\n", "a b", True),
        (None, "None", True),
        (["a"], "['a']", True),
        (10**400, "1.5", False),
        (3, "4", False),
        ("[" * 5000, "[" * 4999, False),
    ],
)
def test_outputs_are_compared_as_json_or_as_text(output: object, seen: str, same: bool):
    assert is_same(output, seen) is same


def test_python_is_replayed_cell_by_cell_in_one_namespace():
    def cell(code: str) -> str:
        return f"```python\n{code}\n```"

    with ToolVerifier(sandbox=LocalSandbox(), workers=1, timeout_s=0.5) as verifier:
        found = checked(
            verifier,
            (cell("x = 6\nprint('six')"), "six"),
            (cell("x * 7"), "42"),
            (cell("y"), "NameError: name 'y' is not defined"),
            (cell("x / 4"), "1.4"),
            (cell("while True: pass"), "done"),
            (cell("x +"), "7"),
            (cell("import sys; sys.exit()"), ""),
            (cell("x"), "6"),
        )
    statuses = [step.status for step in found.steps]
    assert statuses == [
        "replayed",
        "replayed",
        "failed",
        "differs",
        "timeout",
        "failed",
        "failed",
        "replayed",
    ]
    assert "NameError" in found.steps[2].detail


def test_python_is_replayed_in_bubblewrap_without_network_or_secrets(sandbox: Sandbox):
    code = "import os, socket\nprint(sorted(os.environ))\nsocket.socket()"
    with ToolVerifier(sandbox=sandbox, workers=1, timeout_s=5.0) as verifier:
        found = checked(
            verifier,
            ("```python\nprint(2 ** 10)\n```", "1024"),
            (f"```python\n{code}\n```", "connected"),
        )
    assert found.labels == (1.0, 0.0)
    assert found.steps[1].status == "failed"


def test_a_process_that_dies_leaves_what_came_after_it_open():
    with ToolVerifier(sandbox=LocalSandbox(), workers=1, timeout_s=0.5) as verifier:
        found = checked(
            verifier,
            ("```python\n1\n```", "1"),
            ("```python\nimport os; os._exit(1)\n```", ""),
            ("```python\n2\n```", "2"),
        )
    assert found.labels == (1.0, None, None)


SCHEMA = {
    "calls": {
        "price": {
            "type": "object",
            "properties": {"fruit": {"enum": ["apple", "pear"]}},
            "required": ["fruit"],
        }
    },
    "observations": {"*": {"type": "object", "required": ["price"]}},
}


def test_schemas_judge_calls_and_observations(tmp_path: Path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    with ToolVerifier(schema=read_tool_schema(path), workers=1) as verifier:
        found = checked(
            verifier,
            (PRICE, '{"price": 1}'),
            (PRICE.replace("apple", "plum"), '{"price": 1}'),
            (PRICE, "an error"),
            ("I think.", None),
            (PRICE, None),
            ("Something came.", '{"cost": 1}'),
        )
    assert found.labels == (1.0, 0.0, 0.0, None, 1.0, 0.0)
    assert "'plum' is not one of" in found.steps[1].detail


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no tool schemas"),
        ('{"call": {}}', "unknown field"),
        ('{"calls": {"f": {"type": "nothing"}}}', "calls.f is no JSON schema"),
        ('{"calls": {"f": 3}}', "calls.f is no JSON schema"),
        ("[" * 100_000, "no tool schemas"),
    ],
)
def test_a_schema_file_that_is_none_is_refused(tmp_path: Path, content: str, said: str):
    path = tmp_path / "schema.json"
    path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        read_tool_schema(path)
    assert str(path) in str(caught.value)


def test_a_reference_to_elsewhere_is_not_fetched():
    schema = ToolSchema({"price": {"$ref": "http://127.0.0.1:9/schema.json"}}, {})
    with (
        ToolVerifier(schema=schema, workers=1) as verifier,
        pytest.raises(RungError, match="refers to what it does not hold"),
    ):
        checked(verifier, (PRICE, "1"))


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ({"f": "nowhere"}, "expected module:function"),
        ({"f": "no_such_module:f"}, "No module named 'no_such_module'"),
        ({"f": "agent_tools:nothing"}, "no attribute 'nothing'"),
        ({}, "no way to check"),
    ],
)
def test_a_tool_that_is_not_there_is_the_users_mistake(
    importable_tools: None, tools: dict[str, str], said: str
):
    with pytest.raises(RungError, match=said):
        checked(ToolVerifier(tools, workers=1), (PRICE, "1"))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (PRICE, None),
        ('{"name": "price", "arguments": {"fruit": "stone"}}', "error: KeyError: 'stone'"),
        (
            '{"name": "wait", "arguments": {"seconds": 30}}',
            "error: the tool did not come back in 1 s",
        ),
        ("I think.", None),
        (PRICE + PRICE, None),
        ('{"name": "unknown", "arguments": {}}', None),
    ],
)
def test_a_step_acts_and_what_came_of_it_can_be_replayed(
    verifier: ToolVerifier, text: str, seen: str | None
):
    observation = verifier.act(chain((text, None)))
    if text == PRICE:
        assert observation is not None
        assert checked(verifier, (text, observation)).labels == (1.0,)
    else:
        assert observation == seen


def test_python_acts_with_the_names_of_earlier_cells():
    with ToolVerifier(sandbox=LocalSandbox(), workers=1, timeout_s=5.0) as verifier:
        first = ("```python\nx = 20\nprint('set')\n```", "set")
        assert verifier.act(chain(first, ("```python\nx + 1\n```", None))) == "21"
        failing = verifier.act(chain(first, ("```python\nprint(x)\n1 / 0\n```", None)))
        assert failing == "20\nerror: ZeroDivisionError: division by zero"
