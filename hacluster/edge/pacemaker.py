"""The Pacemaker port over Pacemaker's own command line tools, run on one node of the cluster.

XML and other content travels on stdin. Only reads are repeated, and only for the moments in which a daemon is not
there yet (Pacemaker starting, an election); a change is sent once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog
import tenacity
from lxml import etree

from hacluster.edge import pcs
from hacluster.ports import Completed, Foretold, Runner, Unknown, Unreachable
from hacluster.problems import Refused, kind

log = structlog.get_logger(__name__)

NO_CLUSTER = kind(
    "HA606",
    "No cluster runs on the node",
    "hactl asks the cluster through one node: this machine if it is one, else the one given by --node or HACTL_NODE.",
)
TOOL_FAILED = kind(
    "HA607",
    "A Pacemaker tool failed",
    "One of Pacemaker's command line tools ended with an error that hactl has no better word for.",
)
TOOLS_TOO_OLD = kind(
    "HA608",
    "The node's Pacemaker is older than the CIB",
    "The scheduler of an older Pacemaker aborts on a CIB with a newer feature set, so it is not asked.",
)

# Pacemaker's exit codes (crm_exit_t).
_DISCONNECTED = (102, 69)
_EXISTS = 108
_BAD_CONFIGURATION = 78
_NO_SUCH = 105

# crm_simulate writes the graph to a file only, and its result is asked for as XML on stdout: the graph follows it.
_SIMULATE = """
umask 077
d=$(mktemp -d "${TMPDIR:-/tmp}/hactl-simulate.XXXXXXXX") || exit 1
trap 'rm -rf "$d"' EXIT
cd "$d" && cat >cib.xml || exit 1
if [ "$1" = graph ]; then
    crm_simulate --xml-file cib.xml --run --save-graph graph.xml --output-as=xml >/dev/null && cat graph.xml
elif [ "$1" = both ]; then
    crm_simulate --xml-file cib.xml --run --verbose --save-graph graph.xml --output-as=xml || exit
    printf '\\0' && cat graph.xml
else
    crm_simulate --xml-file cib.xml --run --output-as=xml
fi
"""


class _NotYet(Exception):
    """The cluster's daemons are not answering at this moment."""

    def __init__(self, done: Completed) -> None:
        self.done = done
        super().__init__(_said(done))


class PacemakerTools:
    """The Pacemaker port. `node` must be a member of the cluster whose name `runner` understands."""

    def __init__(self, runner: Runner, node: str) -> None:
        self._runner = runner
        self._node = node
        self._feature_set: tuple[int, ...] | None = None

    def local_node(self) -> str:
        """The node these calls go through."""
        return self._node

    def cib(self) -> bytes:
        """As Pacemaker.cib."""
        return self._read(["cibadmin", "--query"])

    def monitor(self) -> bytes:
        """As Pacemaker.monitor."""
        return self._read(["crm_mon", "--one-shot", "--inactive", "--show-detail", "--output-as=xml"])

    def replace(self, cib: bytes) -> None:
        """As Pacemaker.replace."""
        pcs.push(self._runner, self._node, cib)

    def verify(self, cib: bytes) -> tuple[str, ...]:
        """As Pacemaker.verify."""
        done = self._run(["crm_verify", "--xml-pipe", "--verbose"], stdin=cib)
        found = _errors(done)
        if done.ok or found or "Warnings found" in _said(done):
            return found
        return (_said(done) or f"crm_verify ended with exit code {done.code}",)

    def create_constraint(self, xml: bytes) -> bool:
        """As Pacemaker.create_constraint."""
        done = self._run(["cibadmin", "--create", "--scope", "constraints", "--xml-pipe"], stdin=xml)
        if done.code == _EXISTS:
            return False
        self._must(done, "cibadmin --create")
        return True

    def delete_constraint(self, ident: str, *, value: str = "") -> None:
        """As Pacemaker.delete_constraint."""
        if not re.fullmatch(r"[\w.-]+", ident):
            raise ValueError(f"not an XML id: {ident!r}")
        if "'" in value:
            raise ValueError(f"not to be compared in an XPath: {value!r}")
        holding = f"[rule/expression[@value='{value}']]" if value else ""
        path = f"/cib/configuration/constraints/*[@id='{ident}']{holding}"
        done = self._run(["cibadmin", "--delete", "--xpath", path])
        if done.code != _NO_SUCH:
            self._must(done, "cibadmin --delete")

    def set_target_role(self, resource: str, role: str | None) -> None:
        """As Pacemaker.set_target_role."""
        change = ["--delete-parameter", "target-role"]
        if role is not None:
            change = ["--set-parameter", "target-role", "--parameter-value", role]
        self._must(self._run(["crm_resource", "--resource", resource, "--meta", *change]), "crm_resource --meta")

    def set_utilization(self, node: str, name: str, value: str) -> None:
        """As Pacemaker.set_utilization."""
        # An `=` keeps a value that begins with a hyphen from being an option.
        argv = ["crm_attribute", f"--node={node}", "--utilization", f"--name={name}", f"--update={value}"]
        self._must(self._run(argv), "crm_attribute --utilization")

    def set_standby(self, node: str, on: bool) -> None:
        """As Pacemaker.set_standby."""
        change = ["--update=on"] if on else ["--delete"]
        argv = ["crm_attribute", f"--node={node}", "--name=standby", "--lifetime=forever", *change]
        self._must(self._run(argv), "crm_attribute --name=standby")

    def refresh(self, resource: str, node: str) -> None:
        """As Pacemaker.refresh."""
        done = self._run(["crm_resource", "--refresh", "--resource", resource, "--node", node])
        self._must(done, "crm_resource --refresh")

    def simulate(self, cib: bytes, *, graph: bool = False) -> bytes:
        """As Pacemaker.simulate. Raises Refused when the CIB is newer than the node's tools."""
        return self._must(self._scheduler(cib, "graph" if graph else "actions"), "crm_simulate")

    def foresee(self, cib: bytes) -> Foretold:
        """As Pacemaker.foresee. Raises Refused when the CIB is newer than the node's tools."""
        done = self._scheduler(cib, "both")
        found = _errors(done)
        if found and done.code == _BAD_CONFIGURATION:
            return Foretold(b"", b"", found)
        actions, _, graph = self._must(done, "crm_simulate").partition(b"\0")
        return Foretold(actions, graph, found)

    def _scheduler(self, cib: bytes, wanted: str) -> Completed:
        feature_set = _version(_root(cib).get("crm_feature_set", "0"))
        if feature_set > self._supported():
            raise Refused(
                TOOLS_TOO_OLD(
                    f"the CIB has feature set {'.'.join(map(str, feature_set))}, which {self._node}'s Pacemaker cannot "
                    "read",
                    where=self._node,
                    remedy="name a newer node with --node NODE",
                    supported=".".join(map(str, self._supported())),
                )
            )
        return self._run(["sh", "-c", _SIMULATE, "hactl-simulate", wanted], stdin=cib, deadline=120.0)

    def idle(self) -> bool | Unknown:
        """As Pacemaker.idle: the DC's controller is in S_IDLE."""
        # The DC's name comes first: asking a node that is not the DC answers S_NOT_DC, which says nothing.
        try:
            dc = self._run(["crmadmin", "--dc_lookup", "--quiet", "--timeout=3s"], deadline=5.0)
            name = dc.out.decode(errors="replace").strip()
            if not dc.ok or not name:
                return Unknown("the cluster has no DC at this moment")
            state = self._run(["crmadmin", f"--status={name}", "--quiet", "--timeout=3s"], deadline=5.0)
        except Unreachable as error:
            return Unknown(str(error))
        words = set(re.findall(r"S_[A-Z_]+", _said(state)))
        if not state.ok or not words:
            return Unknown(f"the DC {name} did not say its state")
        return words == {"S_IDLE"}

    def _supported(self) -> tuple[int, ...]:
        if self._feature_set is None:
            done = self._run(["pacemakerd", "--features"])
            found = re.search(r"Supporting v(\d+(?:\.\d+)*)", _said(done))
            self._feature_set = _version(found.group(1)) if found else ()
        return self._feature_set

    def _run(self, argv: Sequence[str], *, stdin: bytes = b"", deadline: float = 30.0) -> Completed:
        return self._runner.run(self._node, argv, stdin=stdin, deadline=deadline)

    def _read(self, argv: Sequence[str]) -> bytes:
        """A query's output. Repeated for a second while the daemons do not answer."""
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_NotYet),
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_fixed(0.4),
            reraise=True,
        )
        try:
            return attempts(self._query, argv)
        except _NotYet as error:
            raise Refused(
                NO_CLUSTER(
                    f"Pacemaker does not run on {self._node}, or does not answer there",
                    where=f"node {self._node}",
                    remedy="name a node of the cluster with --node NODE, or: pcs cluster start --all",
                    answer=_said(error.done) or f"exit code {error.done.code}",
                )
            ) from error

    def _query(self, argv: Sequence[str]) -> bytes:
        done = self._run(argv)
        if done.code in _DISCONNECTED or done.code == 127:
            raise _NotYet(done)
        return self._must(done, argv[0])

    def _must(self, done: Completed, what: str) -> bytes:
        if done.ok:
            return done.out
        raise Refused(
            TOOL_FAILED(
                f"{what} failed: {_said(done).partition('<')[0].strip() or 'no message'}",
                where=self._node,
                remedy="hactl status",
                exit_code=done.code,
            )
        )


def _errors(done: Completed) -> tuple[str, ...]:
    """What Pacemaker's tools find wrong with a CIB. Their exit codes do not tell warnings from errors (a running
    resource that goes is a warning); their lines do."""
    text = done.err.decode(errors="replace")
    return tuple(re.findall(r"^(?:\(.*?\)\s*error:|.*validity error :)\s*(.+)$", text, re.MULTILINE))


def _root(document: bytes) -> etree._Element:
    """The root element of a document that may be long, without reading the rest of it."""
    parser = etree.XMLPullParser(events=("start",))
    parser.feed(document[:65536])
    for _, element in parser.read_events():
        return element
    return etree.fromstring(document)


def _said(done: Completed) -> str:
    """What a tool said, the message first: cibadmin shows the whole CIB after some of its errors."""
    return (done.err + done.out[:4096]).decode(errors="replace").strip()


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())
