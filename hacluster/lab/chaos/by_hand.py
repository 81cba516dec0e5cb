"""What somebody types at a node with virsh, past the cluster."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from hacluster.lab.chaos.deeds import DONE, FAILED, REFUSED, Aim, Deed, Missed
from hacluster.lab.chaos.orders import MOVES_WITHIN
from hacluster.lab.chaos.scene import Scene
from hacluster.lab.chaos.verb import Do, Healing, Verb, in_node, located

SAVED = "/var/tmp/$vm.save"


def elsewhere(script: str, undo: str = "") -> Do:
    """A script in a node where the VM does not run, which would make a second copy. Skipped when it ran there after
    all, as a move may have brought it meanwhile."""
    plain = in_node(script, undo, 40)

    def do(scene: Scene, aim: Aim) -> tuple[Deed, Healing | None]:
        before = scene.home(aim)
        node = scene.other(aim)
        deed, heal = plain(scene, Aim(aim.vm, node, aim.seconds, aim.pick))
        if deed.outcome == DONE and scene.observer.home(aim.vm) != before:
            deed = Deed("skipped", f"{node}: it was moving")
        return deed, heal

    return do


def migrate(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """`virsh migrate --live`, past the cluster."""
    here, target = scene.home(aim), scene.other(aim)
    words = ["virsh", "migrate", "--live", aim.vm, f"qemu+tcp://{scene.hosts[target]}/system"]
    return located(f"{here} to {target}", scene.typed(here, words, 60)), None


def resume_in_move(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """Somebody types `virsh resume` on the target, again and again, while a move is under way."""
    target = scene.other(aim)
    script = f"end=$(($(date +%s) + {int(aim.seconds)})); n=0; while [ $(date +%s) -lt $end ]; do "
    script += f"virsh -q resume {aim.vm} 2>/dev/null && n=$((n+1)); done; echo resumed $n times"
    with ThreadPoolExecutor(1) as pool:
        order = pool.submit(scene.typed, scene.prompt(), scene.move(aim.vm, target), MOVES_WITHIN)
        done = scene.run(target, ["sh", "-c", script], aim.seconds + 20)
        deed = order.result()
    return Deed(deed.outcome, f"to {target}, {done.stdout.strip()}: {deed.said}"), None


def save_and_restore_elsewhere(scene: Scene, aim: Aim) -> tuple[Deed, None]:
    """An image saved at home is restored on another node, where it may be an old memory over a newer disk."""
    here, target = scene.home(aim), scene.other(aim)
    image = f"/var/tmp/{aim.vm}.save"
    saved = scene.typed(here, ["virsh", "save", aim.vm, image], 40)
    if saved.outcome != DONE:
        return located(here, saved), None
    time.sleep(aim.seconds)
    carried = scene.run(here, ["base64", image], 30).stdout
    put = scene.bed.exec(target, ["sh", "-c", f"base64 -d >{image}"], stdin=carried)
    if put.returncode:
        raise Missed(f"the image did not reach {target}")
    deed = scene.typed(target, ["virsh", "restore", image], 40)
    outcome = REFUSED if deed.outcome == FAILED else deed.outcome
    return Deed(outcome, f"saved on {here}, restored on {target}: {deed.said}"), None


VERBS = (
    Verb("virsh-create", "hand", "virsh create on a node where it does not run", elsewhere("virsh create $xml"),
         ("other",), weight=3, must_refuse=True),
    Verb("virsh-start", "hand", "virsh define and start where it does not run",
         elsewhere("virsh define $xml && virsh start $vm", "virsh undefine $vm"), ("other",), (1, 3), 2, True),
    Verb("virsh-autostart", "hand", "autostart where it does not run, then libvirtd starts anew",
         in_node("virsh define $xml && virsh autostart $vm && rm -f /run/libvirt/qemu/autostarted && "
                 "systemctl restart libvirtd", "virsh undefine $vm"), ("other",), (2, 5), 1),
    Verb("virsh-migrate", "hand", "virsh migrate --live past the cluster", migrate, ("home",), weight=3,
         must_refuse=True),
    Verb("virsh-destroy", "hand", "virsh destroy", in_node("virsh destroy $vm", timeout=40), ("home",)),
    Verb("virsh-shutdown", "hand", "virsh shutdown", in_node("virsh shutdown $vm", timeout=40), ("home",)),
    Verb("virsh-suspend", "hand", "virsh suspend, then resume",
         in_node("virsh suspend $vm", "virsh resume $vm", 40), ("home",), (0.5, 10)),
    Verb("virsh-save", "hand", "virsh save, then restore on its node",
         in_node(f"virsh save $vm {SAVED} && sleep $seconds && virsh restore {SAVED}", f"rm -f {SAVED}", 60),
         ("home",), (0, 4)),
    Verb("virsh-restore-elsewhere", "hand", "a saved image is restored on another node", save_and_restore_elsewhere,
         ("home",), (0, 8), 2, True),
    Verb("virsh-resume-in-move", "hand", "virsh resume on the target in the middle of a move", resume_in_move,
         ("other",), (3, 7)),
)  # fmt: skip
