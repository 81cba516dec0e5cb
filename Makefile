# hacluster: `sudo make lab` shows it, `sudo make test` checks it. Both install what they need on a Debian 12.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= /usr/bin/python3
VENV := .venv
LATEST := .venv-latest
BIN := $(CURDIR)/$(VENV)/bin
HACTL := $(BIN)/hactl
# hactl's own dependencies at Debian's versions, and what building the newest libvirt-python takes.
PACKAGES := python3 python3-venv python3-lxml python3-paramiko python3-libvirt python3-tenacity python3-structlog \
  python3-typer python3-rich libdlm3 gcc spin graphviz python3-dev libvirt-dev pkg-config
SPEC := examples/lab.toml

.PHONY: help
help:
	@echo "make lab    install everything, bring up a three-node cluster on this machine, move a VM live (root)"
	@echo "make test   lint, types and every test that this machine can run (root for the lab's)"
	@echo "make lab-vm   three full virtual machines with kernels of their own: DLM, lvmlockd, GFS2 (root; minutes)"
	@echo "make test-vm  the tests that only these can answer (root; see docs/evidence.md for how long)"
	@echo "make model  every state of the guard's protocol, and each barrier taken away (needs spin and gcc)"
	@echo "make scenarios  every scenario file that a lab can stage, played on one (root; an hour)"
	@echo "make mutants  each line of the guard deleted or turned round must make some test fail"
	@echo "make chaos  random faults on the lab, watched from outside: no VM may run twice (root)"
	@echo "make fuzz   20,000 broken CIBs and specs (INPUTS=1000000 for more): each is taken, or refused with a Problem"
	@echo "make search  every test that draws its cases, at length and with another seed each time"
	@echo "make bench  hactl beside virsh and pcs, side by side in one run (root)"
	@echo "make lint   ruff and mypy"

# --- what the project needs -------------------------------------------------------------------------------------------

# Daemons that the packages bring must not start on this machine: they run in the lab's nodes only.
.PHONY: packages
packages:
	@if [ "$$(id -u)" != 0 ]; then \
	  echo "not root: Debian packages are not installed, and tests that need them are left out"; exit 0; fi; \
	policy=/usr/sbin/policy-rc.d; made=; updated=; \
	trap 'test -z "$$made" || rm -f "$$made"' EXIT; \
	need() { \
	  missing=$$(for p in "$$@"; do dpkg-query -W -f '$${db:Status-Status}\n' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	  test -n "$$missing" || return 0; \
	  echo "installing:" $$missing; \
	  if [ ! -e $$policy ]; then printf '#!/bin/sh\nexit 101\n' > $$policy; chmod 755 $$policy; made=$$policy; fi; \
	  test -n "$$updated" || apt-get update -qq; updated=yes; \
	  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -qq -y --no-install-recommends $$missing >/dev/null; \
	}; \
	need $(PACKAGES); \
	need $$($(PYTHON) hacluster/lab/packages.py)

# Debian's own lxml, paramiko, libvirt, tenacity, structlog, typer and rich are the floor that the project supports.
$(VENV)/bin/pytest: pyproject.toml | packages
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	touch $@

# The newest releases are the ceiling.
$(LATEST)/bin/pytest: pyproject.toml | packages
	$(PYTHON) -m venv $(LATEST)
	$(LATEST)/bin/pip install --quiet --upgrade --editable '.[dev]'
	touch $@

.PHONY: venv
venv: $(VENV)/bin/pytest

# --- what one does with it --------------------------------------------------------------------------------------------

.PHONY: lab
lab: venv
	@test "$$(id -u)" = 0 || { echo "the lab needs root: sudo make lab"; exit 1; }
	@ln -sf $(HACTL) /usr/local/bin/hactl
	$(HACTL) lab demo $(SPEC)

# The machines are made of Debian's packages; image and snapshots are kept below /var/cache/hacluster.
.PHONY: vm-packages
vm-packages: venv
	@DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -qq -y --no-install-recommends \
	  $$($(PYTHON) hacluster/lab/machines/packages.py) >/dev/null

.PHONY: lab-vm
lab-vm: vm-packages
	@test "$$(id -u)" = 0 || { echo "the virtual machines need root: sudo make lab-vm"; exit 1; }
	$(HACTL) lab up --vm

.PHONY: test-vm
test-vm: vm-packages
	@test "$$(id -u)" = 0 || { echo "the virtual machines need root: sudo make test-vm"; exit 1; }
	@trap '$(HACTL) lab down --vm >/dev/null' EXIT; begun=$$SECONDS; \
	$(HACTL) lab up --vm; \
	echo "the machines took $$((SECONDS - begun)) s"; begun=$$SECONDS; \
	HACLUSTER_VM=1 $(BIN)/pytest -p no:cacheprovider -m vm --durations=0 tests/vm tests/contract; \
	echo "the tests took $$((SECONDS - begun)) s"

.PHONY: lint
lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: test
test: lint test-latest
	$(BIN)/pytest

.PHONY: test-latest
test-latest: $(LATEST)/bin/pytest
	$(LATEST)/bin/pytest -q -m 'not lab and not tools and not root and not model' -p no:cacheprovider

# Installs nothing; `make packages` brings spin and gcc.
.PHONY: model
model:
	$(PYTHON) -m tests.model.spin

# Some are played in every test run; here all scenarios that the lab can stage.
.PHONY: scenarios
scenarios: venv
	HACLUSTER_DEEP=1 $(BIN)/pytest -q -p no:cacheprovider tests/lab/test_scenarios.py

.PHONY: mutants
mutants: venv
	$(BIN)/python -m tests.mutants

# Fixed seeds, a fresh lab each; a longer run of one's own: hactl lab chaos --minutes 60
CHAOS_SEEDS := 1 2
CHAOS_MINUTES := 1.5
.PHONY: chaos
chaos: venv
	@trap '$(HACTL) lab down --name chaos >/dev/null' EXIT; \
	for seed in $(CHAOS_SEEDS); do \
	  $(HACTL) lab up $(SPEC) --name chaos; \
	  $(HACTL) lab chaos --name chaos --seed $$seed --minutes $(CHAOS_MINUTES); \
	  $(HACTL) lab down --name chaos; \
	done

# Need no cluster. Drawn cases: the same few in each test run, here many and others each time; SEARCH=1000 looks longer.
SEARCH ?= 300
INPUTS := 20000
.PHONY: fuzz
fuzz: venv
	HACLUSTER_FUZZ=$(INPUTS) $(BIN)/pytest -q -p no:cacheprovider tests/unit/importing/test_fuzz.py

.PHONY: search
search: venv
	HACLUSTER_DEEP=$(SEARCH) $(BIN)/pytest -q -p no:cacheprovider tests/scenarios tests/oracle \
	  tests/unit/cib tests/unit/importing tests/unit/lint tests/unit/spec tests/unit/apply/test_others.py

.PHONY: bench
bench: venv
	$(BIN)/python -m tests.bench
