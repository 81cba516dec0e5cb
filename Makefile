PYTHON ?= /usr/bin/python3
VENV := .venv

.PHONY: venv
venv: $(VENV)/bin/pytest

$(VENV)/bin/pytest: pyproject.toml
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	touch $@
