"""The contract's suites run over the virtual machines, too, where these are asked for."""

from tests.vm.bed import machines

__all__ = ["machines"]
