"""The admission code: who may run a VM. A leaf that imports almost nothing and runs under `/usr/bin/python3 -IS`.

table  the truth table, as data: what a node may do in each mode of its lock, and why not
lock   the run-lock's operations over a DLM port, each in a child with a deadline
dlm    the port to a distributed lock manager, its constants and errors
proof  is there a QEMU of this uuid on this node: PRESENT, ABSENT or UNKNOWN, with the evidence
"""

VERSION = "1"
"""Format of value block, state files and markers. Two nodes move a VM between them only when theirs are equal."""
