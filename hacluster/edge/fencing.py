"""Fencing, asked and done from a node: an agent's own word on a target, Pacemaker's fencer, and a machine's boot.

An agent is run as the fencer runs it, with what it has to know on its standard input. Secrets are read on the node that
asks, from Pacemaker's own store there, and go nowhere else; so it is also seen whether that node has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hacluster.fence_ports import FenceAnswer
from hacluster.ports import Completed, Runner, Unknown, Unreachable
from hacluster.problems import Refused, kind

NOT_REMEMBERED = kind(
    "HA551",
    "The result of a fence test could not be kept",
    "The cluster keeps it in its configuration; without that, nobody knows later that the node's fencing was proven.",
)

SECRETS = "/var/lib/pacemaker/lrm/secrets"
AGENTS = "/usr/sbin"
BOOT_ID = "/proc/sys/kernel/random/boot_id"

# $1 device, $2 agent, $3 seconds; name=value lines on stdin. printf is the shell's own: no secret is in any argv.
_ASK = f"""
agent={AGENTS}/$2
[ -x "$agent" ] || {{ echo "it has no $2" >&2; exit 127; }}
told=$(while IFS= read -r line; do
    case $line in
        *=lrm://)
            name=${{line%%=*}}
            [ -r "{SECRETS}/$1/$name" ] || {{ echo "its secrets store has no $name for $1" >&2; exit 66; }}
            printf '%s=%s\\n' "$name" "$(cat "{SECRETS}/$1/$name")" ;;
        *) printf '%s\\n' "$line" ;;
    esac
done) || exit 66
printf '%s\\n' "$told" | PYTHONWARNINGS=ignore timeout --kill-after=1 "$3" "$agent"
"""
# fence agents: 0 is on, 2 is off, and everything else is that it could not be learnt.
_ANSWERS: dict[int, FenceAnswer] = {0: "on", 2: "off"}
_NO_SECRET = 66
_LATE = (124, 137)
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ (ERROR|WARNING): ")


class NodeFencing:
    """The Fencing port over a Runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def ask(
        self, node: str, device: str, agent: str, question: Sequence[tuple[str, str]], *, deadline: float = 40.0
    ) -> FenceAnswer | Unknown:
        """As Fencing.ask."""
        if not re.fullmatch(r"fence_[\w-]+", agent):
            return Unknown(f"{agent} is no fence agent that can be asked")
        lines = "".join(f"{name}={value}\n" for name, value in question).encode()
        argv = ["sh", "-c", _ASK, "hactl-fence-status", device, agent, f"{deadline:g}"]
        try:
            done = self._runner.run(node, argv, stdin=lines, deadline=deadline + 5.0)
        except Unreachable as error:
            return Unknown(str(error))
        except Refused as no:
            return Unknown("; ".join(problem.message for problem in no.problems))
        if done.code in _ANSWERS:
            return _ANSWERS[done.code]
        return Unknown(_reason(done, agent, deadline))

    def boot_id(self, node: str, *, deadline: float = 4.0) -> str | Unknown:
        """As Fencing.boot_id."""
        try:
            done = self._runner.run(node, ["cat", BOOT_ID], deadline=deadline)
        except Unreachable as error:
            return Unknown(str(error))
        except Refused as no:
            return Unknown("; ".join(problem.message for problem in no.problems))
        said = done.out.decode(errors="replace").strip()
        return said if done.ok and said else Unknown(f"{node} does not say its boot id")

    def leave(self, node: str, *, deadline: float = 120.0) -> str:
        """As Fencing.leave. Corosync stays: sbd goes with it, and has to be there to be seen at work."""
        return self._done(node, ["systemctl", "stop", "pacemaker"], deadline)

    def enter(self, node: str) -> str:
        """As Fencing.enter."""
        return self._done(node, ["systemctl", "start", "pacemaker"], 60.0)

    def fence(self, through: str, target: str, *, deadline: float) -> str:
        """As Fencing.fence."""
        argv = ["stonith_admin", f"--reboot={target}", f"--timeout={deadline:.0f}"]
        return self._done(through, argv, deadline + 30.0)

    def remember(self, through: str, group: str, name: str, value: str) -> None:
        """As Fencing.remember."""
        argv = ["crm_attribute", "--type=crm_config", f"--set-name={group}", f"--name={name}", f"--update={value}"]
        done = self._runner.run(through, argv)
        if not done.ok:
            raise Refused(
                NOT_REMEMBERED(
                    f"the cluster did not take the property {name}: {_last(done) or 'no message'}",
                    where="CIB",
                    remedy="hactl status, then test again",
                    exit_code=done.code,
                )
            )

    def _done(self, node: str, argv: Sequence[str], deadline: float) -> str:
        """Run a command that says by its exit code whether it did its work; why it did not, or nothing."""
        try:
            done = self._runner.run(node, argv, deadline=deadline)
        except Unreachable as error:
            return str(error)
        except Refused as no:
            return "; ".join(problem.message for problem in no.problems)
        return "" if done.ok else _last(done) or f"{argv[0]} ended with exit code {done.code}"


def _last(done: Completed) -> str:
    lines = [line.strip() for line in (done.err + done.out).decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _reason(done: Completed, agent: str, deadline: float) -> str:
    if done.code in _LATE:
        return f"{agent} did not answer within {deadline:g} s"
    lines = [line.strip() for line in done.err.decode(errors="replace").splitlines() if line.strip()]
    said = _STAMP.sub("", lines[-1]) if lines else f"{agent} ended with exit code {done.code}"
    return said if done.code in (_NO_SECRET, 127) else said.rstrip(".")
