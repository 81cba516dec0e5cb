"""docs/lint.md says what the catalogue says, and no rule is left out of it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.lint.page import COMPLAINTS, THEMES, page, rules

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_the_catalogues() -> None:
    assert (DOCS / "lint.md").read_text() == page(), "python -m tests.unit.lint.page > docs/lint.md"


def test_every_rule_has_one_theme() -> None:
    for kind in rules():
        assert sum(bool(re.fullmatch(codes, kind.code)) for _, codes in THEMES) == 1, kind.code


def test_every_rule_answers_a_complaint() -> None:
    assert {kind.code for kind in rules()} <= {code for _, codes in COMPLAINTS for code in codes.split()}
