"""Tests that only a kernel of a node's own can answer: each begins with a whole, quorate cluster."""

from tests.vm.bed import machines

__all__ = ["machines"]
