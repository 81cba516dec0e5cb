"""Which mutants are made: each question to the tests once, and none that nobody's behaviour hangs on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.make import mutants

GUARD = Path(__file__).parents[3] / "hacluster" / "guard"


def made(source: str) -> list[str]:
    """The changed sources, without what they have in common with the others of the line."""
    return [mutant.applied(source.encode()).decode() for mutant in mutants(source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x()", ["pass"]),
        ("if a: x()", ["if False: x()", "if True: x()", "if (not a): x()", "if a: pass"]),
        ("if not a: x()", ["if False: x()", "if True: x()", "if a: x()", "if not a: pass"]),
        ("a = b and c", ["pass", "a = (c)", "a = (b)"]),
        ("while a < 3: x()", ["while False: x()", "while (a >= 3): x()", "while (a <= 3): x()"]),
        ("a = b in (c, d)", ["pass", "a = (b not in ((c, d)))", "a = b in (*(), d)", "a = b in (c, *())"]),
        ("a = b | c", ["pass", "a = b", "a = c"]),
        ("a = (b or c) + d", ["a = ((b or c) - d)", "a = ((c)) + d"]),
        ("x(y=1)", ["pass", "x(**{})", "x(y=2)"]),
        ("a = {b: 1}", ["pass", "a = {**{}}", "a = {b: 2}"]),
        ("a = EX", ["pass", "a = PW"]),
        ("a = ABSENT", ["a = UNKNOWN"]),
        (
            "try: x()\nexcept (A, Busy): pass",
            ["try: x()\nexcept (*(), Busy): pass", "try: x()\nexcept (A, Unknown): pass"],
        ),
        ("a = Refusal('no')", ["a = Step(EX)"]),
        ("a = Step(EX, N)", ['a = Refusal("")', "a = Step(PW, N)", "a = Step(EX, *())"]),
        ("def f():\n    if a:\n        return None\n    x()", ["def f():\n    if a:\n        pass\n    x()"]),
        ("a = [b for b in c if d]", ["a = [b for b in c if False]", "a = [b for b in c if (not d)]"]),
        ("a = f'{b}.c'", ['a = "mutant"']),
        ("def f(a=False): x()", ["def f(a=True): x()", "def f(a=False): pass"]),
    ],
)
def test_what_is_asked(source: str, expected: list[str]) -> None:
    assert set(expected) <= set(made(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "import os",
        "from os import path",
        "a: int",
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    x = 1",
        "class A:\n    __slots__ = ('a',)",
        'FRESH_START = "fresh start"',
        "def f(a: EX | None) -> EX: ...",
        "def f():\n    return None",
        "def f():\n    return ''",
    ],
)
def test_what_is_not_asked(source: str) -> None:
    assert made(source) == []


def test_texts_for_people_stay_as_they_are() -> None:
    source = 'x("in words")\nraise A("word")\nraise A(f"{b}word")'
    assert made(source) == [
        source.replace('x("in words")', "pass"),
        source.replace('raise A("word")', "pass"),
        source.replace('raise A(f"{b}word")', "pass"),
    ]


def test_every_mutant_of_the_guard_can_be_tried_and_no_two_are_the_same() -> None:
    source = (GUARD / "table.py").read_bytes()
    changed = [mutant.applied(source) for mutant in mutants(source)]
    assert len(set(changed)) == len(changed) > 100
    for each in changed:
        ast.parse(each)


def test_an_excuse_is_for_a_mutant_that_there_is() -> None:
    found = set()
    for path in GUARD.glob("*.py"):
        lines = path.read_text().splitlines()
        found |= {(path.name, lines[m.line - 1].strip(), m.what) for m in mutants(path.read_bytes())}
    assert set(EQUIVALENT) <= found
    assert len(EQUIVALENT) < len(found) / 50, "excuses are few"
