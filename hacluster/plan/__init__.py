"""Plan: the difference between what is and what is wanted, simulated, with its price in guest downtime. Pure."""

from hacluster.plan.changes import Change, Setting, describe
from hacluster.plan.document import document
from hacluster.plan.make import Foreseen, Plan, make
from hacluster.plan.prices import VmPrice
from hacluster.plan.stages import Stage
from hacluster.plan.theirs import Foreign

__all__ = ["Change", "Foreign", "Foreseen", "Plan", "Setting", "Stage", "VmPrice", "describe", "document", "make"]
