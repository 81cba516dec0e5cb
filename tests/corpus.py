"""CIBs that others wrote: Pacemaker's own scheduler cases, beside the checkout and not part of it, as their licence is
another. Tests that read them say so where they are not there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"
CIBS = sorted(CORPUS.glob("*.xml"))

needs_corpus = pytest.mark.skipif(not CIBS, reason=f"the corpus is not beside the checkout ({CORPUS})")
