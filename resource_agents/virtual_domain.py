"""ocf:hacluster:VirtualDomain: a VM that runs on one node at a time, because it runs only under its run-lock.

This module is the dispatch and the monitor's common path, which must cost next to nothing: it imports neither
subprocess nor re nor json (a test holds that). Whatever is not simply "running, sealed" is looked at by the modules
that are imported on demand.
"""

from __future__ import annotations

import sys
import time

from hacluster.guard import state
from hacluster.guard.dlm import EX
from resource_agents import codes
from resource_agents.codes import Failed
from resource_agents.vm import Deadline, Vm, environment, look


def monitor(vm: Vm) -> int:
    """OCF monitor, and the probe. 0 running, 7 absent with proof, 1 anything else; unknown is never 7."""
    sight = look(vm.name, vm.uuid)
    if sight.alive and sight.state == "running" and not sight.job.startswith("migration"):
        claim = state.read(vm.uuid)
        if claim.mode == EX and not claim.nonce and (vm.probe or not vm.monitor_scripts):
            return codes.SUCCESS
    from resource_agents.watching import examine

    deadline = Deadline(vm.timeout)
    code = examine(vm, deadline)
    if code == codes.SUCCESS and vm.monitor_scripts and not vm.probe:
        from resource_agents.scripts import agree

        agree(vm, deadline)
    return code


def start(vm: Vm) -> int:
    """OCF start."""
    from resource_agents.starting import start as bring_up

    return bring_up(vm, Deadline(vm.timeout))


def stop(vm: Vm) -> int:
    """OCF stop."""
    from resource_agents.stopping import stop as bring_down

    return bring_down(vm, Deadline(vm.timeout))


def migrate_to(vm: Vm) -> int:
    """OCF migrate_to, on the source."""
    from resource_agents.moving import migrate_to as send

    return send(vm, Deadline(vm.timeout))


def migrate_from(vm: Vm) -> int:
    """OCF migrate_from, on the target."""
    from resource_agents.arriving import migrate_from as receive

    return receive(vm, Deadline(vm.timeout))


def validate_all(vm: Vm) -> int:
    """OCF validate-all: the parameters, and the domain XML where it lies."""
    from resource_agents import parameters
    from resource_agents.starting import read_domain

    parameters.check(vm)
    read_domain(vm)
    return codes.SUCCESS


def reload_agent(vm: Vm) -> int:
    """OCF reload-agent: a new config or hash takes effect at the next start; the running guest is not touched."""
    codes.log(vm.name, "parameters changed; they take effect at the next start")
    return codes.SUCCESS


ACTIONS = {
    "monitor": monitor,
    "status": monitor,
    "start": start,
    "stop": stop,
    "migrate_to": migrate_to,
    "migrate_from": migrate_from,
    "validate-all": validate_all,
    "reload-agent": reload_agent,
}


def run(action: str) -> int:
    """One operation; its exit code."""
    if action == "meta-data":
        sys.stdout.write(codes.metadata("VirtualDomain"))
        return codes.SUCCESS
    if action not in ACTIONS:
        sys.stderr.write(f"usage: VirtualDomain {{{'|'.join([*ACTIONS, 'meta-data'])}}}\n")
        return codes.ERR_UNIMPLEMENTED
    values = environment()
    name = values.get("OCF_RESOURCE_INSTANCE", "VirtualDomain")
    try:
        code = ACTIONS[action](Vm(values))
        if action not in ("monitor", "status"):
            state.remove(state.path(state.lower_case_uuid(values.get("OCF_RESKEY_uuid", "")), ".failed"))
        return code
    except Failed as failed:
        _keep_reason(action, values.get("OCF_RESKEY_uuid", ""), failed)
        return codes.fail(name, failed)
    except Exception as problem:  # noqa: BLE001 - an agent that dies without a word leaves the operator with nothing
        return codes.fail(name, Failed(f"{action} of {name} broke: {type(problem).__name__}: {problem}"))


def _keep_reason(action: str, uuid: str, failed: Failed) -> None:
    """Keep the sentence for hactl: Pacemaker (2.1.5) puts the reason of a failed migration into its log only."""
    if len(uuid) == 36:
        pairs = {"action": action, "at": str(int(time.time())), "sentence": " ".join(failed.sentence.split())}
        state.write_pairs(state.path(state.lower_case_uuid(uuid), ".failed"), pairs)


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(sys.argv[1] if len(sys.argv) > 1 else ""))
