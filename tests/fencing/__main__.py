"""`python -m tests.fencing` writes fencing/agents.json and docs/fence-devices.md anew, on a Debian with all agents."""

from hacluster.cib import fence_catalogue
from tests.fencing import make

fence_catalogue.file().write_text(make.catalogue(), encoding="utf-8")
make.PAGE.write_text(make.page(), encoding="utf-8")
