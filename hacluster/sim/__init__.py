"""A cluster in memory: the product's own code, agents and guard included, on machines that do not exist.

Time is virtual, chance has a seed, and a fault may strike at any named point; so an hour with a power cut in it takes
milliseconds and happens again in the same way. `world.World` is the way in; `ports` are what the use cases get.

What runs unchanged: `move`, `moving`, `preflight`, `power`, `forget`, `observe`, and, loaded a second time over a
machine that is made of dictionaries (`payload`), the whole of `guard`, the agents, the hook and the probe.
What is reduced is said at the top of each module: Pacemaker to what matters for VMs (`scheduler`, `controller`),
libvirt to domains, hooks and direct migration (`libvirt`, `migration`), a guest to when it executes (`guest`).
"""
