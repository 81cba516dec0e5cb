"""A CIB that comes from outside, as an element: whatever the bytes are, the answer is a CIB or a Problem.

The document is read without entities, DTD or network and within bounds, so that it can neither reach beyond itself nor
grow. Pure: which tools are installed, and what they make of an old schema, is asked elsewhere.
"""

from __future__ import annotations

import re

from lxml import etree

from hacluster import strict_xml
from hacluster.cib.compile import SCHEMA
from hacluster.cib.merge import NOT_A_CIB
from hacluster.cib.simulate import feature_set_newer
from hacluster.problems import Problem, Refused, kind

NOT_XML = kind(
    "HA280",
    "The CIB cannot be read",
    "The file must be one well-formed XML document in the encoding that it names, below 64 MiB, not deeper than 200 "
    "elements, without DOCTYPE and entities. `cibadmin --query` writes no other.",
)
NEWER = kind(
    "HA281",
    "The CIB is newer than what reads it here",
    "A newer Pacemaker may mean something by it that this one does not know, and an older scheduler aborts on such a "
    "CIB: so it is neither interpreted nor simulated.",
)

LIMIT = 64 << 20
"""Bytes. The CIB of a thousand VMs with its status is about 10 MB."""
DEEPEST = 200
"""Elements in one another; a CIB has at most 16. libxml2 itself ends at 256."""
OLDEST = (3, 0)
"""The oldest schema whose words are today's; what is older is upgraded first."""


def read(content: bytes, where: str, supported: str, schema: str = SCHEMA) -> etree._Element:
    """The <cib> element, comments and processing instructions removed.

    `supported` and `schema` are the newest feature set and schema that are understood. Raises Refused: HA280, HA281, or
    HA242 for another document.
    """
    cib = any_cib(content, where)
    newer = None
    if feature_set_newer(cib, supported):
        newer = f"it has the feature set {_shown(cib.get('crm_feature_set', ''))}, and {supported} is the newest known"
    elif _schema(cib.get("validate-with", "")) > max(_schema(schema), _schema(SCHEMA)):
        newer = f"its schema is {_shown(cib.get('validate-with', ''))}, and {schema} is the newest known"
    if newer is not None:
        remedy = "import it where that cluster's own Pacemaker is installed: hactl import --node NODE"
        raise Refused(NEWER(newer, where=where, remedy=remedy))
    return cib


def any_cib(content: bytes, where: str) -> etree._Element:
    """The <cib> element of any schema, also one that is newer than what is known here. Raises Refused: HA280, HA242."""
    cib = _parse(content, where)
    if cib.tag != "cib" or cib.find("configuration") is None:
        said = f"its root element is {_shown(str(cib.tag))}" if cib.tag != "cib" else "it has no configuration"
        raise Refused(NOT_A_CIB(said, where=where, remedy="cibadmin --query > cib.xml"))
    return cib


def is_xml(content: bytes) -> bool:
    """Whether a file is meant to be XML: a spec in TOML never begins with an angle bracket."""
    return content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or content[:2] in (b"\xff\xfe", b"\xfe\xff")


def needs_upgrade(cib: etree._Element) -> bool:
    """Whether the CIB's schema is older than the words that hactl knows, or none that it names."""
    return _schema(cib.get("validate-with", "")) < OLDEST


def _schema(name: str) -> tuple[int, int]:
    """A schema's number; (0, 0) for what has none, such as `none`."""
    match = re.fullmatch(r"pacemaker-(\d{1,4})\.(\d{1,4})", name)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _parse(content: bytes, where: str) -> etree._Element:
    if len(content) > LIMIT:
        raise Refused(_unreadable(f"it is larger than {LIMIT >> 20} MiB", where))
    try:
        root = strict_xml.parse(content, bare=True)
    except ValueError as error:
        raise Refused(_unreadable(_shown(str(error)), where)) from None
    if _too_deep(root):
        raise Refused(_unreadable(f"its elements are nested deeper than {DEEPEST}", where))
    return root


def _unreadable(message: str, where: str) -> Problem:
    return NOT_XML(message, where=where, remedy="write it anew with `cibadmin --query > cib.xml`")


def _too_deep(root: etree._Element) -> bool:
    """Whether what walks the tree by recursion could run out of stack."""
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > DEEPEST:
            return True
    return False


def _shown(text: str, limit: int = 160) -> str:
    """Text of a stranger's for a message: cut, and without what could disturb a terminal."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
