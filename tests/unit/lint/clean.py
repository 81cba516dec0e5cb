"""A cluster made with pcs, after the common guide, with nothing to say against it; each test spoils it in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def _agent(name: str, parameters: Iterable[metadata.Parameter], **timeouts: float) -> metadata.Metadata:
    actions = tuple(metadata.Action(action, timeout) for action, timeout in timeouts.items())
    return metadata.Metadata(name, {parameter.name: parameter for parameter in parameters}, actions)


_P = metadata.Parameter
AGENTS: Mapping[str, metadata.Metadata] = {
    "ocf:heartbeat:VirtualDomain": _agent(
        "VirtualDomain",
        (
            _P("config", required=True),
            _P("hypervisor"),
            _P("migration_transport"),
            _P("migration_downtime", "integer"),
            _P("force_stop", "boolean"),
            _P("shutdown_mode"),
        ),
        start=90, stop=90, monitor=30, migrate_to=120, migrate_from=60,
    ),
    "ocf:pacemaker:controld": _agent("controld", (), start=90, stop=100, monitor=20),
    "ocf:heartbeat:LVM-activate": _agent(
        "LVM-activate",
        (
            _P("vgname", required=True),
            _P("lvname"),
            _P("activation_mode"),
            _P("vg_access_mode", "select", options=("lvmlockd", "clvmd", "tagging", "system_id")),
        ),
        start=90, stop=90, monitor=90,
    ),
    "stonith:fence_ipmilan": _agent(
        "fence_ipmilan",
        (
            _P("ip", required=True),
            _P("ipaddr", required=True, deprecated=True, newer="ip"),
            _P("lanplus", "boolean"),
            _P("power_timeout", "second"),
            _P("power_wait", "second"),
            _P("delay", "second"),
        ),
    ),
}  # fmt: skip
"""What tests know of agents: little, and in these points what the real ones say."""


def findings(
    *changes: tuple[str, str], domains: Mapping[str, str] = DOMAINS, corosync: str | None = None
) -> tuple[Problem, ...]:
    """What lint says of the clean CIB with these changes."""
    facts = Facts(etree.fromstring(spoiled(CIB, *changes).encode()))
    known = {name: text.encode() for name, text in domains.items()}
    return lint(Subject(facts, AGENTS.get, known, corosync))
