"""What a node answers to an audit, and to the request to give a run-lock back, as the values of the ports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hacluster.edge import told
from hacluster.ports import Definition, DiskUser, DrainUnit, HostAudit, HostDisk, Released, Unknown

FORMAT = 1


def read(node: str, text: bytes) -> HostAudit | Unknown:
    """The answer of `probe audit`."""
    answer = told.answer(node, text, FORMAT)
    if isinstance(answer, Unknown):
        return answer
    if not isinstance(answer.get("audit"), dict):
        return Unknown(f"its probe is older than the audit; hactl node bootstrap {node} renews it")
    said = told.part(answer["audit"])
    return HostAudit(
        node=node,
        pacemaker=told.text(said.get("pacemaker")),
        code=told.text(said.get("code")),
        guests_service=told.truth(said.get("guests_service")),
        definitions=told.parts(said.get("definitions"), _definition),
        domain_sums=_sums(said.get("domain_sums")),
        disks=told.parts(said.get("disks"), _disk),
        drain=_drain(said.get("drain")),
    )


def released(node: str, text: bytes) -> Released | Unknown:
    """The answer to the request for a release."""
    answer = told.answer(node, text, FORMAT)
    if isinstance(answer, Unknown):
        return answer
    if not isinstance(answer.get("released"), bool):
        return Unknown(f"{node} did not say whether it gave the run-lock back")
    return Released(answer["released"], str(answer.get("mode") or "NL"), str(answer.get("reason") or ""))


def _sums(value: object) -> Mapping[str, str] | None:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        return None
    return value


def _drain(value: object) -> DrainUnit | None:
    said = told.part(value)
    after = said.get("after")
    if not isinstance(after, list) or not all(isinstance(said.get(word), bool) for word in _WORDS):
        return None
    return DrainUnit(said["loaded"], said["enabled"], said["active"], tuple(map(str, after)))


_WORDS = ("loaded", "enabled", "active")


def _definition(said: Mapping[str, Any]) -> Definition:
    return Definition(str(said["name"]), str(said["uuid"]), said["autostart"] is True)


def _disk(said: Mapping[str, Any]) -> HostDisk:
    users = told.parts(said["users"], _user)
    if users is None:
        raise ValueError("who has the disk open is not told")
    return HostDisk(
        uuid=str(said["uuid"]),
        path=str(said["path"]),
        kind=str(said["kind"]),
        filesystem=str(said["filesystem"]),
        shareable=said["shareable"] is True,
        users=users,
    )


def _user(said: Mapping[str, Any]) -> DiskUser:
    return DiskUser(int(said["pid"]), str(said["uuid"]), str(said["program"]), said["locked"] is True)
