"""What dlm_controld does when a member of the lockspace dies: it has the node fenced itself, and does not wait.

Pacemaker fences a lost node only after the actions that are under way have ended. One of them may be waiting for a
run-lock, which is granted only after the fence; so the lock manager asks the fencer directly, as dlm_controld does with
dlm_stonith. Requests for the same node are merged by the fencer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from hacluster.lab import power

BEGIN_AFTER = 3.0
"""Seconds after the death: corosync needs some to notice, and Pacemaker is to be first where nothing is in its way."""
AGAIN_AFTER = 5.0
WITHIN = 60
ASK = 'test "$(crm_node -q)" = 1 && exec stonith_admin --reboot "$0" --tag dlm'


class Fencer:
    """Has dead members fenced. `run` is the lab's directory, `nodes` are those that can be asked.

    `unfenced` tells who is dead and not known to be fenced.
    """

    def __init__(self, run: Path, nodes: Sequence[str], unfenced: Callable[[], set[str]]) -> None:
        self._run = run
        self._nodes = list(dict.fromkeys(nodes))
        self._unfenced = unfenced
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def died(self, node: str) -> None:
        """A node has lost its power."""
        task = self._tasks.get(node)
        if task is None or task.done():
            self._tasks[node] = asyncio.get_running_loop().create_task(self._until_fenced(node))

    async def _until_fenced(self, node: str) -> None:
        await asyncio.sleep(BEGIN_AFTER)
        while node in self._unfenced():
            for other in self._nodes:
                if other != node and other not in self._unfenced() and await self._ask(other, node):
                    break
            await asyncio.sleep(AGAIN_AFTER)

    async def _ask(self, other: str, node: str) -> bool:
        """Have `node` fenced by way of another one; whether that one did it."""
        supply = power.Supply(str(self._run), other)
        leader = supply.leader()
        if leader is None or supply.status() != "on":
            return False
        group = Path(supply.cgroup, "exec")
        group.mkdir(exist_ok=True)
        inside = ["nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "--wdns=/"]
        asked = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", 'echo 0 >"$0" && exec "$@"', str(group / "cgroup.procs"),
            *inside, "timeout", str(WITHIN), "/bin/sh", "-c", ASK, node,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, env=power.ENVIRONMENT,
        )  # fmt: skip
        return await asked.wait() == 0
