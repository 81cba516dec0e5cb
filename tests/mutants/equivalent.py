"""Mutants that cannot change what happens, each with the reason. As few as can be: a mutant is a question to a test.

The key is the module, the source line as it stands (so that an entry ends with the line it excuses), and the change.
"""

from __future__ import annotations

_ALL_THERE_ARE = "more files than an agent or the hook can ever have open; the next one up is none"
_HOW_MUCH_AT_ONCE = "how much is read at once; whatever is left is read the next time"
_NOBODY_LOOKS = "nobody asks with which code this process ended: its parent reads its answer, or has gone already"

EQUIVALENT = {
    ("child.py", "os.closerange(4, 1024)", "1024 → 1025"): _ALL_THERE_ARE,
    ("child.py", "os.closerange(3, 1024)", "1024 → 1025"): _ALL_THERE_ARE,
    ("child.py", "part = os.read(descriptor, 65536)", "65536 → 65537"): _HOW_MUCH_AT_ONCE,
    ("child.py", "os._exit(0)", "0 → 1"): _NOBODY_LOOKS,
    (
        "child.py",
        "while (left := deadline - time.monotonic()) > 0:",
        "(left := deadline - time.monotonic()) > 0 → ((left := deadline - time.monotonic()) >= 0)",
    ): "at the very instant of the deadline select returns at once, and nothing has been learnt either way",
    ("child.py", "def wait(self, timeout: float, watch: int = -1) -> bool:", "1 → 2"): "any number below 0 says: none",
    ("libdlm.py", "return pending.grant(flags if value is None else 0)", "0 → 1"): "any flags without VALBLK",
    ("module.py", 'module = ModuleType("hacluster_dlm_module")', '"hacluster_dlm_module" → "mutant"'): (
        "a name that is seen in tracebacks only"
    ),
    ("proof.py", "if seen.nameless:", "seen.nameless → True"): (
        "without a nameless process none is strange; this only saves reading the other VMs' records"
    ),
    (
        "state.py",
        'found = {name[:-7]: read_pairs(path(name[:-7], ".failed", directory)) '
        'for name in names if name.endswith(".failed")}',
        'name.endswith(".failed") → True',
    ): "another record's name, cut short, is either no VM's or one whose .failed is listed anyway",
}
