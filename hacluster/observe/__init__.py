"""Observation: what is. Pure, apart from `look`, which asks through the ports.

Pacemaker's belief, libvirt's word, the nodes' run-locks and their QEMU processes are kept side by side, because they
can differ, and the difference is what an admin must see. What could not be learnt stays unknown to the end.
"""

from hacluster.observe.document import document
from hacluster.observe.look import look
from hacluster.observe.read import observe
from hacluster.observe.views import CloneView, ClusterView, Failure, FenceView, NodeView, Observation, VmView

__all__ = [
    "CloneView",
    "ClusterView",
    "Failure",
    "FenceView",
    "NodeView",
    "Observation",
    "VmView",
    "document",
    "look",
    "observe",
]
