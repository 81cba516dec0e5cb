"""Apply: from a spec to a cluster that runs it, over the ports.

`prepare` looks and plans, and changes nothing. `apply` gives every node its files, pushes the CIB as a compare-and-set,
waits until Pacemaker has done its work, and believes only what it then observes. The push is the one step that
matters, and it is atomic: whatever is interrupted before it has changed nothing that is in use.
"""

from hacluster.apply.prepare import Prepared, prepare
from hacluster.apply.run import Applied, apply
from hacluster.apply.undo import Entry, past_of
from hacluster.apply.undo import prepare as prepare_undo
from hacluster.apply.written import prepare as prepare_written

__all__ = ["Applied", "Entry", "Prepared", "apply", "past_of", "prepare", "prepare_undo", "prepare_written"]
