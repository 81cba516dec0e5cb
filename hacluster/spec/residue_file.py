"""The residue that a spec names: what `hactl import` kept of a cluster. Here is only checked that the file can be read.

What it means is laid over the compiled CIB (cib.residue); to the spec it is a document that must be whole.
"""

from __future__ import annotations

from pathlib import Path

from hacluster import strict_xml
from hacluster.problems import kind
from hacluster.spec import source
from hacluster.spec.scalars import Found
from hacluster.spec.sections import Table
from hacluster.spec.wording import clipped, quoted

BAD_RESIDUE = kind(
    "HA282",
    "The residue cannot be read",
    "It is the file that `hactl import` wrote beside the spec: one XML document in UTF-8, below 64 MiB, without "
    "DOCTYPE and entities. Without it hactl would take away what it was told to keep.",
)

LIMIT = 64 << 20  # bytes, as for a CIB
_ROOT, _FORMAT = "hacluster-residue", "1"
_REMEDY = "take the residue from your version control, or make it anew: hactl import"


def read(cluster: Table, base: Path, found: Found) -> bytes:
    """The residue's bytes; empty where the spec names none, or after adding what is wrong with it."""
    if cluster["residue"] is None:
        return b""
    where, noted = "cluster.residue", len(found)
    content = source.read(base / cluster["residue"], found, LIMIT)
    if content is None:
        found[noted:] = [BAD_RESIDUE(p.message, where=where, remedy=_REMEDY, file=p.where) for p in found[noted:]]
        return b""
    if trouble := _trouble(content):
        found.append(BAD_RESIDUE(trouble, where=where, remedy=_REMEDY))
        return b""
    return content


def beside(spec: Path) -> Path | None:
    """The residue's path that a spec (which can be loaded) names; None where it names none."""
    named = ((source.tables(spec.read_bytes(), []) or {}).get("cluster") or {}).get("residue")
    return None if named is None else spec.parent / named


def _trouble(content: bytes) -> str | None:
    try:
        root = strict_xml.parse(content, encoding="utf-8")
    except ValueError as error:
        return clipped(str(error))
    if root.tag != _ROOT or root.get("format") != _FORMAT:
        return f"the root element is {quoted(str(root.tag))} of format {quoted(root.get('format', 'none'))}"
    return None
