"""Whatever bytes come as a CIB or a spec: success, or a Problem. Never a traceback, never a file outside.

Real documents are broken in the ways in which files break and attackers break them. Everything runs in this process, so
that thousands of inputs take seconds; HACLUSTER_FUZZ says how many in all (`make fuzz`: 20,000).
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hacluster import spec
from hacluster.cib import reading
from hacluster.cib.compile import FEATURE_SET, compile
from hacluster.cli import importing
from hacluster.importing import Sources, import_cib
from hacluster.problems import Refused
from tests.unit.importing.test_round_trip import EXAMPLES, LIBRARY, domains

SEEDS = ("tests/golden/kvm-cluster.xml", "tests/golden/lab.xml", "foreign")
SPECS = sorted(EXAMPLES.glob("*.toml"))
INPUTS = -(-int(os.environ.get("HACLUSTER_FUZZ", "2000")) // (len(SEEDS) + len(SPECS)))

NASTY = (
    *(
        "../../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "",
        " ",
        "a b",
        '"',
        "'",
        "<x/>",
        "]]>",
        "&amp;",
        "&#0;",
        "&#x41;",
    ),
    *("\x00", "\ufeff", "\u202e", "é", "𝔘", "%s%n", "$(reboot)", "`id`", "; rm -rf /", "${uuid:uuid}", "\\", "\\u0000"),
    *("-1", "0", "1e9", "99999999999999999999", "0x10", "NaN", "INFINITY", "-INFINITY", "+INFINITY", "true", "null"),
    *("dlm", "hacluster", "cib-bootstrap-options", "web", "database", "order-a-then-b", "x" * 5000, "a-" * 200),
    *("secrets/../../x", "file:../../../x", "domains/web.xml", "1999-99-99", "[[", "]", "=", "#", "'''", '"""', "\r"),
)
WRAPPINGS = (
    b'<?xml version="1.0" encoding="%s"?>',
    b'<!DOCTYPE cib [<!ENTITY a "%s">]>',
    b'<!DOCTYPE cib SYSTEM "file:///etc/%s">',
    b"<?php %s ?>",
    b"<!-- %s -->",
)
ENCODINGS = ("utf-16", "utf-32", "latin-1", "utf-7", "cp037", "utf-8-sig", "shift_jis", "utf-16-be")


def _cut(text: bytes, chance: random.Random) -> bytes:
    return text[: chance.randrange(len(text))] if chance.random() < 0.5 else text[chance.randrange(len(text)) :]


def _bytes(text: bytes, chance: random.Random) -> bytes:
    made = bytearray(text)
    for _ in range(chance.choice((1, 3, 40))):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made)


def _value(text: bytes, chance: random.Random) -> bytes:
    """Another value between quotation marks, in one or in many places."""
    for _ in range(chance.choice((1, 1, 2, 8))):
        found = list(re.finditer(rb'"[^"\n]*"', text))
        if not found:
            return text
        place = chance.choice(found)
        nasty = chance.choice(NASTY).encode()
        text = text[: place.start() + 1] + nasty + text[place.end() - 1 :]
    return text


def _escaped(text: bytes, chance: random.Random) -> bytes:
    """The same, but such that the document stays well-formed: what is in it comes through the parser."""
    for _ in range(chance.choice((1, 2, 8))):
        found = list(re.finditer(rb'"[^"\n]*"', text))
        if not found:
            return text
        place = chance.choice(found)
        nasty = chance.choice([each for each in NASTY if each.isprintable()])
        for raw, safe in (("&", "&amp;"), ("<", "&lt;"), ('"', "&quot;"), ("\\", "/")):
            nasty = nasty.replace(raw, safe)
        text = text[: place.start() + 1] + nasty.encode() + text[place.end() - 1 :]
    return text


def _lines(text: bytes, chance: random.Random) -> bytes:
    """Lines that are missing, stand twice, or stand elsewhere."""
    lines = text.split(b"\n")
    for _ in range(chance.choice((1, 2, 5, 20))):
        place = chance.randrange(len(lines))
        what = chance.random()
        if what < 0.4 and len(lines) > 1:
            del lines[place]
        elif what < 0.8:
            lines.insert(chance.randrange(len(lines)), lines[place])
        else:
            other = chance.randrange(len(lines))
            lines[place], lines[other] = lines[other], lines[place]
    return b"\n".join(lines)


def _words(text: bytes, chance: random.Random) -> bytes:
    """Another word for a word, everywhere: tags, attributes, keys."""
    words = re.findall(rb"[A-Za-z_-]{3,}", text)
    if not words:
        return text
    return text.replace(chance.choice(words), chance.choice([chance.choice(words), b"x", b"id", b"cib", b"name"]))


def _recoded(text: bytes, chance: random.Random) -> bytes:
    decoded = text.decode(errors="replace")
    return decoded.encode(chance.choice(ENCODINGS), errors="replace")


def _wrapped(text: bytes, chance: random.Random) -> bytes:
    told = chance.choice([b"utf-16", b"klingon", b"x", chance.choice(NASTY).encode()])
    return chance.choice(WRAPPINGS) % told + re.sub(rb"^<\?xml.*?\?>", b"", text)


def _deep(text: bytes, chance: random.Random) -> bytes:
    depth = chance.choice((30, 190, 260, 5000))
    inside = chance.choice([(b"<group id='g'>", b"</group>"), (b"<rule>", b"</rule>"), (b"[", b"]"), (b"{a=", b"}")])
    place = text.find(b">", chance.randrange(len(text))) + 1
    return text[:place] + inside[0] * depth + inside[1] * depth + text[place:]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_cut, _bytes, _value, _escaped, _lines, _words, _recoded, _wrapped, _deep),
)


def mutated(text: bytes, chance: random.Random) -> bytes:
    """A document broken in one to three ways."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if text:
            text = chance.choice(MUTATIONS)(text, chance)
    return text


def _safe(names: list[str]) -> bool:
    """Whether all files of an import stay in its folder."""
    return all(not name.startswith("/") and ".." not in name.split("/") and "\x00" not in name for name in names)


FOREIGN = b"""<?xml version="1.0"?>
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0">
 <configuration>
  <crm_config><cluster_property_set id="cib-bootstrap-options">
   <nvpair id="a" name="cluster-name" value="prod"/><nvpair id="b" name="stonith-enabled" value="true"/>
  </cluster_property_set><cluster_property_set id="more" score="3"><rule id="r" score="0"><date_expression id="d"
   operation="in_range" start="2020-01-01"/></rule><nvpair id="c" name="batch-limit" value="3"/></cluster_property_set>
  </crm_config>
  <nodes><node id="1" uname="a"><utilization id="nu"><nvpair id="nu1" name="cpu" value="8"/></utilization></node>
   <node id="2" uname="b"/></nodes>
  <resources>
   <primitive id="f" class="stonith" type="fence_ipmilan"><instance_attributes id="fi">
    <nvpair id="fi1" name="passwd" value="hunter2"/><nvpair id="fi2" name="pcmk_host_map" value="a:1;b:2"/>
    <nvpair id="fi3" name="pcmk_delay_base" value="5s"/></instance_attributes></primitive>
   <clone id="fs-clone"><primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem">
    <instance_attributes id="fsi">
    <nvpair id="fsi1" name="device" value="/dev/vg/lv"/><nvpair id="fsi2" name="directory" value="/srv/vm"/>
    <nvpair id="fsi3" name="fstype" value="gfs2"/></instance_attributes></primitive></clone>
   <clone id="lv-clone"><primitive id="lv" class="ocf" provider="heartbeat" type="LVM-activate">
    <instance_attributes id="lvi">
    <nvpair id="lvi1" name="vgname" value="vg"/><nvpair id="lvi2" name="lvname" value="lv"/>
    <nvpair id="lvi3" name="vg_access_mode" value="lvmlockd"/></instance_attributes></primitive></clone>
   <primitive id="web" class="ocf" provider="heartbeat" type="VirtualDomain"><instance_attributes id="wi">
    <nvpair id="wi1" name="config" value="/etc/libvirt/qemu/web.xml"/><nvpair id="wi2" name="migrate_options"
     value="--auto-converge --parallel-connections 4"/></instance_attributes><operations>
    <op id="wo" name="stop" interval="0" timeout="10min"/></operations></primitive>
   <group id="g"><primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"/></group>
  </resources>
  <constraints><rsc_location id="l" rsc="web" node="a" score="50"/>
   <rsc_order id="o" first="fs-clone" then="web"/><rsc_location id="m" rsc="web"><rule id="mr" score="-INFINITY">
   <expression id="me" attribute="#uname" operation="eq" value="b"/></rule></rsc_location></constraints>
  <fencing-topology><fencing-level id="t" target="a" index="1" devices="f"/></fencing-topology>
  <tags><tag id="vm-on-x"><obj_ref id="web"/></tag></tags>
  <acls><acl_role id="reader"><acl_permission id="p" kind="read" xpath="/cib"/></acl_role></acls>
 </configuration><status/></cib>
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_any_cib_is_imported_or_refused(seed: str, tmp_path: Path) -> None:
    text = FOREIGN if seed == "foreign" else (EXAMPLES.parent / seed).read_bytes()
    known = domains(spec.load(EXAMPLES / "kvm-cluster.toml"))
    known["web.xml"] = next(iter(known.values()))
    taken = refused = 0
    for number in range(INPUTS):
        chance = random.Random(f"{seed} {number}")
        content = mutated(text, chance)
        try:
            cib = reading.read(content, "cib.xml", FEATURE_SET)
            made = import_cib(cib, Sources(known, chance.choice(["", content.decode(errors="replace")])), LIBRARY)
        except Refused as no:
            assert all(problem.code.startswith("HA") and problem.message for problem in no.problems)
            refused += 1
            continue
        except Exception as error:
            raise AssertionError(f"input {number} of {seed}: {content[:2000]!r}") from error
        taken += 1
        assert _safe(list(made.files)), (number, list(made.files))
        if number % 25 == 0:
            importing.write(tmp_path / str(number), made)
    assert taken > INPUTS / 20, "the mutations leave something to import"
    assert refused > INPUTS / 20
    assert all(path.resolve().is_relative_to(tmp_path) for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_any_spec_is_compiled_or_refused(path: Path) -> None:
    text, taken = path.read_bytes(), 0
    for number in range(INPUTS):
        content = mutated(text, random.Random(f"{path.stem} {number}"))
        try:
            cluster, found = spec.parse(content, path.parent)
            if cluster is not None:
                compile(cluster, LIBRARY)
                taken += 1
            assert cluster is not None or found, "no cluster, and no reason"
        except Refused as no:
            assert no.problems
        except Exception as error:
            raise AssertionError(f"input {number} of {path.stem}: {content[:2000]!r}") from error
    assert taken, "the mutations leave something to compile"


@pytest.mark.parametrize(
    "content",
    [
        os.urandom(10 << 20),
        b"\x00" * (10 << 20),
        b"<" * (10 << 20),
        b"<cib>" + b"<a/>" * (2 << 20),
        b'<cib crm_feature_set="' + b"9" * (10 << 20) + b'"><configuration/></cib>',
        b"<cib><configuration><resources>" + b"<primitive id='x'/>" * (500_000) + b"</resources></configuration></cib>",
        b"<a>" * (3 << 20),
    ],
    ids=["noise", "zeros", "brackets", "unclosed", "one long number", "half a million", "deep"],
)
def test_ten_megabytes_of_anything_are_no_trouble(content: bytes) -> None:
    try:
        reading.read(content, "cib.xml", FEATURE_SET)
    except Refused as no:
        assert no.problems[0].code in ("HA242", "HA280", "HA281")
        assert len(no.problems[0].message) < 400
    assert spec.parse(content, Path())[1], "the same bytes are no spec"
