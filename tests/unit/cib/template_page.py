"""docs/templates.md, from the templates and the table of their values: `python -m tests.unit.cib.template_page`."""

from __future__ import annotations

import re

from hacluster.cib.nouns import NOUNS, SAMPLES
from hacluster.cib.templates import Library, Template, shipped_directory

HEAD = """\
# The templates: how Pacemaker is told

What a noun of the spec (a file system, a VM, a fence device …) is as a piece of the CIB stands in a file of its own:
the resource, its agent, its operations with their timeouts and what happens when one fails. Which noun stands on which
is code. The comment on top of each file says why its settings are as they are.

    hactl template list                  all of them, and which are your own
    hactl template show NAME             one, as it is used (--shipped: as it came)
    hactl template render NAME [SPEC]    what it makes: of your spec, or with sample values
    hactl template check                 whether they are right; `hactl check` looks at your own too

## Your own
Put a changed copy to `/etc/hacluster/templates.d/NAME.xml` on the machine where hactl runs; it is then used instead of
the shipped one. `hactl plan` shows what that changes in the cluster before anything happens.

    mkdir -p /etc/hacluster/templates.d
    hactl template show gfs2 --shipped > /etc/hacluster/templates.d/gfs2.xml
    hactl template check gfs2

A template is one XML element. In attribute values a hole `${name:type}` takes a value, `${name:type?}` one that may
be absent: the nvpair around it is left out then, and so is a set that is empty after that. There are neither loops nor
conditions, and a value never becomes markup. The root keeps its element and its id, for constraints name it. Values
that you do not use may be left out, or be replaced by a constant.

The check says, with file and line: what is not well-formed, a hole that nobody fills (HA211) or of the wrong type
(HA212), another root (HA213), a name that nothing is made from (HA215), what one of Pacemaker's installed schemas does
not take (HA216), a parameter or operation that the installed agent does not have (HA217), less time than it advises
(HA218), and what the shipped template has and yours lacks (HA219).

| type | what fits |
|---|---|
| id | a name of the XML: letters, digits, `.`, `_`, `-`, not beginning with a digit |
| name | a word: letters, digits, `.`, `_`, `+`, `-` |
| path | an absolute path without `..` |
| options | words without blanks, separated by commas |
| text | anything that can be printed |
| integer, seconds | a number; seconds are written with an `s` behind it |
| score | a number or INFINITY, with a sign |
| hex, uuid | hexadecimal digits; a UUID in lower case |

This page is made from the templates (`python -m tests.unit.cib.template_page > docs/templates.md`).
"""


def _reasons(template: Template) -> str:
    comment = re.search(r"<!--(.*?)-->", template.text.decode(), re.DOTALL)
    return " ".join(comment.group(1).split()) if comment else ""


def page() -> str:
    """The page as Markdown."""
    library = Library([shipped_directory()])
    parts = [HEAD]
    for name in library.names():
        noun = NOUNS[name]
        parts.append(f"\n## {name}\n\n{_reasons(library.get(name))}\n")
        parts.append(f"Root: `<{noun.tag}>`. Values:\n")
        for value in sorted((*noun.needed, *noun.optional)):
            absent = " (may be absent)" if value in noun.optional else ""
            parts.append(f"- `{value}`{absent}: {SAMPLES[value][1]}")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(page(), end="")
