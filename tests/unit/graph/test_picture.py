"""Pictures: which boxes, which lines; and that nothing in a CIB becomes a statement of the picture."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from lxml import etree

from hacluster import model
from hacluster.cib.compile import compile_element
from hacluster.graph import bonds, draw, picture
from hacluster.lint import Facts, Subject
from tests.unit.cib import clusters
from tests.unit.lint.cases import LOOP, constraint
from tests.unit.lint.clean import CIB, DOMAINS, spoiled


def subject(*changes: tuple[str, str]) -> Subject:
    return Subject(Facts(etree.fromstring(spoiled(CIB, *changes))))


def drawn(*changes: tuple[str, str], of: str | None = None) -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The lines of the picture, as the members of the boxes that they join."""
    made = picture(subject(*changes), of)
    return {(made.boxes[line.upper].members, made.boxes[line.lower].members) for line in made.lines}


def test_vms_with_the_same_bonds_are_one_box_on_their_storage() -> None:
    assert drawn() == {
        (("web", "db"), ("fs",)),
        (("fs",), ("lv",)),  # of the group its last member is what carries
        (("lv",), ("lvmlockd",)),
        (("lvmlockd",), ("dlm",)),
    }


def test_a_vm_with_another_bond_has_a_box_of_its_own() -> None:
    other = constraint('<rsc_order id="x" first="lvmlockd" then="db" kind="Optional"/>')
    assert {upper for upper, _ in drawn(other)} >= {("web",), ("db",)}


def test_a_hundred_vms_are_as_many_boxes_as_there_are_kinds() -> None:
    vms = [clusters.vm(f"vm{i}", "shared", uuid=f"00000000-0000-4000-8000-{i:012d}") for i in range(60)]
    vms += [clusters.vm(f"db{i}", "fast", uuid=f"00000000-0000-4000-8001-{i:012d}") for i in range(40)]
    made = clusters.cluster(vms=tuple(vms), storages=(clusters.gfs2(), clusters.gfs2("fast")))
    boxes = picture(Subject(Facts(compile_element(made)))).boxes
    assert sorted(len(box.members) for box in boxes if box.look == "vm") == [40, 60]
    assert {box.members for box in boxes if box.look == "storage"} == {
        ("shared-fs",), ("shared-lv",), ("fast-fs",), ("fast-lv",)
    }  # fmt: skip
    text = draw(picture(Subject(Facts(compile_element(made)))), "x")
    assert "<b>60 VMs</b>" in text
    assert "and 54 more" in text


def test_a_volume_that_follows_its_vm_is_drawn_below_it() -> None:
    exclusive = clusters.vm(
        "web",
        "vols",
        disks=(model.Disk("/dev/vg/web", "raw", "vols", device="block"),),
        migration=model.Migration("cold"),
    )
    made = clusters.cluster(vms=(exclusive,), storages=(model.SharedLvm("vols", "vg"),))
    (bond,) = [
        each
        for each in bonds(Subject(Facts(compile_element(made))))
        if "vols-lv-web" in (each.upper, each.lower) and "web" in (each.upper, each.lower)
    ]
    assert (bond.upper, bond.lower, bond.waits, bond.beside, bond.lacks) == ("web", "vols-lv-web", "must", "must", "")


def test_things_of_one_id_and_without_an_agent_are_drawn() -> None:
    root = etree.fromstring(CIB)
    for _ in range(2):
        etree.SubElement(root.find("configuration/resources"), "primitive", id="a")
    etree.SubElement(root.find("configuration/constraints"), "rsc_order", id="o", first="a", then="dlm")
    assert draw(picture(Subject(Facts(root))), "x").endswith("}\n")


def test_volumes_of_one_vm_each_are_one_box_with_a_line_each() -> None:
    volume = """<primitive id="lv-{0}" class="ocf" provider="heartbeat" type="LVM-activate"/>
      <primitive id="{0}" """
    made = picture(
        subject(
            ('<primitive id="web" ', volume.format("web")),
            ('<primitive id="db" ', volume.format("db")),
            constraint('<rsc_order id="w" first="lv-web" then="web"/><rsc_order id="d" first="lv-db" then="db"/>'),
        )
    )
    (line,) = (line for line in made.lines if made.boxes[line.lower].members == ("lv-web", "lv-db"))
    assert line.each
    assert made.boxes[line.upper].members == ("web", "db")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('<resource_ref id="db"/>', ""), "lies on it, and does not wait for it"),
        (('<rsc_colocation id="c4" rsc="db" with-rsc="fs-clone" score="INFINITY"/>', ""), "may run without it"),
    ],
)
def test_what_is_missing_below_a_vm_is_red(change: tuple[str, str], words: str) -> None:
    text = draw(picture(subject(change, ("/etc/libvirt/qemu/", "/kvm/images/"))), "x")
    (line,) = (line for line in text.splitlines() if words in line)
    assert "#c62828" in line


def test_one_vm_is_drawn_with_what_it_stands_on_and_why() -> None:
    apart = constraint('<rsc_colocation id="never-both" rsc="web" with-rsc="db" score="-INFINITY"/>')
    text = draw(picture(subject(apart), "web"), "x")
    assert {"o3", "c3", "never-both", "stack"} <= set(re.findall(r"[\w-]+", text))
    assert "c4" not in text, "why another VM stands on it is not this one's business"
    assert "<b>lv</b>" in text


def test_a_ring_is_red() -> None:
    text = draw(picture(subject(constraint(LOOP))), "x")
    assert text.count("waits in a ring") == 5


def test_advice_and_halves_are_told_apart() -> None:
    found = {
        (b.upper, b.lower): (b.waits, b.beside, b.apart)
        for b in bonds(
            subject(
                ('rsc="web" with-rsc="fs-clone" score="INFINITY"', 'rsc="web" with-rsc="fs-clone" score="500"'),
                constraint('<rsc_colocation id="a" rsc="web" with-rsc="db" score="-1000"/>'),
                constraint('<rsc_order id="b" first="db" then="web" kind="Optional"/>'),
            )
        )
    }
    assert found["web", "fs"] == ("must", "may", "")
    assert found["web", "db"] == ("may", "", "may")


@pytest.mark.parametrize("name", ['a"];evil', "a<b>c", "a&amp;b", "a\\nb", "𝔘𝔫𝔦", "a\u202eb", "x" * 300])
def test_a_name_stays_text(name: str) -> None:
    root = etree.fromstring(CIB)
    for element in root.iter():
        for attribute in ("id", "rsc", "first", "then"):
            if element.get(attribute) == "web":
                element.set(attribute, name)
    text = draw(picture(Subject(Facts(root)), name), name)
    assert "evil\n" not in text
    statements = [line for line in text.splitlines() if line.strip().startswith("n")]
    assert all(re.match(r"\s+n(\d+ (\[|-> (n\d+|key) \[)|ode \[)", line) for line in statements)
    graphviz_takes(text)


def graphviz_takes(text: str) -> None:
    """Where graphviz is installed."""
    if shutil.which("dot"):
        done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        etree.fromstring(done.stdout)


def test_a_cluster_without_anything_is_a_picture_too() -> None:
    graphviz_takes(draw(picture(Subject(Facts(etree.fromstring("<cib><configuration/></cib>")))), "x"))


def test_disks_that_no_resource_holds_are_told_in_the_vms_box() -> None:
    elsewhere = DOMAINS["db"].replace("/kvm/images/", "/dev/san/").encode()
    known = {"web": DOMAINS["web"].encode(), "db": elsewhere}
    made = picture(Subject(Facts(etree.fromstring(CIB)), domains=known))
    assert {box.members: box.outside for box in made.boxes if box.look == "vm"} == {
        ("web",): (),
        ("db",): ("/dev/san",),
    }
    assert "disks in /dev/san, not by Pacemaker" in draw(made, "x")


def test_vms_are_on_top() -> None:
    made = picture(subject())
    tops = [number for number, box in enumerate(made.boxes) if box.look == "vm"]
    assert f"rank=min; {' '.join(f'n{number};' for number in tops)}" in draw(made, "x")


def test_a_file_system_keeps_its_box_though_one_vm_alone_uses_it() -> None:
    mounted = """<primitive id="fs-{0}" class="ocf" provider="heartbeat" type="Filesystem"/>
      <primitive id="{0}" """
    made = picture(
        subject(
            ('<primitive id="web" ', mounted.format("web")),
            ('<primitive id="db" ', mounted.format("db")),
            constraint('<rsc_order id="w" first="fs-web" then="web"/><rsc_order id="d" first="fs-db" then="db"/>'),
        )
    )
    assert {("fs-web",), ("fs-db",), ("web",), ("db",)} <= {box.members for box in made.boxes}


@pytest.mark.parametrize(
    ("change", "words", "style"),
    [
        (constraint('<rsc_order id="x" first="web" then="db"/>'), "only waits for it", "dashed"),
        (constraint('<rsc_order id="x" first="web" then="db" kind="Optional"/>'), "waits if both start", "dashed"),
        (constraint('<rsc_colocation id="x" rsc="db" with-rsc="web" score="INFINITY"/>'), "only beside it", "dotted"),
        (constraint('<rsc_colocation id="x" rsc="db" with-rsc="web" score="5"/>'), "rather beside it", "dotted"),
        (
            constraint(
                '<rsc_order id="x" first="web" then="db"/><rsc_colocation id="y" rsc="db" with-rsc="web" score="5"/>'
            ),
            "by advice only",
            "dashed",
        ),
        (constraint('<rsc_colocation id="x" rsc="db" with-rsc="web" score="-5"/>'), "rather apart", "dashed"),
    ],
)
def test_a_bond_that_is_not_whole_says_what_it_is(change: tuple[str, str], words: str, style: str) -> None:
    lines = [line for line in draw(picture(subject(change)), "x").splitlines() if words in line]
    assert len(lines) == 1
    assert f"[style={style}," in lines[0]
