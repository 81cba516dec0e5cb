"""Where lint must be silent: a false alarm teaches its reader to pass over the next finding."""

from __future__ import annotations

import pytest
from lxml import etree

from hacluster import spec
from hacluster.cib import reading
from hacluster.cib.compile import compile_element
from hacluster.cli.surroundings import describe
from hacluster.edge.agents import InstalledAgents
from hacluster.lint import Facts, Subject, lint, with_lines
from hacluster.lint.relations import Relations
from hacluster.problems import Problem
from tests.corpus import CIBS, needs_corpus
from tests.unit.cib import clusters
from tests.unit.lint.cases import ban, constraint
from tests.unit.lint.clean import AGENTS, CIB, DOMAINS, findings
from tests.unit.spec.example import EXAMPLES


def of_text(text: str) -> set[str]:
    return {p.code for p in lint(Subject(Facts(etree.fromstring(text)), AGENTS.get))}


def cib(resources: str, constraints: str = "", nodes: int = 3) -> str:
    members = "".join(f'<node id="{i}" uname="n{i}"/>' for i in range(1, nodes + 1))
    return (
        f"<cib><configuration><crm_config/><nodes>{members}</nodes><resources>"
        '<primitive id="apc" class="stonith" type="fence_apc"/>'
        f"{resources}</resources><constraints>{constraints}</constraints></configuration><status/></cib>"
    )


VM = """<primitive id="{0}" class="ocf" provider="hacluster" type="VirtualDomain"><instance_attributes id="{0}-i">
<nvpair id="{0}-c" name="config" value="/srv/vm/{0}.xml"/></instance_attributes>
<operations><op id="{0}-m" name="monitor" interval="10s"/></operations></primitive>"""
FS = """<primitive id="srv" class="ocf" provider="heartbeat" type="Filesystem"><instance_attributes id="srv-i">
<nvpair id="srv-d" name="directory" value="/srv//vm/"/><nvpair id="srv-t" name="fstype" value="xfs"/>
</instance_attributes><operations><op id="srv-m" name="monitor" interval="10s"/></operations></primitive>"""


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.toml")))
def test_what_hactl_compiles_has_nothing_against_it(example: str) -> None:
    cluster, found = spec.check(EXAMPLES / example)
    if cluster is None or not cluster.vms:
        pytest.skip(f"not a cluster's spec: {found}")
    domains = {vm.name: vm.domain_xml for vm in cluster.vms}
    found = lint(Subject(Facts(compile_element(cluster)), describe(InstalledAgents()), domains))
    # Examples that are fenced by boards alone, and the stock agent that remote nodes have.
    assert {problem.code for problem in found} <= {"HA818", "HA829"}


def test_a_group_is_an_order_and_a_colocation() -> None:
    grouped = f'<group id="g">{FS}{VM.format("a")}</group>'
    assert of_text(cib(grouped)) == set()
    apart = (
        f'<group id="g"><meta_attributes id="gm"><nvpair id="go" name="ordered" value="false"/></meta_attributes>{FS}'
    )
    assert of_text(cib(f"{apart}{VM.format('a')}</group>")) == {"HA840"}


@pytest.mark.parametrize(
    ("first", "then"), [("srv", "vms"), ("srv", "a"), ("srv-tag", "vms"), ("srv", "mould")], ids=str
)
def test_tags_and_templates_are_followed(first: str, then: str) -> None:
    text = cib(
        f'<template id="mould" class="ocf" provider="hacluster" type="VirtualDomain"/>{FS}'
        + VM.format("a").replace('class="ocf" provider="hacluster" type="VirtualDomain"', 'template="mould"'),
        f'<rsc_order id="o" first="{first}" then="{then}"/>'
        f'<rsc_colocation id="c" rsc="{then}" with-rsc="{first}" score="INFINITY"/>',
    ).replace(
        "</constraints>",
        '</constraints><tags><tag id="vms"><obj_ref id="a"/></tag><tag id="srv-tag"><obj_ref id="srv"/></tag></tags>',
    )
    assert of_text(text) == set()


def test_the_last_of_a_colocation_set_is_what_the_others_stand_on() -> None:
    """Within a set each stands on the one before it, between sets the first set on the second."""
    two = f"{FS}{VM.format('a')}"
    inside = '<resource_set id="s"><resource_ref id="{}"/><resource_ref id="{}"/></resource_set>'
    between = inside.replace("/><", '/></resource_set><resource_set id="t"><', 1)
    for text, right in ((inside, ("srv", "a")), (between, ("a", "srv"))):
        colocation = f'<rsc_colocation id="c" score="INFINITY">{text}</rsc_colocation>'
        for names, below in ((right, {"srv"}), (right[::-1], set())):
            relations = Relations(Facts(etree.fromstring(cib(two, colocation.format(*names)))))
            assert relations.beside("a") == below


def test_a_volume_may_follow_its_vm_but_a_clone_may_not() -> None:
    order = '<rsc_order id="o" first="{0}" then="a"/><rsc_colocation id="c" rsc="{0}" with-rsc="a" score="INFINITY"/>'
    assert of_text(cib(f"{FS}{VM.format('a')}", order.format("srv"))) == set()
    cloned = f'<clone id="srv-clone">{FS}</clone>{VM.format("a")}'
    assert of_text(cib(cloned, order.format("srv-clone"))) == {"HA841"}


@pytest.mark.parametrize(
    "name",
    ["resource-stickiness", "hostlist", "maintenance-window", "my-site-note", "hana_prd_site_srHook", "dc-version"],
)
def test_a_property_that_resembles_none_is_somebodys_note(name: str) -> None:
    note = f'<cluster_property_set id="p"><nvpair id="p1" name="{name}" value="1"/></cluster_property_set>'
    found = findings(('<cluster_property_set id="cib', note + '<cluster_property_set id="cib'))
    assert [p.code for p in found] == ["HA829"]


def test_a_device_that_finds_its_victims_itself_fences_every_node() -> None:
    assert "HA805" not in {p.code for p in findings(('value="n3"', 'value="n2"'))}


def test_a_disabled_vm_on_a_disabled_node_is_no_ban() -> None:
    assert "HA847" not in of_text(cib(FS, '<rsc_location id="l" rsc="srv" node="n1" score="-INFINITY"/>'))


def test_a_rule_that_nobody_can_foresee_bans_nothing() -> None:
    by_attribute = (
        '<rsc_location id="l" rsc="srv"><rule id="r" score="-INFINITY"><expression id="e" attribute="site" '
        'operation="eq" value="b"/></rule></rsc_location>'
    )
    assert of_text(cib(FS, by_attribute)) == set()


@pytest.mark.parametrize("path", ["/dev/vg-a/images", "/dev/mapper/vg--a-images"])
def test_a_volume_is_known_by_both_its_names(path: str) -> None:
    vm = VM.format("a").replace("/srv/vm/a.xml", path)
    lv = (
        '<primitive id="lv" class="ocf" provider="heartbeat" type="LVM-activate"><instance_attributes id="i">'
        '<nvpair id="v" name="vgname" value="vg-a"/><nvpair id="l" name="lvname" value="images"/>'
        "</instance_attributes>"
        '<operations><op id="lv-m" name="monitor" interval="9s" timeout="90s"/>'
        '<op id="lv-s" name="start" timeout="90s"/>'
        '<op id="lv-t" name="stop" timeout="90s"/></operations></primitive>'
    )
    assert of_text(cib(lv + vm)) == {"HA840", "HA841"}
    assert of_text(cib(lv + vm.replace("images", "image"))) == set()


def test_a_file_finding_names_its_line() -> None:
    text = CIB.replace('name="allow-migrate"', 'name="allow-migration"')
    facts = Facts(reading.any_cib(text.encode(), "x"))
    found = with_lines(lint(Subject(facts, AGENTS.get)), facts)
    (slip,) = (p for p in found if p.code == "HA825")
    assert dict(slip.facts)["line"] == str(text[: text.index('<primitive id="web"')].count("\n") + 1)


def test_a_thousand_vms_are_one_finding_each_way() -> None:
    many = tuple(clusters.vm(f"vm{i}", "shared", uuid=f"00000000-0000-4000-8000-{i:012d}") for i in range(1000))
    root = compile_element(clusters.cluster(vms=many))
    for each in root.findall("configuration/constraints/*"):
        if "vm-on" in each.get("id"):
            each.getparent().remove(each)
    for pair in root.iterfind(".//primitive//nvpair[@name='config']"):
        pair.set("value", "/kvm/shared" + pair.get("value"))
    found: tuple[Problem, ...] = lint(Subject(Facts(root), AGENTS.get))
    assert sorted(p.code for p in found) == ["HA818", "HA821", "HA840", "HA841"]


@needs_corpus
def test_every_cib_of_a_corpus_is_linted() -> None:
    for path in CIBS:
        facts = Facts(reading.any_cib(path.read_bytes(), path.name))
        for problem in with_lines(lint(Subject(facts, AGENTS.get)), facts):
            assert problem.message and problem.remedy, path


def test_a_pattern_names_resources_and_a_hostile_one_costs_nothing() -> None:
    ban = '<rsc_location id="l{0}" rsc-pattern="{1}" node="n{0}" score="-INFINITY"/>'
    assert of_text(cib(FS, "".join(ban.format(i, "^s.v$") for i in (1, 2, 3)))) == {"HA847"}
    long = FS.replace('id="srv"', f'id="{"a" * 60}"')
    assert of_text(cib(long, "".join(ban.format(i, "(a+)+$b") for i in (1, 2, 3)))) == set()


@pytest.mark.parametrize("name", ["web-old", "web2", "web_1", "Web", "v1.2"])
def test_a_name_that_finds_itself_alone_is_right(name: str) -> None:
    changed = {**DOMAINS, "db": DOMAINS["db"].replace("<name>db<", f"<name>{name}<")}
    assert [p.code for p in findings(domains=changed)] == ["HA829"]


def test_a_nodes_name_may_be_written_in_capitals() -> None:
    assert [p.code for p in findings(('node="n1"', 'node="N1"'), ('value="n3"', 'value="N3"'))] == ["HA829"]
    assert [p.code for p in findings(ban("bmc-n2", "N1", "N3"))] == ["HA803", "HA829"]


def test_a_ban_of_a_role_is_no_ban() -> None:
    role = '<rsc_location id="l{0}" rsc="srv" role="Promoted" node="n{0}" score="-INFINITY"/>'
    assert of_text(cib(FS, "".join(role.format(i) for i in (1, 2, 3)))) == set()


def test_of_several_monitors_the_frequent_one_is_judged() -> None:
    rare = '<op id="web-deep" name="monitor" interval="300s" timeout="10s"/><op id="web-monitor"'
    assert [p.code for p in findings(('<op id="web-monitor"', rare))] == ["HA829"]


def test_an_order_of_others_is_not_named_as_the_weak_one() -> None:
    other = constraint('<rsc_order id="other" first="fs-clone" then="db" kind="Optional"/>')
    found = [p for p in findings(other, ('<resource_ref id="web"/>', "")) if p.code == "HA840"]
    assert [(p.where, "other" in p.message) for p in found] == [("web", False)]


def test_one_node_alone_has_nobody_else_to_run_its_fence_device() -> None:
    alone = '<rsc_location id="l" rsc="apc" node="n1" score="-INFINITY"/>'
    assert of_text(cib(FS, alone, nodes=1)) == set()
