"""A plan in a file: everything that was shown, and everything that applying it takes but secrets. Pure.

Format 1 is one JSON object; a field is added, never renamed. `seal` is the checksum of all others, so that a file
that was cut short or edited is not taken for what was shown. Secrets are named as the spec names them and read again
when the plan is applied; their values, and checksums from which a short one could be guessed, stand in no file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lxml import etree

from hacluster.apply.delivery import File
from hacluster.apply.prepare import Prepared
from hacluster.apply.record import as_cib
from hacluster.cib import difference
from hacluster.model import Cluster, SecretRef
from hacluster.observe.read import version
from hacluster.plan import Foreign, document
from hacluster.problems import Refused, kind

NOT_A_PLAN = kind(
    "HA354",
    "Not a plan that can be applied",
    "`hactl apply FILE` takes what `hactl plan --out FILE` wrote, whole and unchanged. A plan is not edited: change "
    "the spec and plan again.",
)

FORMAT = 1
KIND = "hacluster plan"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan that was written down.

    `before` is the CIB that it was made for (its configuration and version only), `desired` the one that is to be;
    `wanted` is what the spec compiled to. `files` are the domain files, `secrets` where each fence device's secrets
    lie. `consequences` are the prices that were shown, by VM; `accepted` the risks that were taken.
    """

    before: etree._Element
    desired: etree._Element
    wanted: str
    nodes: tuple[str, ...]
    ssh_hosts: Mapping[str, str]
    files: tuple[File, ...]
    secrets: Mapping[tuple[str, str], SecretRef]
    others: tuple[Foreign, ...]
    consequences: Mapping[str, str]
    accepted: frozenset[str]
    digest: str
    made: float
    by: str


def encode(
    prepared: Prepared, cluster: Cluster, ssh_hosts: Mapping[str, str], accepted: frozenset[str], *, at: float, by: str
) -> bytes:
    """A plan as a file. `at` is epoch seconds, `by` user@host."""
    shown = document(prepared.plan)
    shown["problems"] = [problem.as_json() for problem in prepared.problems]
    admin, epoch = prepared.plan.planned
    told: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "made": at,
        "by": by,
        "cluster": cluster.name,
        "base": {
            "admin_epoch": admin,
            "epoch": epoch,
            "digest": prepared.plan.digest,
            "configuration": _configuration(prepared.before),
        },
        "desired": _configuration(etree.fromstring(prepared.plan.desired)),
        "wanted": prepared.wanted,
        "nodes": [node.name for node in cluster.nodes],
        "ssh_hosts": dict(ssh_hosts),
        "files": [
            {
                "path": file.path,
                "sha256": hashlib.sha256(file.content).hexdigest(),
                "for": file.about,
                "content": file.content.decode(),
            }
            for file in prepared.files
            if file.kind == "domain XML"
        ],
        "secrets": [
            {"device": device.name, "parameter": name, **asdict(ref)}
            for device in cluster.fence_devices
            for name, ref in sorted(device.secrets.items())
        ],
        "accepted": sorted(accepted),
        "shown": shown,
    }
    told["seal"] = _seal(told)
    return json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n"


def looks_like(content: bytes) -> bool:
    """Whether a file is meant to be a plan: a spec never begins with a brace."""
    return content.lstrip()[:1] == b"{"


def decode(content: bytes, where: str) -> PlanFile:
    """Read a plan. Raises Refused (HA354), naming the file by `where`."""
    try:
        return _read(_checked(json.loads(content)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, etree.XMLSyntaxError) as error:
        said = str(error) if isinstance(error, ValueError) else f"a part of it is missing or damaged ({error})"
        raise Refused(
            NOT_A_PLAN(f"this plan cannot be used: {said}", where=where, remedy=f"hactl plan --out {where}")
        ) from error


def _checked(told: object) -> dict[str, Any]:
    """The plan as a table, when it is one and nobody changed it. Raises ValueError."""
    if not isinstance(told, dict) or told.get("kind") != KIND:
        raise ValueError("it is JSON, but no plan")
    if told.get("format") != FORMAT:
        raise ValueError(f"it has format {told.get('format')}, and this hactl knows format {FORMAT}")
    if told.get("seal") != _seal(told):
        raise ValueError("it was changed after it was written")
    return told


def _read(told: Mapping[str, Any]) -> PlanFile:
    base = told["base"]
    before = as_cib(base["configuration"])
    for name in ("admin_epoch", "epoch"):
        before.set(name, str(int(base[name])))
    return PlanFile(
        before=before,
        desired=as_cib(told["desired"]),
        wanted=str(told["wanted"]),
        nodes=tuple(map(str, told["nodes"])),
        ssh_hosts={str(name): str(host) for name, host in told["ssh_hosts"].items()},
        files=tuple(_file(each) for each in told["files"]),
        secrets={
            (each["device"], each["parameter"]): SecretRef(each["scheme"], each["argument"]) for each in told["secrets"]
        },
        others=tuple(_foreign(each) for each in told["shown"]["others"]),
        consequences={each["name"]: each["price"] for each in told["shown"]["vms"]},
        accepted=frozenset(map(str, told["accepted"])),
        digest=str(base["digest"]),
        made=float(told["made"]),
        by=str(told["by"]),
    )


def _file(told: Mapping[str, str]) -> File:
    content = told["content"].encode()
    if hashlib.sha256(content).hexdigest() != told["sha256"]:
        raise ValueError(f"the content of {told['path']} is not what its checksum says")
    return File(told["path"], content, "domain XML", told["for"])


def _foreign(told: Mapping[str, Any]) -> Foreign:
    return Foreign(
        told["kind"],
        told["what"],
        told["id"],
        told["name"],
        told["applied"],
        told["live"],
        told["wanted"],
        bool(told["kept"]),
    )


def stale(plan: PlanFile, live: etree._Element) -> bool:
    """Whether the configuration is not the one any more that the plan was made for."""
    return version(live)[:2] != version(plan.before)[:2] or difference.digest(live) != plan.digest


def _configuration(cib: etree._Element) -> str:
    whole: str = etree.tostring(cib.find("configuration"), encoding="unicode")
    return whole.rstrip()


def _seal(told: Mapping[str, Any]) -> str:
    plain = {name: value for name, value in told.items() if name != "seal"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
