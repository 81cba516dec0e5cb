"""Pushing a whole CIB through pcs, as a compare-and-set.

`pcs cluster cib-push FILE` without `--config` and without `diff-against` hands the whole document to the cluster's CIB
manager, which refuses one whose version (admin_epoch, epoch, num_updates) is not newer than its own. So a file whose
version attributes are exactly as they were read is taken only while nobody else has changed anything; both other forms
would overwrite, or merge with, a change that nobody has looked at.
"""

from __future__ import annotations

import structlog

from hacluster.ports import Conflict, Runner
from hacluster.problems import Refused, kind

log = structlog.get_logger(__name__)

PUSH_REFUSED = kind(
    "HA605",
    "The cluster refused the configuration",
    "pcs handed the CIB to the cluster, which did not take it. Nothing was changed.",
)

_PUSH = """
umask 077
f=$(mktemp "${TMPDIR:-/tmp}/hactl-cib.XXXXXXXX") || exit 1
trap 'rm -f "$f"' EXIT
cat >"$f" || exit 1
pcs cluster cib-push "$f"
"""
# The words of pcs 0.10 to 0.12 for cibadmin's exit code 103 (CRM_EX_OLD), which pcs itself does not pass on.
_OLDER = "older than existing"


def push(runner: Runner, node: str, cib: bytes, *, deadline: float = 60.0) -> None:
    """Push a whole CIB from a node of the cluster. Not idempotent.

    Raises Conflict when the cluster's CIB is newer, Refused when it is not accepted, Unreachable.
    """
    done = runner.run(node, ["sh", "-c", _PUSH, "hactl-push"], stdin=cib, deadline=deadline)
    if done.ok:
        return
    said = (done.err + done.out).decode(errors="replace").strip()
    if _OLDER in said:
        raise Conflict("the CIB on the cluster is newer than the one that was read")
    raise Refused(
        PUSH_REFUSED(
            f"pcs cluster cib-push failed: {said or 'no message'}",
            where=node,
            remedy="hactl plan, which checks the same CIB with crm_verify",
            exit_code=done.code,
        )
    )
