"""The domain XML that hactl makes, and the domain XML that an admin brings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from hacluster.model import Disk, Nic
from tests.depth import examples
from tests.unit.spec.example import SMALL, VM, changed, cluster, findings, only, parse

UUID = "3c9f7a40-6f2e-4d0b-9a6b-2f8f9d1e7a01"
TINY = changed(
    ('memory = "512M"', 'memory = "4M"\ndomain_type = "qemu"\nmachine = "pc-i440fx-7.2"\nserial = "/vm/web.serial"'),
    ('nics = [{ network = "lan", mac = "52:54:00:00:00:01" }]\n', ""),
    text=VM,
)
RICH = changed(
    (
        '[{ path = "/vm/web.img", format = "raw" }]',
        """[
  { path = "/vm/web.img", format = "qcow2" },
  { path = "/dev/luns/a", format = "raw", bus = "scsi" },
  { path = "/dev/luns/b", format = "raw", bus = "sata" },
]
graphics = "vnc"
cpu = "EPYC\"""",
    ),
    text=VM,
)


def domain(vm: str) -> etree._Element:
    return etree.fromstring(cluster(SMALL + vm).vms[0].domain_xml)


def test_a_guest_is_the_same_machine_on_every_host() -> None:
    root = domain(VM)
    assert (root.get("type"), root.findtext("name"), root.findtext("uuid")) == ("kvm", "web", UUID)
    assert (root.findtext("memory"), root.find("memory").get("unit")) == ("524288", "KiB")
    assert root.find("os/type").get("machine") == "pc-q35-7.2"
    assert (root.find("cpu").get("mode"), root.find("cpu").get("match")) == ("custom", "exact")
    assert (root.findtext("cpu/model"), root.find("cpu/model").get("fallback")) == ("Nehalem", "forbid")
    assert root.find("features/acpi") is not None


def test_a_guest_that_ends_is_gone() -> None:
    root = domain(VM)
    assert [root.findtext(e) for e in ("on_poweroff", "on_reboot", "on_crash")] == ["destroy", "restart", "destroy"]


def test_disks_and_cards_are_what_the_spec_says() -> None:
    root = domain(RICH)
    assert [
        (
            d.get("type"),
            d.find("driver").attrib["type"],
            d.find("driver").attrib["cache"],
            *d.find("source").attrib.items(),
        )
        for d in root.findall("devices/disk")
    ] == [
        ("file", "qcow2", "none", ("file", "/vm/web.img")),
        ("block", "raw", "none", ("dev", "/dev/luns/a")),
        ("block", "raw", "none", ("dev", "/dev/luns/b")),
    ]
    assert [d.get("dev") for d in root.findall("devices/disk/target")] == ["vda", "sda", "sdb"]
    card = root.find("devices/interface")
    assert (card.find("source").get("bridge"), card.find("mac").get("address")) == ("br0", "52:54:00:00:00:01")
    vm = cluster(SMALL + RICH).vms[0]
    assert vm.disks[1] == Disk("/dev/luns/a", "raw", "luns", "scsi", "block")
    assert (vm.storages, vm.nics) == (("luns", "s"), (Nic("lan", "52:54:00:00:00:01"),))


def test_a_screen_is_there_only_when_asked_for() -> None:
    assert domain(VM).find("devices/graphics") is None
    assert domain(RICH).find("devices/graphics").get("listen") == "127.0.0.1"


def test_a_serial_file_is_appended_to_and_a_tiny_guest_has_nothing_to_drive() -> None:
    devices = domain(TINY).find("devices")
    serial = devices.find("serial")
    assert (serial.get("type"), dict(serial.find("source").attrib)) == (
        "file",
        {"path": "/vm/web.serial", "append": "on"},
    )
    assert devices.find("memballoon").get("model") == "none"
    assert [e.tag for e in devices] == ["disk", "serial", "controller", "memballoon"]
    assert domain(TINY).findtext("cpu/model") == "qemu64"


def test_more_than_26_disks_have_names() -> None:
    many = ", ".join(f'{{ path = "/vm/{i}.img", format = "raw" }}' for i in range(28))
    root = domain(changed(('[{ path = "/vm/web.img", format = "raw" }]', f"[{many}]"), text=VM))
    names = [target.get("dev") for target in root.findall("devices/disk/target")]
    assert [names[0], *names[25:]] == ["vda", "vdz", "vdaa", "vdab"]


def test_the_same_spec_gives_the_same_bytes() -> None:
    assert cluster(SMALL + RICH).vms[0].domain_xml == cluster(SMALL + RICH).vms[0].domain_xml


def test_nothing_in_a_path_becomes_markup() -> None:
    text = changed(("/vm/web.img", "/vm/<a&b> c'.img"), text=VM)
    assert domain(text).find("devices/disk/source").get("file") == "/vm/<a&b> c'.img"


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("virt-xml-validate") is None, reason="needs libvirt-clients")
@pytest.mark.parametrize("vm", [VM, TINY, RICH], ids=["usual", "tiny", "rich"])
def test_libvirts_schema_takes_it(vm: str, tmp_path: Path) -> None:
    path = tmp_path / "web.xml"
    path.write_bytes(cluster(SMALL + vm).vms[0].domain_xml)
    done = subprocess.run(
        ["virt-xml-validate", path, "domain"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


# --- domain XML brought along

BROUGHT = """\
<domain type='kvm' id='7'><name>web</name><uuid>3C9F7A40-6f2e-4d0b-9a6b-2f8f9d1e7a01</uuid>
  <!-- from virsh dumpxml -->
  <memory unit='MiB'>512</memory><vcpu>2</vcpu><os><type>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/vm/web.img'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/><source file='/vm/install.iso'/><target dev='sda' bus='sata'/><readonly/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><model type='e1000'/></interface>
  </devices>
</domain>
"""
BY_FILE = '[vms.web]\ndomain_xml = "web.xml"\n'


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "web.xml").write_text(BROUGHT)
    return tmp_path


def write(base: Path, *changes: tuple[str, str]) -> Path:
    (base / "web.xml").write_text(changed(*changes, text=BROUGHT))
    return base


def test_a_brought_domain_says_what_the_vm_has(base: Path) -> None:
    vm = cluster(SMALL + BY_FILE, base).vms[0]
    assert (vm.name, vm.uuid, vm.memory, vm.vcpus) == ("web", UUID, 512 << 20, 2)
    assert vm.disks == (Disk("/vm/web.img", "qcow2", "s"),)
    assert vm.nics == (Nic("lan", "52:54:00:00:00:01", "e1000"),)
    assert vm.storages == ("s",)


def test_a_brought_domain_is_written_in_one_way(base: Path) -> None:
    xml = cluster(SMALL + BY_FILE, base).vms[0].domain_xml
    assert f"\n  <uuid>{UUID}</uuid>\n" in xml.decode()
    assert b"id=" not in xml
    assert b"<!--" not in xml
    (base / "web.xml").write_bytes(xml)
    assert cluster(SMALL + BY_FILE, base).vms[0].domain_xml == xml


def test_name_and_uuid_may_stand_in_the_spec_alone(base: Path) -> None:
    write(base, ("<name>web</name>", ""), ("<uuid>3C9F7A40-6f2e-4d0b-9a6b-2f8f9d1e7a01</uuid>", ""))
    xml = cluster(SMALL + BY_FILE + f'uuid = "{UUID}"\n', base).vms[0].domain_xml.decode()
    assert xml.startswith(f'<domain type="kvm">\n  <name>web</name>\n  <uuid>{UUID}</uuid>\n')
    assert only(SMALL + BY_FILE, base).code == "HA111"


@pytest.mark.parametrize(
    ("old", "new", "code", "where"),
    [
        ("<name>web", "<name>www", "HA166", "vms.web.domain_xml"),
        ("</domain>", "", "HA165", "vms.web.domain_xml"),
        ("<domain type='kvm' id='7'>", "<!DOCTYPE domain []><domain>", "HA165", "vms.web.domain_xml"),
        ("512</memory>", "lots</memory>", "HA165", "vms.web.domain_xml"),
        ("2</vcpu>", "two</vcpu>", "HA165", "vms.web.domain_xml"),
        ("type='file' device='disk'", "type='network' device='disk'", "HA167", "vms.web.domain_xml: disk[0]"),
        (
            "<source file='/vm/web.img'/>",
            "<source file='/vm/web.img'/><shareable/>",
            "HA167",
            "vms.web.domain_xml: disk[0]",
        ),
        ("type='qcow2'", "type='vmdk'", "HA167", "vms.web.domain_xml: disk[0]"),
        ("bus='virtio'", "bus='usb'", "HA167", "vms.web.domain_xml: disk[0]"),
        ("/vm/web.img", "/root/web.img", "HA163", "vms.web.domain_xml: disk[0]"),
        ("/vm/web.img", "web.img", "HA113", "vms.web.domain_xml: disk[0]"),
        ("/vm/install.iso", "/root/install.iso", "HA163", "vms.web.domain_xml: disk[1]"),
        ("bridge='br0'", "bridge='br1'", "HA133", "vms.web.domain_xml: interface[0]"),
        ("<interface type='bridge'", "<interface type='network'", "HA167", "vms.web.domain_xml: interface[0]"),
        ("<mac address='52:54:00:00:00:01'/>", "", "HA167", "vms.web.domain_xml: interface[0]"),
        ("<devices>", "<devices><hostdev mode='subsystem' type='pci'/>", "HA168", "vms.web.domain_xml"),
    ],
)
def test_a_brought_domain_that_does_not_fit(base: Path, old: str, new: str, code: str, where: str) -> None:
    problem = only(SMALL + BY_FILE, write(base, (old, new)))
    assert (problem.code, problem.where) == (code, where)


def test_a_host_device_is_no_matter_for_a_vm_that_moves_cold(base: Path) -> None:
    write(base, ("<devices>", "<devices><hostdev mode='subsystem' type='pci'/>"))
    assert findings(SMALL + BY_FILE + 'migration = { mode = "cold" }\n', base) == []


def test_uuid_and_disk_are_compared_across_spec_and_domain_xml(base: Path) -> None:
    other = changed(("vms.web", "vms.db"), ("00:01", "00:02"), text=VM)
    assert findings(SMALL + BY_FILE + other, base) == [("HA160", "vms.db.uuid"), ("HA162", "vms.db.disks[0]")]


def test_a_read_only_medium_may_be_in_two_vms(base: Path) -> None:
    other = changed(
        ("<name>web", "<name>db"), ("7a01", "7a02"), ("00:01", "00:02"), ("web.img", "db.img"), text=BROUGHT
    )
    (base / "db.xml").write_text(other)
    assert findings(SMALL + BY_FILE + BY_FILE.replace("web", "db"), base) == []


def test_a_uuid_that_the_spec_gives_otherwise(base: Path) -> None:
    assert only(SMALL + BY_FILE + 'uuid = "3c9f7a40-6f2e-4d0b-9a6b-2f8f9d1e7a02"\n', base).code == "HA166"


def test_hardware_is_described_once(base: Path) -> None:
    assert only(SMALL + BY_FILE + "vcpus = 3\n", base).code == "HA164"


BOMB = (
    "<!DOCTYPE domain [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(9))
    + "]><domain><name>&j;</name></domain>"
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB.encode(),
        BOMB.encode("utf-16"),
        b"<?xml version='1.0' encoding='UTF-7'?>+ADwAIQ-DOCTYPE domain+AD4-<domain/>",
        b"<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>",
        b"<domain>&undefined;</domain>",
        b"<domain>" + b"<a>" * 5000,
        b"<domstatus/>",
        b"",
        b"\0",
        b" " * ((1 << 20) + 1),
    ],
    ids=["bomb", "bomb in utf-16", "utf-7", "file entity", "undefined", "deep", "other root", "empty", "zero", "huge"],
)
def test_hostile_xml_is_one_finding(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "web.xml").write_bytes(content)
    made, found = parse(SMALL + BY_FILE, tmp_path)
    assert (made, [(p.code, p.where) for p in found]) == (None, [("HA165", "vms.web.domain_xml")])


@pytest.mark.parametrize("name", ["missing.xml", ".", "a\\u0000b"])
def test_a_file_that_cannot_be_read_is_named_by_the_vm(name: str, tmp_path: Path) -> None:
    code, where = findings(SMALL + changed(("web.xml", name), text=BY_FILE), tmp_path)[0]
    assert (code, where) in {("HA165", "vms.web.domain_xml"), ("HA113", "vms.web.domain_xml")}


PIECES = [
    *(
        "type",
        "file",
        "block",
        "dev",
        "bridge",
        "name",
        "uuid",
        "memory",
        "unit",
        "vcpu",
        "disk",
        "source",
        "mac",
        "model",
    ),
    *(
        "<",
        ">",
        "/>",
        "'",
        "&",
        "&lt;",
        "<![CDATA[",
        "]]>",
        "<?x ?>",
        "<!--",
        "-->",
        "xmlns:q='u'",
        "q:",
        "",
        "\x07",
        "é",
    ),
]


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(BROUGHT)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=4))
def test_any_domain_xml_is_answered(tmp_path: Path, cuts: list[tuple[int, int, str]]) -> None:
    text = BROUGHT
    for place, length, piece in cuts:
        text = text[:place] + piece + text[place + length :]
    (tmp_path / "web.xml").write_text(text)
    made, found = parse(SMALL + BY_FILE, tmp_path)
    assert made is not None or any(p.severity == "error" for p in found)
    assert all(c.isprintable() for p in found for c in p.message + p.where)
