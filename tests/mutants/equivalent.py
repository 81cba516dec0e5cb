"""Mutants that cannot change what happens, each with the reason. As few as can be: a mutant is a question to a test.

The key is the module, the source line as it stands (so that an entry ends with the line it excuses), and the change.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {}
