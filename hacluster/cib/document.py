"""Reads a CIB that somebody else made, whatever its bytes are: a Problem for what is none, and nothing beyond the file.

No entity is expanded, nothing is fetched, and nesting is bounded by the parser, so that a hostile file costs what an
ordinary one costs.
"""

from __future__ import annotations

from lxml import etree

from hacluster.cib.merge import NOT_A_CIB
from hacluster.problems import Problem, Refused

LIMIT = 64 << 20
"""Bytes; the CIB of a thousand VMs with its status is about 10 MB."""


def is_xml(content: bytes) -> bool:
    """Whether the content is meant to be XML: TOML never begins with an angle bracket."""
    return content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or content[:2] in (b"\xff\xfe", b"\xfe\xff")


def read(content: bytes, where: str) -> etree._Element:
    """The <cib> element, comments left out. Raises Refused (HA242) with the line when it is not one."""
    if len(content) > LIMIT:
        raise Refused(_not_one(f"it has more than {LIMIT >> 20} MiB", where))
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise Refused(_not_one("it declares a DOCTYPE or entities, which no CIB has", where))
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Refused(_not_one(f"not well-formed: {error}", where)) from error
    if root.tag != "cib" or root.find("configuration") is None:
        what = "has no configuration in it" if root.tag == "cib" else f"begins with <{str(root.tag)[:60]}>, not <cib>"
        raise Refused(_not_one(f"it {what}", where))
    return root


def _not_one(message: str, where: str) -> Problem:
    return NOT_A_CIB(message, where=where, remedy="write it anew: cibadmin --query > cib.xml")
