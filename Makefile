# Bare `make` lists the targets.

PYTHON3 := $(or $(wildcard /usr/bin/python3),python3)
PYTHON := .venv/bin/python
READY := .venv/ready
TEST_READY := .venv/test-ready
PARTS_READY := .cache/parts/ready
SKIPPED := .cache/skipped
# What depends on the release of Python and its libraries; the rest tries the same kernel and engine, and takes long.
IN_DEBIAN13_TOO := tests/hostile tests/integration/bus tests/integration/sandbox tests/integration/session tests/unit
# Runs beside each other, to be done sooner; what is in no other part is in the rest.
PART_networks := tests/network
PART_users := tests/neighbours tests/profiles tests/siege
PART_sessions := tests/integration/sandbox tests/integration/service tests/integration/session
PART_rest := $(patsubst %,--ignore=%,$(PART_networks) $(PART_users) $(PART_sessions))
LAB := $(PYTHON) -m openvpn3_sessionmgr.tests.lab

# What running takes of a Debian system beside Python; the compiler and headers are for python-prctl.
APT := openvpn dbus iproute2 procps util-linux mount python3-venv gcc libc6-dev libcap-dev python3-dev libseccomp2
# What the tests take besides.
TEST_APT := man-db strace softhsm2 opensc openssl dbus-broker polkitd python3-dbusmock patchelf nftables
BENCH_APT := iperf3
# What they take and what is not installed, since it would change how this machine looks names up (tests/lab/parts.py).
TEST_PARTS := systemd-resolved libsystemd-shared openresolv resolvconf
PROGRAMS := openvpn dbus-daemon ip ps setpriv gcc
TEST_PROGRAMS := man strace softhsm2-util pkcs11-tool openssl dbus-broker-launch

# What `make fuzz` needs besides, which Debian does not have.
FUZZER := atheris>=3

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.DEFAULT_GOAL := help
# Recipes that enter the lab are single commands, so that make starts them without a shell between and its signals
# reach them.
.PHONY: help setup test-setup demo test test-here quick check generated bench denied test-debian13 packages rpm contract frontends \
  incumbent-trees engine27-tree test-engine27 comparison fuzz mutants siege faults compatibility exposure clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(READY) ## make .venv/ with the two programs in .venv/bin/ (and, as root, install what Debian packages they need)

$(READY): pyproject.toml
	@umask 022; $(MAKE) --no-print-directory system-packages PACKAGES_WANTED='$(APT)' PROGRAMS_WANTED='$(PROGRAMS)'
	@umask 022; $(PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON3) -m venv --clear .venv
	umask 022; $(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

test-setup: $(TEST_READY) $(PARTS_READY) engine27-tree

$(TEST_READY): $(READY) Makefile
	@umask 022; $(MAKE) --no-print-directory system-packages PACKAGES_WANTED='$(TEST_APT)' PROGRAMS_WANTED='$(TEST_PROGRAMS)'
	@touch $@

# Without the archive, the tests that need them are skipped.
$(PARTS_READY): Makefile
	@mkdir -p $(@D) && rm -f $(@D)/*.deb
	@if command -v apt-get >/dev/null && cd $(@D) && apt-get download -qq $(TEST_PARTS) 2>/dev/null; then touch ready; fi

.PHONY: system-packages
system-packages:
	@missing=; \
	if command -v dpkg-query >/dev/null; then \
	  for package in $(PACKAGES_WANTED); do \
	    dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q '^install ok installed' || missing="$$missing $$package"; \
	  done; \
	  test -z "$$missing" || { \
	    test $$(id -u) = 0 || { echo "Missing packages; as root: apt-get install$$missing" >&2; exit 1; }; \
	    echo "Installing$$missing"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $$missing >/dev/null; \
	  }; \
	else \
	  for program in $(PROGRAMS_WANTED); do \
	    PATH=$$PATH:/usr/sbin:/sbin command -v $$program >/dev/null || missing="$$missing $$program"; \
	  done; \
	  test -z "$$missing" || { echo "Missing programs:$$missing" >&2; exit 1; }; \
	fi

demo: setup ## a tunnel from one namespace to another, step by step (root)
	@$(LAB).enter $(PYTHON) -m openvpn3_sessionmgr.tests.lab.demo

test: test-setup ## everything: check, all tests, some of them in Debian 13 too, the contract, the front-ends (root)
	@mkdir -p .cache && rm -f $(SKIPPED) && touch $(SKIPPED)
	@$(MAKE) --no-print-directory check
	@# These wait for events most of the time and have nothing in common: side by side they take half as long.
	@OPENVPN3_SESSIONMGR_SKIPPED=$(CURDIR)/$(SKIPPED) $(MAKE) --no-print-directory --keep-going \
	  --jobs=5 --output-sync=target test-part-rest test-part-networks test-debian13 contract frontends test-part-sessions \
	  test-part-users IN_DEBIAN13='$(IN_DEBIAN13_TOO)'
	@cat $(SKIPPED); echo "All tests passed; skipped: $$(wc -l < $(SKIPPED))"

test-here: test-setup ## unit and integration tests, or those in TESTS=tests/integration/bus (root)
	@$(PYTHON) -m pytest -q $(TESTS)

test-part-%: test-setup
	@$(PYTHON) -m pytest -q $(PART_$*)

quick: test-setup ## the unit tests, in seconds
	@$(PYTHON) -m pytest -q tests/unit

check: setup ## lint, types, generated files
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy .
	@$(PYTHON) -m openvpn3_sessionmgr.packaging.generate --check
	@$(PYTHON) -m openvpn3_sessionmgr.packaging.manual --check

generated: setup ## rewrite the files made from the interface tables and command lines
	@$(PYTHON) -m openvpn3_sessionmgr.packaging.generate
	@$(PYTHON) -m openvpn3_sessionmgr.packaging.manual

bench: setup ## measure speed and memory on real sessions, beside their yardsticks; BENCH=--quick: in a minute (root)
	@$(MAKE) --no-print-directory system-packages PACKAGES_WANTED='$(BENCH_APT)' PROGRAMS_WANTED='$(BENCH_APT)'
	@$(LAB).enter $(PYTHON) -m openvpn3_sessionmgr.bench.run $(BENCH)
	@test -n '$(BENCH)' || $(LAB).debian13 --run openvpn3_sessionmgr.bench.run beside

# Every file of tests that drives sessions without breaking into them.
STORIES := session/test_life session/test_failures session/test_names session/test_races session/test_restarts \
  configuration/test_profiles service/test_resolver service/test_helpers service/test_ending network/test_settings \
  network/test_device_object configuration/test_service log/test_forwards authentication/test_password \
  authentication/test_challenges authentication/test_keys authentication/test_pending authentication/test_proxy \
  authentication/test_pkcs11 authentication/test_pkcs11_secrets

test-engine27: test-setup ## the integration and network tests with OpenVPN 2.7 as engine; SERVER=2.7, TESTS=tests/network (root)
	@ENGINE_UNDER_TEST=2.7 SERVER_UNDER_TEST=$(SERVER) $(PYTHON) -m pytest -q $(or $(TESTS),tests/integration tests/network)

comparison: test-setup incumbent-trees ## what OpenVPN 2.6, 2.7, OpenVPN 3 Linux and this make of routes and names; ROWS=block-local (root)
	@$(LAB).enter $(PYTHON) -m openvpn3_sessionmgr.tests.network.comparison $(ROWS)

denied: test-setup ## real sessions under strace: lists system calls that their confinement denied, but for those tried on purpose (root)
	@# Where the service has few capabilities, so has strace, which then cannot read what it traces.
	@$(LAB).denied $(STORIES:%=tests/integration/%.py) -k 'not few_capabilities'

test-debian13: test-setup ## the tests in a Debian 13 tree, with that release's libraries; IN_DEBIAN13=tests/unit (root)
	@$(LAB).debian13 -q $(IN_DEBIAN13)

packages: setup ## the Debian packages, built in a Debian 13 tree, installed and tried in a fresh one (root)
	@$(LAB).packages

rpm: ## an RPM package and its source, into .cache/rpm/ (needs rpmbuild)
	@mkdir -p .cache/rpm/SOURCES
	@git ls-files -z | tar --create --gzip --null --files-from=- --transform='s,^,openvpn3-sessionmgr-$(VERSION)/,S' \
	  --file=.cache/rpm/SOURCES/openvpn3-sessionmgr-$(VERSION).tar.gz
	@rpmbuild -ba --nodeps --quiet --define '_topdir $(CURDIR)/.cache/rpm' packaging/rpm/openvpn3-sessionmgr.spec
	@ls .cache/rpm/RPMS/*/*.rpm .cache/rpm/SRPMS/*.rpm

contract: test-setup incumbent-trees ## the D-Bus contract: ours, then the same with OpenVPN 3 Linux 27 and 24 (root)
	@$(PYTHON) -m pytest -q tests/contract
	@# On a busy machine the originals lose a signal now and then: what fails with them is tried a second time.
	@SESSIONS_UNDER_TEST=incumbent $(PYTHON) -m pytest -q --reruns 1 tests/contract
	@SESSIONS_UNDER_TEST=incumbent24 $(PYTHON) -m pytest -q --reruns 1 tests/contract

frontends: test-setup incumbent-trees ## the real front-ends with our service, compared with the same on the original (root)
	@$(PYTHON) -m pytest -q tests/frontends

compatibility: test-setup incumbent-trees ## what becomes of the sample profiles here and elsewhere, into docs/COMPATIBILITY.md; SAMPLES='fixtures/least …' (root)
	@$(LAB).enter $(PYTHON) -m openvpn3_sessionmgr.tests.profiles.compatibility $(SAMPLES)

exposure: setup ## what systemd-analyze misses in our unit, held against docs/SYSTEMD.md (needs systemd-analyze)
	@$(PYTHON) -m openvpn3_sessionmgr.packaging.exposure

fuzz: setup ## fuzz what reads hostile input: two minutes each under atheris (installed into .venv/), then 10 million frames
	@$(PYTHON) -c 'import atheris' 2>/dev/null || $(PYTHON) -m pip install --quiet --disable-pip-version-check '$(FUZZER)'
	@$(PYTHON) -m openvpn3_sessionmgr.tests.fuzz.run

mutants: test-setup ## change the program in 200 places, one at a time: do the tests notice? SEED=, SAMPLE=, FILES=, JOBS=2 (root)
	@$(PYTHON) -m openvpn3_sessionmgr.tests.mutants.run $(if $(SEED),--seed=$(SEED)) \
	  $(if $(SAMPLE),--sample=$(SAMPLE)) $(if $(JOBS),--jobs=$(JOBS)) $(if $(FILES),--files $(foreach one,$(FILES),'$(one)'))

siege: test-setup ## an hour of attack by five users on 300 connections: does alice notice? SEED=, MINUTES=60, BUS=dbus-daemon (root)
	@$(LAB).enter $(PYTHON) -m openvpn3_sessionmgr.tests.siege.run $(if $(SEED),--seed=$(SEED)) \
	  $(if $(MINUTES),--minutes=$(MINUTES)) $(if $(BUS),--bus=$(BUS))

faults: test-setup ## everything that can fail, at each point of a session's life, then ROUNDS=200 at random; SEED= (root)
	@$(LAB).enter $(PYTHON) -m openvpn3_sessionmgr.tests.faults.run $(if $(SEED),--seed=$(SEED)) \
	  $(if $(ROUNDS),--rounds=$(ROUNDS)) $(if $(ONLY),--only='$(ONLY)')

engine27-tree: $(TEST_READY)
	@$(LAB).engine27

incumbent-trees: setup
	@$(LAB).incumbent_tree

clean: ## remove what the other targets made in this directory
	rm -rf .venv .cache build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
