"""Examples in, the whole CIB and what Pacemaker makes of it out, to be read in review.

`HACTL_GOLDEN=write pytest tests/golden` writes the files anew; `git diff` then shows what a change of code means.
"""

from __future__ import annotations

import os
from itertools import pairwise, product
from pathlib import Path

import pytest
from lxml import etree

from hacluster import model, spec
from hacluster.cib import compile as compiler
from tests import scheduler
from tests.unit.cli.shell import hactl

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent
EXAMPLES = ("ceph-remote", "kvm-cluster", "kvm-cluster-clvmd", "lab", "placement", "san", "two-nodes-nfs")
WRITE = os.environ.get("HACTL_GOLDEN") == "write"


def cluster(example: str) -> model.Cluster:
    return spec.load(ROOT / "examples" / f"{example}.toml")


def compiled(example: str) -> bytes:
    return compiler.compile(cluster(example))


def same(name: str, content: bytes) -> None:
    """The content is that of the golden file."""
    path = GOLDEN / name
    if WRITE:
        path.write_bytes(content)
    assert content.decode() == path.read_text()


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_cib_of_an_example(example: str) -> None:
    same(f"{example}.xml", compiled(example))


class TestWithTools:
    pytestmark = scheduler.needs_tools

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_what_pacemaker_does_with_it_when_all_nodes_come_up(self, example: str, tmp_path: Path) -> None:
        sentences = scheduler.ask(compiled(example), tmp_path).simulation.sentences()
        same(f"{example}.simulation.txt", "".join(f"{line}\n" for line in sorted(sentences)).encode())

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_the_tools_have_nothing_against_it(self, example: str, tmp_path: Path) -> None:
        path = tmp_path / "cib.xml"
        path.write_bytes(compiled(example))
        verified = scheduler.run("crm_verify", "--verbose", "--xml-file", path)
        assert (verified.returncode, verified.stderr) == (0, b"")
        shown = scheduler.run("pcs", "-f", path, "config")
        assert shown.returncode == 0, shown.stderr.decode()

    @pytest.mark.parametrize(
        ("example", "stack"),
        [
            ("kvm-cluster", ["dlm", "lvmlockd", "gfs2_storage-lv", "gfs2_storage-fs"]),
            ("kvm-cluster-clvmd", ["dlm", "clvmd", "gfs2_storage-lv", "gfs2_storage-fs"]),
        ],
    )
    def test_the_stack_comes_up_on_three_nodes_and_then_the_vms(
        self, example: str, stack: list[str], tmp_path: Path
    ) -> None:
        graph = scheduler.ask(compiled(example), tmp_path).graph
        vms = [vm.name for vm in cluster(example).vms]
        for first, then in [*pairwise(stack), *((stack[-1], vm) for vm in vms)]:
            for start in graph.of(then, "start"):
                earlier = {id_ for id_ in graph.before(start) if graph.steps[id_].node == start.node}
                assert {step.id for step in graph.of(first, "start") if step.node == start.node} & earlier, (
                    f"{then} on {start.node} does not wait for {first} there"
                )
        assert {name: len({step.node for step in graph.of(name, "start") if step.real}) for name in stack} == {
            name: 3 for name in stack
        }
        assert all(len([step for step in graph.of(vm, "start") if step.real]) == 1 for vm in vms)

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_nothing_starts_before_what_it_stands_on_has_started_there(self, example: str, tmp_path: Path) -> None:
        cib = etree.fromstring(compiled(example))
        graph = scheduler.ask(cib, tmp_path).graph
        tags = {tag.get("id"): [ref.get("id") for ref in tag] for tag in cib.iter("tag")}
        clones = {clone.get("id"): clone.find("primitive").get("id") for clone in cib.iter("clone")}
        seen = 0
        for order in cib.iter("rsc_order"):
            firsts, thens = (
                [clones.get(each, each) for each in tags.get(order.get(end), [order.get(end)])]
                for end in ("first", "then")
            )
            for first, then in product(firsts, thens):
                for start in graph.of(then, "start"):
                    earlier = {id_ for id_ in graph.before(start) if graph.steps[id_].node == start.node}
                    wanted = {step.id for step in graph.of(first, "start") if step.node == start.node}
                    assert wanted, f"{then} starts on {start.node}, where {first} does not"
                    assert wanted <= earlier, f"{then} on {start.node} does not wait for {first} there"
                    seen += start.real
        assert seen > 3

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_hactl_check_finds_no_error_in_it(self, example: str) -> None:
        checked = hactl("check", ROOT / "examples" / f"{example}.toml")
        assert (checked.returncode, "well described" in checked.stdout) == (0, True), checked.stderr

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_once_it_runs_there_is_nothing_to_do(self, example: str, tmp_path: Path) -> None:
        running = scheduler.carried_out(compiled(example), tmp_path)
        assert scheduler.ask(running, tmp_path).simulation.actions == ()
