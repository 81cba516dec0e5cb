"""The table of what templates are given says what compiling gives."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from lxml import etree

from hacluster import model, spec
from hacluster.cib.compile import compile_element
from hacluster.cib.nouns import NOUNS
from hacluster.cib.templates import Library, Value, shipped_directory
from tests.golden import test_golden
from tests.unit.cib.template_page import page
from tests.unit.spec.example import EXAMPLES


class Recording(Library):
    """A library that remembers what each template was given."""

    def __init__(self) -> None:
        super().__init__([shipped_directory()])
        self.given: dict[str, list[dict[str, Value]]] = defaultdict(list)

    def render(self, name: str, root_id: str, /, **values: Value) -> etree._Element:
        self.given[name].append(values)
        return super().render(name, root_id, **values)


@pytest.fixture(scope="module")
def given() -> dict[str, list[dict[str, Value]]]:
    library = Recording()
    for path in sorted(EXAMPLES.glob("*.toml")):
        made, _ = spec.check(path)
        if made is not None:
            compile_element(made, library)
    rare = spec.load(EXAMPLES / "san.toml")
    older = tuple(replace(s, o2cb=True) if isinstance(s, model.Ocfs2) else s for s in rare.storages)
    order = model.StartOrder("slow", ((rare.vms[0].name,), (rare.vms[1].name,)), delay=30)
    compile_element(replace(rare, storages=older, start_orders=(order,)), library)
    return library.given


def test_every_template_is_in_the_table() -> None:
    assert set(NOUNS) == set(Library([shipped_directory()]).names())


@pytest.mark.parametrize("name", sorted(NOUNS))
def test_a_template_is_given_what_the_table_says(name: str, given: dict[str, list[dict[str, Value]]]) -> None:
    assert given[name], "no cluster of this test uses it"
    for values in given[name]:
        assert set(values) == {*NOUNS[name].needed, *NOUNS[name].optional}
        assert {value for value, told in values.items() if told is None} <= set(NOUNS[name].optional)


@pytest.mark.parametrize("name", sorted(NOUNS))
@pytest.mark.parametrize("bare", [False, True])
def test_the_shipped_templates_can_be_filled_with_the_samples(name: str, bare: bool) -> None:
    noun = NOUNS[name]
    made = Library([shipped_directory()]).render(name, noun.root, **noun.values(bare=bare))
    assert (made.tag, made.get("id")) == (noun.tag, noun.root)


def test_the_page_says_what_the_templates_say() -> None:
    text = (EXAMPLES.parent / "docs" / "templates.md").read_text()
    assert text == page(), "python -m tests.unit.cib.template_page > docs/templates.md"


def test_every_template_stands_in_a_golden_cib_with_its_simulation() -> None:
    library = Recording()
    for example in test_golden.EXAMPLES:
        compile_element(test_golden.cluster(example), library)
    # ocfs2_controld is for distributions whose Pacemaker is older than those that hactl moves VMs live on.
    assert set(NOUNS) - set(library.given) == {"o2cb"}
