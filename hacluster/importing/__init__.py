"""Import: from a CIB to a spec and a residue, so that what both compile to means what the CIB does. Pure.

`view` reads the CIB's nouns, `cluster`, `fencing`, `storage` and `vms` say each in the spec's words, `proposal` lets
the spec judge them, and `result` compares what they compile to with the CIB: what agrees is the spec's, all else is
kept.
"""

from hacluster.importing.result import Fate, Imported, import_cib
from hacluster.importing.sources import Sources

__all__ = ["Fate", "Imported", "Sources", "import_cib"]
