"""What the Pacemaker tools of a machine make of a CIB file: how new a one they understand, and an old one's upgrade.

No cluster is asked or needed: the tools work on a copy of the document in a folder of their own.
"""

from __future__ import annotations

import re

from hacluster.ports import Runner
from hacluster.problems import Refused, kind

NOT_UPGRADED = kind(
    "HA284",
    "The CIB's schema is old and could not be upgraded",
    "A CIB of an older Pacemaker uses words that have changed. `cibadmin --upgrade`, which knows them, translates it. "
    "It has to be installed where hactl runs (or on the node given by --node), and the CIB has to keep to its schema.",
)

_UPGRADE = """
umask 077
d=$(mktemp -d "${TMPDIR:-/tmp}/hactl-upgrade.XXXXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
cat >"$d/cib.xml" || exit 1
unset CIB_shadow
export CIB_file="$d/cib.xml"
cibadmin --upgrade --force >/dev/null 2>"$d/said" || { code=$?; tail -n 3 "$d/said" >&2; exit $code; }
cibadmin --query
"""


class SchemaTools:
    """The tools of one machine: a node, or this one."""

    def __init__(self, runner: Runner, node: str) -> None:
        self._runner = runner
        self._node = node

    def supported(self) -> str | None:
        """The newest feature set that the tools understand; None where none are installed. Raises Unreachable."""
        done = self._runner.run(self._node, ["pacemakerd", "--features"])
        found = re.search(r"Supporting v(\d+(?:\.\d+)*)", (done.out + done.err).decode(errors="replace"))
        return found[1] if found else None

    def upgrade(self, cib: bytes) -> bytes:
        """The CIB in the newest schema that is installed. Raises Refused with HA284, Unreachable."""
        done = self._runner.run(self._node, ["sh", "-c", _UPGRADE, "hactl-upgrade"], stdin=cib, deadline=120.0)
        if done.ok:
            return done.out
        said = done.err.decode(errors="replace").strip()
        raise Refused(
            NOT_UPGRADED(
                f"cibadmin --upgrade failed: {said[-400:] or 'no message'}",
                where=self._node,
                remedy="crm_verify --xml-file CIB says what is wrong with it; without Pacemaker here: --node NODE",
                exit_code=done.code,
            )
        )
