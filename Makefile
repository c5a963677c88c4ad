# Every target sets up what it needs. Only `format`, `lock` and `deploy` may change files that Git
# does not ignore; only `deploy` uses your AWS account.
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The project's path may contain any character but a colon and a line break, since recipes name
# files relative to it, or by the shell's $PWD.
define NEWLINE


endef
$(if $(findstring :,$(CURDIR))$(findstring $(NEWLINE),$(CURDIR)),$(error The path of this folder has \
	a colon or a line break, which lists of folders cannot contain: rename or move the folder))

PYTHON ?= python3
VENV := .venv
FUNCTIONS_VENV := .venv-functions
SCAN_VENV := .venv-scan
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FUNCTIONS_READY := $(FUNCTIONS_VENV)/.ready
SCAN_READY := $(SCAN_VENV)/.ready
BROWSER_READY := $(VENV)/.browser-ready
SOURCES := functions shared tests
# Downloads are kept here, too, so no home folder is needed, and the tools can be links to them,
# since both are on one file system. Set UV_CACHE_DIR to share downloads with other clones.
CACHE := .cache
UV_CACHE_DIR ?= $(CURDIR)/$(CACHE)/uv
PIP_CACHE_DIR ?= $(CURDIR)/$(CACHE)/pip
XDG_CACHE_HOME := $(CURDIR)/$(CACHE)
export UV_CACHE_DIR PIP_CACHE_DIR XDG_CACHE_HOME
# Container images often set this variable, and then each Python process compiles everything again.
export PYTHONDONTWRITEBYTECODE :=
# sam finds uv, which shared/Makefile calls, on the path. Its telemetry is off.
SAM := PATH="$$PWD/$(BIN):$$PATH" SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR="$$PWD/$(CACHE)/sam" \
	$(BIN)/sam
# Every target but `deploy` ignores an AWS account that the environment names.
WITHOUT_AWS := env -u AWS_PROFILE -u AWS_DEFAULT_PROFILE AWS_CONFIG_FILE=/dev/null \
	AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_DEFAULT_REGION=us-east-1
LOCAL_SAM := $(WITHOUT_AWS) $(SAM)
# Values for the commands of `make local` reach them as they were typed, with all quotes and dollar
# signs: they are exported, so they are never part of a recipe that make and the shell read.
DRY_RUN ?= 1
# In the environment, these variables belong to other programs.
ifneq ($(origin PORT),command line)
override PORT :=
endif
ifneq ($(origin DOCKER),command line)
override DOCKER :=
endif
ifneq ($(origin PICTURE),command line)
override PICTURE :=
endif
GIVEN := BASE BUS CALL CASES CHROMIUM DRY_RUN EVENT FUNCTION MESSAGE MINUTES PARAMETERS PORT RATE REASON \
	ROUNDS ROW UNTIL WORLD
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name)))$(eval export $(name)))
IN_WORLD = $(BIN)/python -m tests.local_world $(1) --world="$$WORLD"
# How many messages `make chaos` queues, and the seed of its random choices.
N ?= 2000
SEED ?= 1

.PHONY: help setup format lint types imports template unit thorough integration test protocol \
	chaos-test mutants tools-test browser-test chromium-found sam-test any-machine chaos fuzz check scan \
	demo local invoke sam-local sam-start-lambda send find dead-letter-queue redrive outcome-events \
	simulator bench capacity build build-local table-template deploy lock clean runtime-elsewhere

help: ## Show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) $(FUNCTIONS_READY) ## Install the tools into .venv and .venv-functions

# The tools fit one interpreter and one folder, both recorded in $(READY). They are installed again
# when PYTHON names another interpreter, when theirs is gone, and when this folder has moved.
DESCRIBE = -c 'import os, sys; print(sys.version, sys.base_prefix, os.getcwd(), sep="\n")'
PYTHON_GIVEN := $(filter-out file,$(origin PYTHON))
REMAKE := $(shell test ! -e $(READY) || \
	$(if $(PYTHON_GIVEN),"$(PYTHON)",$(BIN)/python) $(DESCRIBE) 2>/dev/null | cmp -s - $(READY) || echo remake)
.PHONY: remake

# Large packages that tests rarely or never import.
NOT_COMPILED := mpmath|mypy|mypyc|networkx|pip|setuptools|sympy|tests
is_new_enough = $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
$(READY): tests/requirements.txt $(REMAKE)
	@$(call is_new_enough,"$(PYTHON)") || { \
		echo "Python 3.11 or later is needed, and $(PYTHON)" \
			"$$(command -v "$(PYTHON)" >/dev/null && echo is older, or does not run || echo was not found)." >&2; \
		for found in python3 python3.14 python3.13 python3.12 python3.11; do \
			if $(call is_new_enough,$$found); then \
				echo "There is $$found: make $(MAKECMDGOALS) PYTHON=$$found" >&2; exit 1; fi; done; \
		echo "Install one, and name it: make $(MAKECMDGOALS) PYTHON=/path/to/it" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { \
		echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' tests/requirements.txt > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python tests/requirements.txt
	@# The emulator writes no bytecode: without this, each of its many starts compiles 10 MB of code.
	@$(BIN)/python -m compileall -qq -j 0 -x '/($(NOT_COMPILED))/' $(VENV)/lib || :
	@# The version of sam is pinned, so it need not ask for a newer one until 2286.
	@mkdir -p $(CACHE)/sam && echo '{"lastVersionCheck": 9999999999.0}' > $(CACHE)/sam/metadata.json
	@$(BIN)/python $(DESCRIBE) > $@

# The packages of Lambda's own runtime and no others, so that functions fail here, too, if the layer
# lacks a package. A part of the runtime client is compiled for Linux only. Elsewhere its Python
# files suffice, since a module of ours replaces the compiled part.
INSTALL_RUNTIME = $(BIN)/uv pip install --quiet --compile-bytecode --no-deps --require-hashes \
	--only-binary :all: --python $(FUNCTIONS_VENV)/bin/python -r tests/runtime-requirements.txt
ELSEWHERE := --python-version 3.13 --python-platform x86_64-manylinux_2_28
NEW_FUNCTIONS_VENV = $(BIN)/uv venv --quiet --clear --python $(BIN)/python $(FUNCTIONS_VENV)
$(FUNCTIONS_READY): $(READY) tests/runtime-requirements.txt
	$(NEW_FUNCTIONS_VENV)
	@$(INSTALL_RUNTIME) 2>/dev/null || $(INSTALL_RUNTIME) $(ELSEWHERE)
	@touch $@

$(SCAN_READY): $(READY) tests/scan-requirements.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(SCAN_VENV)
	$(BIN)/uv pip sync --quiet --require-hashes --python $(SCAN_VENV)/bin/python \
		tests/scan-requirements.txt
	@touch $@

# It is in .venv, so it is gone whenever the tools are installed again.
$(BROWSER_READY): $(READY) tests/browser-requirements.txt
	$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python \
		-r tests/browser-requirements.txt
	@touch $@

# For a test of the installation on platforms that have no wheel.
runtime-elsewhere: $(READY)
	$(NEW_FUNCTIONS_VENV)
	@$(INSTALL_RUNTIME) --offline $(ELSEWHERE) 2>/dev/null || $(INSTALL_RUNTIME) $(ELSEWHERE)

format: $(READY) ## Format the code and fix what can be fixed automatically
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

lint: $(READY) ## Check for mistakes and for unformatted code
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(READY) ## Check the types
	$(BIN)/mypy

imports: $(READY) ## Check the import rules
	PYTHONPATH=.:shared $(BIN)/lint-imports

# cfn-lint also does what `sam validate --lint` does, which runs it for one region and without
# informational rules. For regions that lack something, see tests/contract/test_regions.py.
template: $(READY) ## Check template.yaml
	$(BIN)/cfn-lint --include-checks I --regions eu-central-1 us-east-1 -- template.yaml

# Each of two processes collects all tests, which costs less than the second one saves.
TWICE := --numprocesses 2 --dist worksteal
# The layer takes half of the time. Two processes that share nothing take a quarter less time than
# two of xdist, which collect all tests and report each. Without pytest's plugin for logs, which unit
# tests do not use, a small test takes a fifth less; without files for what it prints, a tenth.
QUICK := -q --no-header -p no:logging --capture=sys -m "not thorough"
LAYER_TESTS := tests/unit/infobip_omni $(wildcard tests/unit/test_*.py)
OTHERS := $(CACHE)/unit-others.txt
unit: $(READY) ## Run the tests that need nothing but Python and take seconds
	@mkdir -p $(CACHE)
	@status=0; \
	$(BIN)/pytest $(QUICK) $(addprefix --ignore ,$(LAYER_TESTS)) tests/unit >$(OTHERS) 2>&1 & \
	others=$$!; \
	$(BIN)/pytest $(QUICK) $(LAYER_TESTS) || status=$$?; \
	wait $$others || status=$$?; \
	cat $(OTHERS); exit $$status

# The tests of a file share a deployment, and so a process; long files begin first, and short ones
# fill the end. Much of their time is waiting, so there are more processes than cores.
BY_FILE := --numprocesses 4 --dist loadfile --no-loadscope-reorder
integration: $(READY) $(FUNCTIONS_READY) ## Run the other tests: end to end and contract
	$(BIN)/pytest $(BY_FILE) -m "not thorough" tests/e2e tests/contract

test: unit integration ## Run the tests, those first that take seconds

# What the targets above leave out, and the property tests with 25 times as many examples.
thorough: $(READY) $(FUNCTIONS_READY) ## Run what is slow: matrices, large values, many examples, long waits
	$(BIN)/pytest $(TWICE) -m "thorough or hypothesis" --hypothesis-profile "many examples" tests/unit
	$(BIN)/pytest $(BY_FILE) -m thorough tests/e2e tests/contract

protocol: $(READY) ## Check the models of the protocol, and that the code agrees with them
	$(BIN)/pytest $(TWICE) tests/protocol

tools-test: $(READY) $(FUNCTIONS_READY) ## Test `make local`, its commands, what README shows of them, and the layer
	$(BIN)/pytest tests/tools

# The first prerequisite, so nothing is downloaded in vain. Without a Python that can tell, the
# second one fails, and says so.
PYTHON_NOW = $(if $(wildcard $(READY)),$(BIN)/python,"$(PYTHON)")
chromium-found:
	@! $(call is_new_enough,$(PYTHON_NOW)) || $(PYTHON_NOW) tests/browser/chromium.py

# Much of the time is waiting. The tests of a file share what they have sent.
IN_BROWSER = $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/browser
browser-test: chromium-found $(BROWSER_READY) $(FUNCTIONS_READY) ## Test the page in Chromium: CHROMIUM=path; PICTURE=1 writes .github/page.png
	@$(if $(PICTURE),PYTHONPATH=shared $(BIN)/python -m tests.browser.picture,$(IN_BROWSER))

# It divides times, so nothing else runs beside it.
chaos-test: $(READY) ## Inject faults into a few messages
	$(BIN)/pytest tests/chaos/test_chaos.py

# Runs of chaos mostly wait, so two at a time do not disturb each other, while a third would.
mutants: $(READY) ## Test that chaos notices each guard that is taken out of the system
	$(BIN)/pytest $(TWICE) tests/chaos/test_mutants.py

any-machine: $(READY) $(FUNCTIONS_READY) ## Run a copy in an odd folder, without home and network
	$(BIN)/pytest tests/any_machine

sam-test: $(READY) $(FUNCTIONS_READY) ## Test each function in a container; needs Docker
	@$(BIN)/python -m tests.sam_local.stand_in_image
	$(BIN)/pytest tests/sam_local

# It divides all times by 30: run nothing else meanwhile, or everything times out. The report is
# also a page, .local/reports/chaos.html.
chaos: $(READY) ## Inject faults into N messages: N=2000 SEED=1 MUTANT=blind-resend
	@$(if $(findstring command,$(origin CONTROL)),$(error CONTROL= is now called MUTANT=))
	@PYTHONPATH=shared $(BIN)/python -m tests.chaos.run --messages $(N) --seed $(SEED) \
		$(if $(MUTANT),--mutant $(MUTANT))

fuzz: $(READY) ## Give hostile input to every parser: MINUTES=0.5 in all, or CASES= for each
	@$(WITHOUT_AWS) PYTHONPATH=shared $(BIN)/python -m tests.fuzz --cases="$$CASES" --minutes="$$MINUTES"

# What fails soonest comes first.
check: lint imports template types test ## What must pass before a commit; CI runs more

scan: $(READY) $(SCAN_READY) ## Scan the template for weaknesses, the packages for advisories
	@$(BIN)/python -m tests.scan

demo: $(READY) $(FUNCTIONS_READY) ## Send a PUSH that fails over to SMS, all on this machine
	@$(WITHOUT_AWS) PYTHONPATH=shared $(BIN)/python -m tests.local_world.demo

local: $(READY) $(FUNCTIONS_READY) ## Keep a whole deployment running: PARAMETERS="Name=value ..." PORT= DOCKER=1
	@PYTHONPATH=shared exec $(BIN)/python -m tests.local_world up --parameters="$$PARAMETERS" --port="$$PORT" \
		$(if $(DOCKER),--docker)

# The targets below use a running `make local`. If several are running, WORLD= names one by its port.
invoke: $(READY) ## Invoke a function: FUNCTION=create_scenario EVENT=file or {"..."}
	@$(call IN_WORLD,invoke) --function="$${FUNCTION:-create_scenario}" --event="$$EVENT"

sam-local: $(READY) ## The same in a container, by SAM; needs `make local DOCKER=1`
	@exec $(call IN_WORLD,sam-local) --function="$${FUNCTION:-create_scenario}" --event="$$EVENT"

sam-start-lambda: $(READY) ## Offer Lambda's API on PORT=3001, each function in a container
	@exec $(call IN_WORLD,sam-start-lambda) --port="$$PORT"

send: $(READY) ## Put a message on the send queue: EVENT=events/send_message.json or {"..."}
	@$(call IN_WORLD,send) --event="$${EVENT:-events/send_message.json}"

find: $(READY) ## Look up MESSAGE=id, waiting UNTIL=DELIVERED; without MESSAGE, list unsettled messages
	@$(call IN_WORLD,find) --message="$$MESSAGE" --until="$$UNTIL"

dead-letter-queue: $(READY) ## List dead-lettered records; MESSAGE=id waits for one that holds this message
	@$(call IN_WORLD,dead-letter-queue) --message="$$MESSAGE"

# Only an empty DRY_RUN sends.
redrive: $(READY) ## Show which dead-lettered records would be sent again; DRY_RUN= sends them; REASON=OUTAGE
	@$(call IN_WORLD,redrive) --reason="$$REASON" $(if $(DRY_RUN),,--send)

outcome-events: $(READY) ## Take the published outcome events; MESSAGE=id waits for one about this message
	@$(call IN_WORLD,outcome-events) --message="$$MESSAGE"

simulator: $(READY) ## Control the simulated Infobip: CALL='POST faults {...}'; CALL='GET messages'
	@$(call IN_WORLD,simulator) --call="$${CALL:-GET totals}"

# Run nothing else meanwhile; ROUNDS=32 shows smaller differences. The report is also a page,
# .local/reports/bench.html, with a dot for each sample.
bench: $(READY) $(FUNCTIONS_READY) ## Measure send and pull, alternating with BASE=commit; ROW=send|pull|backlog|outcome|verdict
	@$(WITHOUT_AWS) PYTHONPATH=shared $(BIN)/python -m tests.bench --row="$$ROW" --base="$$BASE" \
		--rounds="$${ROUNDS:-8}"

capacity: $(READY) ## Compute settings, delays and costs for RATE=10e6 messages a day, or for three sizes
	@$(WITHOUT_AWS) PYTHONPATH=shared $(BIN)/python -m tests.bench.capacity --rate="$$RATE"

build: $(READY) ## Build for Lambda
	$(LOCAL_SAM) build

build-local: $(READY) $(FUNCTIONS_READY) ## Build for the emulator on this machine
	LAYER_PYTHON="$$PWD/$(FUNCTIONS_VENV)/bin/python" \
		$(LOCAL_SAM) build --config-env local

table-template: $(READY) ## Print a template of the table alone, to import a table that a deleted stack left behind
	@$(WITHOUT_AWS) $(BIN)/python -m tests.local_world.template "$$BUS"

deploy: build ## Deploy to your AWS account; asks for the parameters
	$(SAM) deploy --guided

COMPILE = $(BIN)/uv pip compile --quiet --no-annotate --generate-hashes --universal \
	--python-version 3.11 --custom-compile-command 'make lock' $(UPGRADE)
lock: $(READY) ## Rewrite the requirements.txt files; UPGRADE=--upgrade takes newer versions
	$(COMPILE) tests/requirements.in -o tests/requirements.txt
	$(COMPILE) -c tests/requirements.txt shared/requirements.in -o shared/requirements.txt
	$(COMPILE) -c tests/requirements.txt tests/browser-requirements.in -o tests/browser-requirements.txt
	$(COMPILE) tests/runtime-requirements.in -o tests/runtime-requirements.txt
	$(COMPILE) tests/scan-requirements.in -o tests/scan-requirements.txt

clean: ## Remove everything that these targets created or downloaded
	rm -rf $(VENV) $(FUNCTIONS_VENV) $(SCAN_VENV) .aws-sam .local .hypothesis .*_cache $(CACHE)
