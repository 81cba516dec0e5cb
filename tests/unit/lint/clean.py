"""A cluster made with pcs, after the common guide, with nothing to say against it; each test spoils it in one place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lxml import etree

from hacluster.cib import metadata
from hacluster.lint import Facts, Subject, lint
from hacluster.problems import Problem

HERE = Path(__file__).parent
CIB = (HERE / "clean.xml").read_text()
DOMAIN = (HERE / "domain.xml").read_text()


def domain(name: str, number: int) -> str:
    """The domain XML of one VM: its own uuid, disk and MAC."""
    return DOMAIN.replace("NAME", name).replace("NN", f"{number:02d}")


DOMAINS: Mapping[str, str] = {"web": domain("web", 1), "db": domain("db", 2)}


def spoiled(text: str, *changes: tuple[str, str]) -> str:
    """The text with each change made in every place; a change that changes nothing is a fault of the test."""
    for old, new in changes:
        assert old in text, f"{old!r} is not in the text"
        text = text.replace(old, new)
    return text


def described(agent: str) -> metadata.Metadata | None:
    """The metadata that tests know: small, and what the real agents say in these points."""
    path = HERE / "agents" / f"{agent.replace(':', '-')}.xml"
    return metadata.parse(path.read_bytes()) if path.is_file() else None


def findings(
    *changes: tuple[str, str], domains: Mapping[str, str] = DOMAINS, corosync: str | None = None
) -> tuple[Problem, ...]:
    """What lint says of the clean CIB with these changes."""
    facts = Facts(etree.fromstring(spoiled(CIB, *changes).encode()))
    known = {name: text.encode() for name, text in domains.items()}
    return lint(Subject(facts, described, known, corosync))
