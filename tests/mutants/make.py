"""What a guard could have got wrong: every small change of its source that a test has to notice.

A mutant is one change at one place of one file: a statement deleted, a condition held true or false or turned round, an
operand or an entry left out, a number one higher, a lock's mode, a verdict or an error that is another. No mutants are
made of what nobody's behaviour hangs on: docstrings, annotations, imports, `__slots__`, TYPE_CHECKING blocks, and texts
for people (a string with a space in it, or in a raise). Neither of an `encoding`, which is UTF-8 or a part of it, nor
of how long exactly something may take (a float).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

INSTEAD = {
    "NL": "CR",
    "CR": "PW",
    "PW": "EX",
    "EX": "PW",
    "PRESENT": "ABSENT",
    "ABSENT": "UNKNOWN",
    "UNKNOWN": "ABSENT",
    "Busy": "Unknown",
    "NoLock": "Busy",
    "Unknown": "Busy",
    "NotAllowed": "Unknown",
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
}
"""Names that decide something, and the one that is put in their place."""

OPPOSITE: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: ">=",
    ast.GtE: "<",
    ast.Gt: "<=",
    ast.LtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
BESIDE: dict[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}
ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}

STATEMENTS = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return, ast.Raise, ast.Delete, ast.Break)
SKIPPED = (ast.Import, ast.ImportFrom, ast.Continue)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`text` instead of the bytes `start` to `end` of a file, which lie in line `line`; `what` says it in words."""

    line: int
    what: str
    start: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """The file with this change."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants(source: bytes) -> list[Mutant]:
    """All mutants of a module, in the order of its lines; each different from it and from the others."""
    found: dict[bytes, Mutant] = {}
    for mutant in _Maker(source).of_block(ast.parse(source).body):
        found.setdefault(mutant.applied(source), mutant)
    found.pop(source, None)
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.start))


class _Maker:
    def __init__(self, source: bytes) -> None:
        self._source = source
        self._begins = [0]
        for line in source.splitlines(keepends=True):
            self._begins.append(self._begins[-1] + len(line))

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._begins[node.lineno - 1] + node.col_offset, self._begins[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr | ast.stmt) -> str:
        """The node's source; in brackets if it might fall apart among other operators."""
        start, end = self._span(node)
        text = self._source[start:end].decode()
        whole = isinstance(node, ast.stmt | ast.Name | ast.Constant | ast.Call | ast.Attribute | ast.Subscript)
        return text if whole else f"({text})"

    def _instead(self, node: ast.expr | ast.stmt, text: str, what: str = "") -> Mutant:
        start, end = self._span(node)
        before = " ".join(self._source[start:end].decode().split())
        return Mutant(node.lineno, what or f"{before} → {text}", start, end, text)

    # ---- statements

    def of_block(self, body: Sequence[ast.stmt], last: bool = False) -> Iterator[Mutant]:
        """Of the statements of a block; `last` says that its function ends with it."""
        for statement in body:
            yield from self._of_statement(statement, last and statement is body[-1])

    def _of_statement(self, node: ast.stmt, last: bool) -> Iterator[Mutant]:
        if isinstance(node, SKIPPED) or _says_nothing(node):
            return
        if isinstance(node, STATEMENTS) and not (last and _falls_through_alike(node)):
            yield self._instead(node, "pass", f"deleted: {' '.join(self._text(node).split())}")
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            if isinstance(node, ast.FunctionDef):
                for default in [*node.args.defaults, *node.args.kw_defaults]:
                    yield from self._of(default)
            yield from self.of_block(node.body, isinstance(node, ast.FunctionDef))
            return
        if isinstance(node, ast.If | ast.While):
            yield from self._of_condition(node.test, isinstance(node, ast.While))
        if isinstance(node, ast.For):
            yield from self._without_each(node.iter)
        for name, field in ast.iter_fields(node):
            if name in ("body", "orelse", "finalbody"):
                yield from self.of_block(
                    field, last and name != "finalbody" and not isinstance(node, ast.While | ast.For)
                )
            elif name == "handlers":
                for handler in field:
                    yield from self._without_each(handler.type)
                    yield from self._of(handler.type)
                    yield from self.of_block(handler.body, last)
            elif name == "items":
                for item in field:
                    yield from self._of(item.context_expr)
            elif name not in ("annotation", "targets", "target"):
                for part in field if isinstance(field, list) else [field]:
                    yield from self._of(part, in_raise=isinstance(node, ast.Raise))

    # ---- expressions

    def _of_condition(self, test: ast.expr, loop: bool = False) -> Iterator[Mutant]:
        """Held false, held true (a loop's is not: it would only never end), turned round, and each part of it."""
        yield self._instead(test, "False")
        if not loop:
            yield self._instead(test, "True")
        yield from self._turned(test)

    def _turned(self, test: ast.expr) -> Iterator[Mutant]:
        if isinstance(test, ast.BoolOp):
            for part in test.values:
                yield from self._turned(part)
        elif not isinstance(test, ast.Compare | ast.UnaryOp | ast.Constant):
            yield self._instead(test, f"(not {self._text(test)})")

    def _of(self, node: object, in_raise: bool = False) -> Iterator[Mutant]:
        if not isinstance(node, ast.AST):
            return
        if isinstance(node, ast.Constant | ast.JoinedStr):
            yield from self._of_constant(node, in_raise)
            if isinstance(node, ast.Constant):
                return
        elif isinstance(node, ast.expr):
            yield from self._of_expression(node)
        # The parts of an f-string have no places of their own; an entry's key goes with the entry.
        skipped = node.values if isinstance(node, ast.JoinedStr) else node.keys if isinstance(node, ast.Dict) else []
        for child in ast.iter_child_nodes(node):
            if child not in skipped or not isinstance(child, ast.Constant | ast.FormattedValue):
                yield from self._of(child, in_raise)

    def _of_expression(self, node: ast.expr) -> Iterator[Mutant]:
        if isinstance(node, ast.Name) and node.id in INSTEAD and isinstance(node.ctx, ast.Load):
            yield self._instead(node, INSTEAD[node.id])
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield self._instead(node, self._text(node.operand))
        elif isinstance(node, ast.BoolOp):
            for part in node.values:
                rest = [self._text(other) for other in node.values if other is not part]
                word = " and " if isinstance(node.op, ast.And) else " or "
                yield self._instead(node, f"({word.join(rest)})", f"left out: {' '.join(self._text(part).split())}")
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right, kind = self._text(node.left), self._text(node.comparators[0]), type(node.ops[0])
            if kind in OPPOSITE:
                yield self._instead(node, f"({left} {OPPOSITE[kind]} {right})")
            if kind in BESIDE and any(_whole_number(side) for side in (node.left, node.comparators[0])):
                yield self._instead(node, f"({left} {BESIDE[kind]} {right})")
            if kind in (ast.In, ast.NotIn):
                yield from self._without_each(node.comparators[0])
        elif isinstance(node, ast.BinOp):
            left, right, operator = self._text(node.left), self._text(node.right), type(node.op)
            if operator in ARITHMETIC:
                yield self._instead(node, f"({left} {ARITHMETIC[operator]} {right})")
            elif operator in (ast.BitOr, ast.BitAnd):
                yield self._instead(node, left)
                yield self._instead(node, right)
        elif isinstance(node, ast.IfExp):
            yield from self._of_condition(node.test)
        elif isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp):
            for loop in node.generators:
                for test in loop.ifs:
                    yield from self._of_condition(test)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield self._without_entry(key, value)
        elif isinstance(node, ast.Call):
            yield from self._of_call(node)

    def _of_call(self, node: ast.Call) -> Iterator[Mutant]:
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        if called == "Refusal":
            yield self._instead(node, "Step(EX)")
        if called == "Step":
            yield self._instead(node, 'Refusal("")')
            for need in node.args[1:]:
                yield self._instead(need, "*()", f"needs no longer: {self._text(need)}")
        for keyword in node.keywords:
            if keyword.arg not in (None, "encoding"):
                start = self._begins[keyword.lineno - 1] + keyword.col_offset
                end = self._span(keyword.value)[1]
                text = self._source[start:end].decode()
                yield Mutant(keyword.lineno, f"left out: {text}", start, end, "**{}")
        for argument in node.args:
            yield from self._without_each(argument)

    def _without_each(self, node: ast.expr | None) -> Iterator[Mutant]:
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            for part in node.elts:
                yield self._instead(part, "*()", f"left out: {self._text(part)}")

    def _without_entry(self, key: ast.expr | None, value: ast.expr) -> Mutant:
        if key is None:
            return self._instead(value, "{}", f"left out: **{self._text(value)}")
        start, end = self._span(key)[0], self._span(value)[1]
        text = " ".join(self._source[start:end].decode().split())
        return Mutant(key.lineno, f"left out: {text}", start, end, "**{}")

    def _of_constant(self, node: ast.Constant | ast.JoinedStr, in_raise: bool) -> Iterator[Mutant]:
        value = self._text(node) if isinstance(node, ast.JoinedStr) else node.value
        if isinstance(value, bool):
            yield self._instead(node, str(not value))
        elif isinstance(value, int):
            yield self._instead(node, str(value + 1))
        elif isinstance(value, str) and value and not in_raise and " " not in value:
            yield self._instead(node, '"mutant"')
        elif isinstance(value, bytes):
            yield self._instead(node, 'b"mutant"')


def _says_nothing(node: ast.stmt) -> bool:
    """Docstrings, slots, and what only a type checker reads."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return True
    named = node.targets[0] if isinstance(node, ast.Assign) else node.test if isinstance(node, ast.If) else None
    if not isinstance(named, ast.Name):
        return False
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        value = node.value.value
        if isinstance(value, str) and value.lower() == named.id.lower().replace("_", " "):
            return True  # a word that stands for itself
    return named.id in ("TYPE_CHECKING", "__slots__")


def _whole_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _falls_through_alike(node: ast.stmt) -> bool:
    """Whether a function that just ends answers as this last return: with None, or what counts the same."""
    return isinstance(node, ast.Return) and (
        node.value is None or (isinstance(node.value, ast.Constant) and node.value.value in (None, False, ""))
    )
