"""What every node needs on its own disk before the CIB may name it: domain XML and fence devices' secrets. Pure.

A domain XML's path contains its hash, so a new version never replaces one that a running VM was started from, and an
interrupted delivery changes nothing that is in use. Secrets are in the format of Pacemaker's own store (cibsecret(8)):
the value on one line, its md5 in a `.sign` file beside it, in a folder per resource; the CIB says `lrm://` instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hacluster.cib import names
from hacluster.model import Cluster, Vm
from hacluster.problems import Problem, kind

SECRET_UNFIT = kind(
    "HA331",
    "A secret does not fit Pacemaker's secrets store",
    "Pacemaker reads one line of at most 253 bytes and strips white space at its end; all else would arrive changed.",
)

SECRET_STORE = "/var/lib/pacemaker/lrm/secrets"
_SECRET_LIMIT = 253


@dataclass(frozen=True, slots=True)
class File:
    """A file that a node needs. `about` says for people what it is; `content` of a secret is never shown."""

    path: str
    content: bytes
    kind: Literal["domain XML", "secret", "record"]
    about: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The files that one node still lacks."""

    node: str
    files: tuple[File, ...]


def domain_file(vm: Vm) -> File:
    """A VM's domain XML."""
    digest = hashlib.sha256(vm.domain_xml).hexdigest()
    return File(names.domain_file(vm.name, digest, vm.agent), vm.domain_xml, "domain XML", vm.name)


def secret_files(resource: str, parameter: str, value: str) -> tuple[File, ...]:
    """A secret parameter of a resource, and its checksum: md5 because that is what Pacemaker compares it with."""
    digest = hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()
    path, about = f"{SECRET_STORE}/{resource}/{parameter}", f"{resource} {parameter}"
    return (
        File(path, f"{value}\n".encode(), "secret", about),
        File(f"{path}.sign", f"{digest}\n".encode(), "secret", about),
    )


def secret_problems(where: str, value: str) -> Iterator[Problem]:
    """Whether Pacemaker would read exactly this value back. The value itself is in no finding."""
    reasons = {
        "it has more than one line": "\n" in value or "\r" in value,
        "it ends in white space": value != value.rstrip(),
        f"it is longer than {_SECRET_LIMIT} bytes": len(value.encode()) > _SECRET_LIMIT,
    }
    for reason in (reason for reason, holds in reasons.items() if holds):
        yield SECRET_UNFIT(f"{where}: {reason}", where=where, remedy="choose another password for the device")


def wanted(cluster: Cluster, secrets: Mapping[tuple[str, str], str]) -> tuple[File, ...]:
    """All files that each node of the spec needs. `secrets` maps (fence device, parameter) to the value."""
    files = [domain_file(vm) for vm in cluster.vms]
    for (device, parameter), value in sorted(secrets.items()):
        files.extend(secret_files(device, parameter, value))
    return tuple(files)


def lacking(node: str, files: Iterable[File], domain_files: Iterable[str], there: Mapping[str, bytes]) -> Delivery:
    """What a node lacks. `domain_files` are names it has (they prove their content); `there` is content by path."""
    have = {f"{names.DOMAIN_DIRECTORY}/{name}" for name in domain_files}
    return Delivery(
        node,
        tuple(f for f in files if (f.path not in have if f.kind == "domain XML" else there.get(f.path) != f.content)),
    )


def named(cib: etree._Element) -> frozenset[str]:
    """Every domain file that a CIB names, whatever agent its VM has."""
    pairs = cib.iterfind("./configuration/resources//instance_attributes/nvpair[@name='config']")
    paths = (pair.get("value", "") for pair in pairs)
    return frozenset(path for path in paths if path.startswith(f"{names.DOMAIN_DIRECTORY}/"))


def obsolete(domain_files: Iterable[str], cib_paths: Iterable[str]) -> tuple[str, ...]:
    """Paths of domain files on a node that no resource of the CIB names."""
    named = set(cib_paths)
    paths = (f"{names.DOMAIN_DIRECTORY}/{name}" for name in domain_files)
    return tuple(sorted(path for path in paths if path not in named and path.endswith(".xml")))
