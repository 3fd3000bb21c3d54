"""Let a model use tools: calls in its answers (LLaVA-Plus), and programs whose steps are tools (VisProg).

A tool is a function with keyword arguments. Nothing that a model writes is run as Python: programs and expressions are
parsed, and only the steps and operators below are known. This module imports no torch.
Sources: LLaVA-Plus, arXiv 2311.05437 (LLaVA-VL/LLaVA-Plus-Codebase, llava/serve/gradio_web_server_llava_plus.py,
a9f9d6f); VisProg, arXiv 2211.11559 (allenai/visprog, engine/step_interpreters.py, 9626868).
"""

from __future__ import annotations

import ast
import inspect
import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...io.errors import InputError
from .answer import Answer

Tool = Callable[..., Any]
_ACTIONS = re.compile(r'"thoughts🤔"(.*)"actions🚀"(.*)"value👉"(.*)', re.DOTALL)
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Div: operator.truediv,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
}


class Chats(Protocol):
    """What answers conversations: a `ChatModel` or a `RemoteModel`."""

    def chat_all(self, conversations: list[list[dict[str, Any]]], **limits: Any) -> list[Answer]:
        """Answer the next turn of each conversation."""


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool that a model wrote, and what the tool returned."""

    name: str
    arguments: dict[str, Any]
    result: Any = None


def tool_calls(answer: str) -> list[ToolCall]:
    """Return the calls in an answer of LLaVA-Plus: `"thoughts🤔" … "actions🚀" [{"API_name": …}] "value👉" …`.

    Raises:
        InputError: The answer announces calls, and they are no JSON list of calls.
    """
    found = _ACTIONS.search(answer)
    if not found:
        return []
    written = found[2].strip()
    for text in (written, written.replace("'", '"')):  # models write Python's quotes too
        try:
            return [ToolCall(call["API_name"], dict(call.get("API_params", {}))) for call in json.loads(text)]
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    raise InputError(f"calls of tools that cannot be read: {written[:80]}")


def ask_with_tools(
    chat: Chats, images: list[Any], question: str, tools: Mapping[str, Tool], rounds: int = 1, **limits: Any
) -> tuple[Answer, list[ToolCall]]:
    """Ask a question; run the tools that the answer calls and ask again with their results.

    Args:
        chat: The model.
        images: The images of the question; a tool gets the first one as `image`.
        question: The question.
        tools: The tools by name.
        rounds: How often tools may be called; calls of later answers are not run.
        **limits: Those of `ChatModel.ask`.

    Returns:
        The last answer, and the calls in order.

    Raises:
        InputError: A call cannot be read, or names no tool.
    """
    shown = [{"type": "image", "image": image} for image in images]
    talk: list[dict[str, Any]] = [{"role": "user", "content": [*shown, {"type": "text", "text": question}]}]
    done: list[ToolCall] = []
    answer = chat.chat_all([talk], **limits)[0]
    for _ in range(rounds):
        if not (calls := tool_calls(answer.text)):
            break
        report = ""
        for call in calls:
            arguments = {"image": images[0] if images else None} | call.arguments
            arguments["image"] = images[0] if images else None
            done.append(ToolCall(call.name, call.arguments, _run(tools, call.name, arguments)))
            report += f"{call.name} model outputs: {done[-1].result}\n\n"
        report += f"Please summarize the model outputs and answer my first question: {question}"
        talk += [{"role": "assistant", "content": answer.text}, {"role": "user", "content": report}]
        answer = chat.chat_all([talk], **limits)[0]
    return answer, done


def run_program(program: str, tools: Mapping[str, Tool], **state: Any) -> tuple[Any, dict[str, Any]]:
    """Run a program of VisProg, one step per line, such as `BOX0=LOC(image=IMAGE,object='man')`.

    Args:
        program: The steps. `EVAL(expr=…)` computes with earlier results in braces, `RESULT(var=…)` returns one; every
            other step is a tool.
        tools: The tools by name.
        **state: The names that the first step knows, such as `IMAGE`.

    Returns:
        The result of the last step, and all names.

    Raises:
        InputError: A line is no step, or names no tool or result.
    """
    result: Any = None
    known: dict[str, Tool] = {"EVAL": lambda expr: _evaluate(str(expr), state), "RESULT": lambda var: var}
    for number, line in enumerate(program.strip().splitlines(), 1):
        try:
            target, step, given = _step(line)
            result = _run(known | dict(tools), step, {key: _value(node, state) for key, node in given.items()})
        except InputError as error:
            raise InputError(f"line {number}, {line.strip()[:80]}: {error}") from None
        state[target] = result
    return result, state


def _run(tools: Mapping[str, Tool], name: str, arguments: dict[str, Any]) -> Any:
    """Call a tool with arguments that a model wrote."""
    if name not in tools:
        raise InputError(f"no tool {name!r}; allowed: {', '.join(tools)}")
    try:
        bound = inspect.signature(tools[name]).bind(**arguments)
    except TypeError as error:
        raise InputError(f"tool {name!r}: {error}") from None
    return tools[name](*bound.args, **bound.kwargs)


def _step(line: str) -> tuple[str, str, dict[str, ast.expr]]:
    """Return the name that a step gives its result, the step, and its arguments."""
    try:
        tree = ast.parse(line.strip()).body[0]
    except (SyntaxError, IndexError):
        tree = None
    if isinstance(tree, ast.Assign) and isinstance(tree.value, ast.Call):
        target, function, given = tree.targets[0], tree.value.func, tree.value.keywords
        if isinstance(target, ast.Name) and isinstance(function, ast.Name) and not tree.value.args:
            return target.id, function.id, {word.arg: word.value for word in given if word.arg}
    raise InputError("no step; expected NAME=STEP(argument=value)")


def _evaluate(expression: str, state: Mapping[str, Any]) -> Any:
    """Compute an expression with results in braces. Yes and no are truth values, digits are numbers, as in VisProg."""

    def plain(value: Any) -> Any:
        if value in ("yes", "no"):
            return value == "yes"
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    text = re.sub(r"\{(\w+)\}", r"\1", expression).replace(" xor ", " != ")
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        raise InputError(f"no expression: {expression}") from None
    try:
        return _value(node, {name: plain(value) for name, value in state.items()})
    except (TypeError, ArithmeticError) as error:
        raise InputError(f"{expression}: {error}") from None


def _value(node: ast.expr, state: Mapping[str, Any]) -> Any:
    """Compute a node of known kinds: names, constants, comparisons, arithmetic, `and`, `or`, `not`, `if`."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in state:
            raise InputError(f"no result {node.id!r}; known: {', '.join(state)}")
        return state[node.id]
    if isinstance(node, ast.IfExp):
        return _value(node.body if _value(node.test, state) else node.orelse, state)
    if isinstance(node, ast.BoolOp):
        values = [_value(part, state) for part in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.operand, state))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, state), _value(node.right, state))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATORS:
        return _OPERATORS[type(node.ops[0])](_value(node.left, state), _value(node.comparators[0], state))
    raise InputError(f"not allowed in an expression: {ast.unparse(node)}")
