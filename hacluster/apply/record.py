"""What an apply leaves behind for the next one and for undo: a record, content-addressed, on every node. Pure.

The CIB names the newest record by its checksum, in the same push that the record tells of, so the two never disagree;
each record names those before it. See docs/decisions/0017-what-was-applied-lies-on-the-nodes.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from lxml import etree

from hacluster import strict_xml
from hacluster.cib import names

FORMAT = 1
DIRECTORY = "/var/lib/hacluster/applied"
KEPT = 20
"""How many records a node keeps; the same number of older ones is remembered, to be deleted where a node was away."""
_LIMIT = 256 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One apply or undo.

    `at` is epoch seconds, `by` user@host. `before` and `after` are the whole configuration on either side of the push,
    `wanted` what the spec compiled to (empty when nothing was wanted any more), all as XML. `files` are the domain
    files, by path, that the configuration named before and not after. `undoes` is the record that an undo took back.
    `ancestors` are earlier records, the newest first.
    """

    at: float
    by: str
    epoch: int
    told: tuple[str, ...]
    before: str
    after: str
    wanted: str
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    undoes: str = ""
    ancestors: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """As a file: one line of text, because that is what every way to a node carries."""
        told = {"format": FORMAT, **asdict(self), "files": dict(self.files)}
        return base64.b64encode(zlib.compress(json.dumps(told).encode(), 6)) + b"\n"


def decode(content: bytes) -> Record:
    """Read a record. Raises ValueError when it is damaged, or of a format that this version does not know."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(base64.b64decode(content, validate=False), _LIMIT)
        told: dict[str, Any] = json.loads(text)
        if told.pop("format") != FORMAT:
            raise ValueError("it was written by another version of hactl")
        told["told"], told["ancestors"] = tuple(told["told"]), tuple(told["ancestors"])
        return Record(**told)
    except (binascii.Error, zlib.error, json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is damaged ({error})") from error


def checksum(content: bytes) -> str:
    """What the CIB and other records call a record."""
    return hashlib.sha256(content).hexdigest()[:32]


def path(checksum_: str) -> str:
    """Where every node keeps it."""
    return f"{DIRECTORY}/{checksum_}"


def applied(cib: etree._Element) -> str:
    """The checksum of the record that a CIB names; empty when it names none."""
    found = cib.find(f"configuration/crm_config/cluster_property_set/nvpair[@name='{names.APPLIED}']")
    value = found.get("value", "") if found is not None else ""
    return value if value and all(letter in "0123456789abcdef" for letter in value) else ""


def name(cib: etree._Element, checksum_: str) -> None:
    """Have a CIB name a record. It changes the CIB."""
    config = cib.find("configuration/crm_config")
    own = config.find(f"cluster_property_set[@id='{names.MANIFEST_SET}']")
    if own is None:
        own = etree.SubElement(config, "cluster_property_set", id=names.MANIFEST_SET)
    for pair in own.findall(f"nvpair[@name='{names.APPLIED}']"):
        own.remove(pair)
    etree.SubElement(own, "nvpair", id=f"{names.MANIFEST_SET}-{names.APPLIED}", name=names.APPLIED, value=checksum_)


def as_cib(configuration: str) -> etree._Element:
    """A record's configuration as a CIB that has nothing else. Raises ValueError when it is none."""
    cib = etree.Element("cib")
    try:
        cib.append(strict_xml.parse(configuration))
    except ValueError as error:
        raise ValueError(f"it is damaged ({error})") from error
    return cib
