BACKEND ?= jax
BACKENDS ?= jax tensorflow torch numpy openvino
PYTHON ?= python3
VENV = .venv
RUN = $(VENV)/bin/python

# What `pip` calls each backend. The CPU builds: they suit any machine.
jax_PACKAGES = jax
tensorflow_PACKAGES = tensorflow-cpu
torch_PACKAGES = torch==2.13.0

.PHONY: demo test coverage lint docs clean

demo: $(VENV)/demo-$(BACKEND)
	KERAS_BACKEND=$(BACKEND) $(RUN) guides/digits.py

test: $(VENV)/test lint
	$(RUN) tests/run_backends.py $(BACKENDS)

# Which lines the tests of all backends together run, line by line in htmlcov/.
coverage: $(VENV)/test
	rm -f .coverage
	$(RUN) tests/run_backends.py $(BACKENDS) -- --cov --cov-append --cov-report=
	$(RUN) -m coverage report
	$(RUN) -m coverage html --quiet

lint: $(VENV)/test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(RUN) --level error

# The site, in site/. Guides run, unless they have run before; `EXECUTE=0` runs none of
# them, `EXECUTE="neurons digits"` these two.
docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 KERAS_BACKEND=$(BACKEND) $(RUN) -m mkdocs build --strict

$(VENV)/docs: $(VENV)/bin/python pyproject.toml
	$(RUN) -m pip install --quiet $($(BACKEND)_PACKAGES) --editable ".[docs]"
	touch $@

$(VENV)/demo-%: $(VENV)/bin/python pyproject.toml
	$(RUN) -m pip install --quiet $($*_PACKAGES) --editable ".[demo]"
	touch $@

$(VENV)/test: $(VENV)/bin/python pyproject.toml
	$(RUN) -m pip install --quiet $(jax_PACKAGES) $(tensorflow_PACKAGES) \
		$(torch_PACKAGES) --editable ".[test]"
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) .cache site htmlcov .coverage
