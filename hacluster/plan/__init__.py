"""Plan: the difference between what is and what is wanted, simulated, with its price in guest downtime. Pure."""

from hacluster.plan.changes import Change, Setting, describe
from hacluster.plan.document import document
from hacluster.plan.make import Plan, VmPrice, make

__all__ = ["Change", "Plan", "Setting", "VmPrice", "describe", "document", "make"]
