"""What is made from guard/table.py: the decisions of the Promela model (table.pml) and the page docs/guard-table.md.

`python3 -m tests.model.generate` writes both; a test holds that they are up to date. No decision about admission
stands in guard.pml itself: take a cell of the table away, and the model changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from hacluster.guard import table
from hacluster.guard.dlm import MODE_NAMES, NL, compatible
from hacluster.guard.table import Refusal, Step

Table = Mapping[tuple[int, str], Step | Refusal]

HERE = Path(__file__).parent
PROMELA = HERE / "table.pml"
PAGE = HERE.parents[1] / "docs" / "guard-table.md"

# Conditions that stand beside a step, by the name that they have in table.py.
NEEDS = {
    text: name
    for name, text in vars(table).items()
    if isinstance(text, str) and any(text in cell.needs for cell in table.TABLE.values() if isinstance(cell, Step))
}


def _any_of(tests: list[str]) -> str:
    return "(" + (" || ".join(tests) if tests else "false") + ")"


def promela(cells: Table = table.TABLE) -> str:
    """The table as macros: EVENT_ALLOWED(m), EVENT_AFTER(m), EVENT_NEEDS_X(m); and GOES_WITH(a, b) for two modes."""
    lines = ["/* Generated from hacluster/guard/table.py by tests/model/generate.py. */"]
    lines += [f"#define {MODE_NAMES[mode]} {mode}" for mode in table.MODES]
    pairs = [f"(a) == {a} && (b) == {b}" for a in table.MODES for b in table.MODES if compatible(a, b)]
    lines.append(f"#define GOES_WITH(a, b) {_any_of(pairs)}")
    for event in dict.fromkeys(name for _, name in cells):
        steps = {mode: cell for mode in table.MODES if isinstance(cell := cells[mode, event], Step)}
        name = event.upper().replace(" ", "_")
        after = "(m)"
        for mode, cell in steps.items():
            after = f"((m) == {mode} -> {cell.mode} : {after})"
        lines.append(f"#define {name}_ALLOWED(m) {_any_of([f'(m) == {mode}' for mode in steps])}")
        lines.append(f"#define {name}_AFTER(m) {after}")
        for text, need in NEEDS.items():
            needing = [f"(m) == {mode}" for mode, cell in steps.items() if text in cell.needs]
            lines.append(f"#define {name}_NEEDS_{need}(m) {_any_of(needing)}")
    return "\n".join(lines) + "\n"


def laws() -> list[str]:
    """The numbered laws of the table's docstring, one text each, and the one that stands over all of them."""
    text = table.__doc__ or ""
    numbered = re.findall(r"^\d\. (.*?)(?=^\d\. |^$)", text, re.MULTILINE | re.DOTALL)
    return [" ".join(law.split()) for law in numbered]


def _cell(cell: Step | Refusal) -> str:
    if isinstance(cell, Refusal):
        return f"refused: “this node {cell.reason}”"
    return f"**→ {MODE_NAMES[cell.mode]}**" + "".join(f", if {need}" for need in cell.needs)


def page(cells: Table = table.TABLE) -> str:
    """The table for people: one section for each event, one row for each mode."""
    lines = [
        "# Who may run a VM: the guard's truth table",
        "",
        "<!-- Generated from hacluster/guard/table.py by `python3 -m tests.model.generate`. -->",
        "",
        "Each node holds at most one run-lock for each VM. What it may do depends on that lock's mode alone, and on",
        "what stands behind “if”. Everything that is not listed as a step is refused, with the sentence shown.",
        "",
        "| mode | meaning |",
        "|---|---|",
        *(f"| {MODE_NAMES[mode]} | {table.MEANING[mode]} |" for mode in reversed(table.MODES)),
        "",
        "Two nodes hold their locks at once only in these pairs: "
        + ", ".join(
            f"{MODE_NAMES[a]} with {MODE_NAMES[b]}"
            for a in table.MODES
            for b in table.MODES
            if NL < a <= b and compatible(a, b)
        )
        + ".",
        "",
        "## The laws",
        "",
        *(f"{number}. {law}" for number, law in enumerate(laws(), 1)),
        "",
        "Over all of them: unknown refuses.",
        "",
        "## Events",
    ]
    for event in dict.fromkeys(name for _, name in cells):
        lines += ["", f"### {event}", "", "| mode before | answer |", "|---|---|"]
        lines += [f"| {MODE_NAMES[mode]} | {_cell(cells[mode, event])} |" for mode in table.MODES]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PROMELA.write_text(promela(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
