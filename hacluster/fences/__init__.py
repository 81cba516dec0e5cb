"""Fence devices at work: what there is, whether each answers, and whether a machine really went down and came back."""
