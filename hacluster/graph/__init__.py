"""Pictures of a cluster: what stands on what, and what waits for what. Pure: facts in, graphviz's DOT out.

`bonds` reads the relations, `boxes` puts what is alike into one box, so that a hundred VMs stay readable, and `dot`
writes the picture.
"""

from hacluster.graph.bonds import Bond, bonds
from hacluster.graph.boxes import Picture, picture
from hacluster.graph.dot import draw

__all__ = ["Bond", "Picture", "bonds", "draw", "picture"]
