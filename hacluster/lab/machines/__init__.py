"""A lab of full virtual machines, for what only a kernel of a node's own can show: DLM, lvmlockd, GFS2, bootstrap."""
