"""Calls of tools in answers and programs whose steps are tools, with models and tools of the test."""

from __future__ import annotations

import pytest

from vary.io.errors import InputError
from vary.models.generate.answer import Answer
from vary.models.generate.tools import ToolCall, ask_with_tools, run_program, tool_calls

pytestmark = pytest.mark.fast
CALL = '"thoughts🤔" I look for it.\n"actions🚀" [{"API_name": "find", "API_params": {"what": "cat"}}]\n"value👉" Wait.'


class Model:
    """Writes given answers and keeps what it was asked."""

    def __init__(self, *answers: str):
        self.answers, self.talks = list(answers), []

    def chat_all(self, conversations, **limits):
        self.talks.append([dict(message) for message in conversations[0]])
        return [Answer(self.answers.pop(0), True)]


def find(image, what):
    return {"boxes": [[0.1, 0.2, 0.3, 0.4]], "what": f"{what} in {image}"}


def test_a_tool_is_called_and_its_result_goes_back_to_the_model() -> None:
    model = Model(CALL, '"thoughts🤔" Done. "actions🚀" [] "value👉" There.')
    answer, calls = ask_with_tools(model, ["PICTURE"], "Where is it?", {"find": find})
    result = {"boxes": [[0.1, 0.2, 0.3, 0.4]], "what": "cat in PICTURE"}
    assert calls == [ToolCall("find", {"what": "cat"}, result)]
    assert answer.text.endswith("There.")
    first, second = model.talks
    assert first == second[:1]
    assert first[0]["content"] == [{"type": "image", "image": "PICTURE"}, {"type": "text", "text": "Where is it?"}]
    assert second[1] == {"role": "assistant", "content": CALL}
    report = f"find model outputs: {result}\n\nPlease summarize the model outputs and answer my first question: "
    assert second[2] == {"role": "user", "content": report + "Where is it?"}


def test_a_plain_answer_calls_nothing_and_later_calls_are_not_run() -> None:
    assert ask_with_tools(Model("It is here."), [], "Where?", {})[1] == []
    model = Model(CALL, CALL, CALL)
    assert len(ask_with_tools(model, ["P"], "Where?", {"find": find})[1]) == 1
    assert len(ask_with_tools(Model(CALL, CALL, "End."), ["P"], "Where?", {"find": find}, rounds=2)[1]) == 2


def test_calls_may_have_the_quotes_of_python_and_wrong_ones_are_named() -> None:
    assert tool_calls(CALL.replace('{"API_name": "find"', "{'API_name': 'find'")) == [ToolCall("find", {"what": "cat"})]
    with pytest.raises(InputError, match="calls of tools that cannot be read: find the cat"):
        tool_calls('"thoughts🤔" "actions🚀" find the cat "value👉"')
    with pytest.raises(InputError, match="no tool 'find'; allowed: draw"):
        ask_with_tools(Model(CALL), ["P"], "Where?", {"draw": find})


def test_a_program_runs_step_by_step() -> None:
    program = """
        BOX0=LOC(image=IMAGE,object='dog')
        ANSWER0=COUNT(box=BOX0)
        ANSWER1=VQA(image=IMAGE,question='Is it wet?')
        ANSWER2=EVAL(expr="'yes' if {ANSWER0} >= 2 and (not {ANSWER1}) xor (5 in {BOX0}) else 'no'")
        FINAL_RESULT=RESULT(var=ANSWER2)"""
    tools = {
        "LOC": lambda image, object: [len(image), len(object)],
        "COUNT": lambda box: str(len(box)),
        "VQA": lambda image, question: "no",
    }
    result, state = run_program(program, tools, IMAGE="photo")
    assert result == state["FINAL_RESULT"] == "no"
    assert state["BOX0"] == [5, 3]
    assert run_program("A=EVAL(expr='-{N} + 6 / 2')", {}, N="4")[0] == -1


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("BOX0=LOC(image=IMAGE", r"line 1, .*: no step; expected NAME=STEP\(argument=value\)"),
        ("A=RESULT(var=1)\nB=FLY(to='moon')", r"line 2, .*: no tool 'FLY'; allowed: EVAL, RESULT, COUNT"),
        ("A=COUNT(size=IMAGE)", "tool 'COUNT': missing a required argument: 'box'"),
        ("A=COUNT(box=BOX)", "no result 'BOX'; known: IMAGE"),
        ("A=EVAL(expr=\"__import__('os')\")", "not allowed in an expression: __import__"),
        ("A=EVAL(expr='IMAGE.__class__')", "not allowed in an expression: IMAGE.__class__"),
        ("A=EVAL(expr='1 +')", "no expression: 1 +"),
        ("A=EVAL(expr='{IMAGE} - 1')", "line 1, .*: unsupported operand"),
        ("import os", "no step"),
    ],
)
def test_a_wrong_program_is_refused(program, message) -> None:
    with pytest.raises(InputError, match=message):
        run_program(program, {"COUNT": lambda box: len(box)}, IMAGE="photo")
