"""The spec as a JSON Schema (draft 2020-12), from the same table that the reader uses: editors complete from it.

The schema knows what stands in one place; what has to fit together across places only `hactl check` knows.
"""

from __future__ import annotations

from hacluster.spec.table import SPEC

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document() -> dict[str, object]:
    """The whole schema, ready for json.dumps."""
    return {
        "$schema": DIALECT,
        "title": "hacluster's cluster.toml",
        "description": "A cluster of KVM hosts and its virtual machines. `hactl check` finds more than this schema.",
        **SPEC.schema(),
    }
