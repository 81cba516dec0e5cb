"""From bare machines to the hosts of one cluster: what a host must be, what it is, and the changes between the two.

Every part of it is a Step (steps.py): it looks, and answers with the changes that are missing. Plan, dry run, apply,
"nothing to do" and going on after an interruption are that one answer, read in different ways.
"""
