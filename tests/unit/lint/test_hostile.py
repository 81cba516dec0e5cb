"""Whatever stands in a CIB, lint and the pictures answer: with findings or with none, and never with a fault."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from hacluster.graph import draw, picture
from hacluster.lint import Facts, Subject, lint, with_lines
from hacluster.problems import CATALOGUE
from tests.depth import examples
from tests.unit.lint.clean import AGENTS, CIB, DOMAINS

TAGS = (
    "primitive", "group", "clone", "master", "bundle", "template", "tag", "obj_ref", "resource_set",
    "resource_ref", "rsc_order", "rsc_colocation", "rsc_location", "rule", "expression", "date_expression",
    "nvpair", "op", "operations", "meta_attributes", "instance_attributes", "cluster_property_set",
    "fencing-level", "node", "node_state", "lrm_rsc_op",
)  # fmt: skip
NAMES = (
    "id", "id-ref", "name", "value", "rsc", "with-rsc", "first", "then", "score", "kind", "node", "uname",
    "class", "provider", "type", "template", "interval", "timeout", "on-fail", "role", "rsc-pattern",
    "devices", "target", "operation", "rc-code", "call-id", "sequential", "symmetrical", "first-action",
    "then-action", "replicas", "attribute",
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        ["", "web", "db", "fs-clone", "dlm", "stack", "INFINITY", "-INFINITY", "1e999", "nan", "-", "true", "90s",
         "PT", "(", "[", "a" * 500, "\U0001f600", "../x", "#uname", "eq", "n1", "ocf", "heartbeat", "VirtualDomain",
         "stonith", "fence_ipmilan", "Filesystem", "controld", "stonith-enabled", "allow-migration", "pcmk_host_list",
         "start"]
    ),
    st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"), max_size=12),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "drop", "remove", "copy", "retag", "insert"]),
        st.integers(0, 10_000),
        st.sampled_from(NAMES),
        st.sampled_from(TAGS),
        VALUES,
    ),
    min_size=1,
    max_size=12,
)


def spoil(root: etree._Element, step: tuple[str, int, str, str, str]) -> None:
    deed, number, name, tag, value = step
    configuration = root.find("configuration")
    elements = list(configuration.iter(etree.Element))[1:]
    if not elements:
        return
    element = elements[number % len(elements)]
    if deed == "set":
        element.set(name, value)
    elif deed == "drop" and element.attrib:
        del element.attrib[sorted(element.attrib)[number % len(element.attrib)]]
    elif deed == "remove":
        element.getparent().remove(element)
    elif deed == "copy":
        elements[(number * 7) % len(elements)].append(etree.fromstring(etree.tostring(element)))
    elif deed == "retag":
        element.tag = tag
    elif deed == "insert":
        etree.SubElement(element, tag, {name: value, "id": f"new{number}"})


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_a_spoiled_cib_is_linted_and_drawn(steps: list[tuple[str, int, str, str, str]]) -> None:
    root = etree.fromstring(CIB)
    for step in steps:
        spoil(root, step)
    subject = Subject(Facts(root), AGENTS.get, {name: text.encode() for name, text in DOMAINS.items()})
    for problem in with_lines(lint(subject), subject.facts):
        assert CATALOGUE[problem.code].title
        assert problem.message
        assert problem.remedy
    assert draw(picture(subject), "x").endswith("}\n")
    for vm in subject.facts.vms[:1]:
        assert draw(picture(subject, vm.id), "x").endswith("}\n")


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(max_size=200) | st.sampled_from([text.encode() for text in DOMAINS.values()]))
def test_a_domain_file_may_be_anything(text: bytes) -> None:
    lint(Subject(Facts(etree.fromstring(CIB)), domains={"web": text}))
