"""Whatever bytes a file has, what is wrong with it is said; nothing else comes out."""

from __future__ import annotations

import codecs
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hacluster import spec
from hacluster.spec import source
from tests.depth import examples
from tests.unit.spec.example import EXAMPLES, KVM, SMALL, VM, changed, findings, only, parse


def code_of(text: bytes) -> list[str]:
    return [p.code for p in spec.parse(text, EXAMPLES)[1]]


def test_a_syntax_error_has_its_line_and_column() -> None:
    problem = only('[cluster]\nname = "c"\n[nodes\n')
    assert problem.code == "HA103"
    assert problem.where == "line 3, column 7"
    assert problem.message == "Expected ']' at the end of a table declaration"
    assert problem.facts == ()


def test_an_editors_byte_order_mark_is_no_error() -> None:
    assert code_of(codecs.BOM_UTF8 + (SMALL + VM).encode()) == []


def test_a_card_on_a_bridge_is_told_of_networks() -> None:
    found = parse(changed(('network = "lan"', 'bridge = "br1"')))[1]
    assert [p.where for p in found] == ["vms.web.nics[0].network", "vms.web.nics[0].bridge"]
    assert "[networks.NAME]" in found[1].remedy


def test_a_node_with_an_empty_list_of_fence_devices_is_unfenced() -> None:
    assert "HA141" in [p.code for p in parse(changed(('fencing = ["ipmi-kvm3", "sbd"]', "fencing = []")))[1]]


def test_a_missing_table_is_not_called_a_key() -> None:
    remedies = {p.where: p.remedy for p in spec.parse(b"", EXAMPLES)[1]}
    assert remedies["cluster"] == "add the table [cluster]"
    assert remedies["nodes"] in ("add a table for each node: [nodes.NAME]", "describe 2 to 32 nodes")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"\xff\xfe[cluster]", "HA102"),
        (b'a = "never closed', "HA103"),
        (b"x = " + b"9" * 5000, "HA103"),
        (b"x = " + b"[" * 100_000, "HA103"),
        (b"x = " + b"{a=" * 100_000, "HA103"),
        (b"x = 2024-13-45", "HA103"),
        (b"\0", "HA103"),
    ],
)
def test_what_is_no_toml_is_one_finding(text: bytes, code: str) -> None:
    assert code_of(text) == [code]


def test_tables_nested_by_dotted_names_do_not_exhaust_the_stack() -> None:
    assert "HA110" in code_of(b"x" + b".a" * 5000 + b" = 1")


@pytest.mark.parametrize("make", ["missing", "directory", "pipe", "huge", "zero byte"])
def test_a_file_that_cannot_be_read_is_one_finding(make: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    if make == "directory":
        path.mkdir()
    elif make == "pipe":
        os.mkfifo(path)
    elif make == "huge":
        with path.open("wb") as file:
            file.truncate(source.LIMIT + 1)
    elif make == "zero byte":
        path = tmp_path / "a\0b"
    made, found = spec.check(path)
    assert (made, [p.code for p in found]) == (None, ["HA101"])


def test_the_largest_file_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_bytes(KVM.encode() + b"\n" * (source.LIMIT - len(KVM.encode())))
    assert spec.check(path)[1] == ()


def test_a_key_given_twice_is_found_with_everything_else() -> None:
    text = changed(("memory = ", 'memory = "1G"\nmemory = '), ('network = "lan"', 'network = "lam"'), text=SMALL + VM)
    assert findings(text) == [("HA104", "vms.web.memory"), ("HA133", "vms.web.nics[0].network")]


def test_a_table_given_twice_may_have_lists_over_many_lines() -> None:
    again = '[nodes.n1]\nfencing = [\n  ["f"],\n  ["f"]\n]\n'
    problem = only(SMALL + again)
    assert (problem.code, problem.where) == ("HA104", "nodes.n1")
    assert ("line", str(SMALL.count("\n") + 1)) in problem.facts


def test_leaving_a_table_out_never_makes_up_another_mistake() -> None:
    again = '[nodes.n1]\nssh_host = """\n[cut here\n"""\n'
    assert findings(SMALL + again) == [("HA104", "nodes.n1")]


# The fuzz test runs through whole files with pieces of real ones in them, so that it comes past the parser.
KEYS = sorted({key for part in KVM.replace(".", " ").replace("[", " ").replace("]", " ").split() for key in [part]})
LEAVES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(KEYS),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.datetimes(),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), inner),
    max_leaves=12,
)


def quote(text: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" for c in text if not 0xD800 <= ord(c) < 0xE000) + '"'


def write(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quote(k)} = {write(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


LINES = KVM.splitlines()


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """The example with some values replaced by any others, some lines doubled or lost, and some bytes changed."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        key = lines[place].partition("=")[0]
        kind = draw(st.sampled_from(["value", "double", "lose", "add"]))
        if kind == "value" and "=" in lines[place]:
            lines[place] = f"{key} = {write(draw(VALUES))}"
        elif kind == "double":
            lines.insert(draw(st.integers(0, len(lines))), lines[place])
        elif kind == "lose":
            del lines[place]
        else:
            lines.insert(place, f"{quote(draw(st.text(max_size=8)))} = {write(draw(VALUES))}")
    text = "\n".join(lines).encode()
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.binary(max_size=4)) + text[place + draw(st.integers(0, 4)) :]
    return text


def test_nothing_that_disturbs_a_terminal_is_quoted() -> None:
    problem = only(changed(("[networks.lan]", '[networks.lan]\n"\\u007f\\u001b[31m" = 1'), text=SMALL))
    assert problem.where == r'networks.lan."\x7f\x1b[31m"'


@settings(max_examples=examples(300), deadline=None)
@given(mangled() | st.binary(max_size=200))
def test_any_bytes_are_answered_with_a_cluster_or_findings(text: bytes) -> None:
    made, found = spec.parse(text, EXAMPLES)
    assert made is not None or any(p.severity == "error" for p in found)
    for problem in found:
        assert problem.code.startswith("HA1")
        assert problem.remedy
        assert len(problem.message) < 1000
        assert all(c.isprintable() for c in problem.message + problem.where)


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(["cluster", "nodes", "vms", "storage", "networks", "fence_devices"]), VALUES))
def test_any_value_in_any_part_is_answered(tables: dict[str, object]) -> None:
    text = "".join(f"{key} = {write(value)}\n" for key, value in tables.items())
    tomllib.loads(text)
    made, found = parse(text)
    assert made is None
    assert found
