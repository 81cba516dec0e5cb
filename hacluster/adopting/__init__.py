"""Adopting: a running VM comes under another agent, and its guest notices nothing.

`ask` looks and finds everything that stands against it; `adopt` pushes the change in one step with Pacemaker's hands
off the VM, lets the new agent find the guest, and gives the VM back only when everybody says the same.
"""

from hacluster.adopting.asking import Asked, ask
from hacluster.adopting.run import Adopted, adopt

__all__ = ["Adopted", "Asked", "adopt", "ask"]
