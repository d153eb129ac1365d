# segcli: two commands do everything on a fresh machine with python3 and make:
#   make demo   installs segcli in .venv and runs the six stages on sample_data/
#   make test   installs the development tools too and runs the tests
#
# Your own data, with the same targets (each is a file: what is up to date is not made again):
#   make run RUN=runs/shop INTERACTIONS=orders.csv ITEMS=products.csv COMPONENTS=10 K=8
# With REQUIRE=supported or REQUIRE=recommended it stops before the report unless the verdict is that.
#   make label RUN=runs/march INTERACTIONS=march.csv SEGMENTS_FROM=runs/shop

PYTHON ?= python3
VENV ?= .venv
OLDEST = .venv-oldest
SEGCLI = $(VENV)/bin/segcli

RUN ?= demo
INTERACTIONS ?= sample_data/stars.csv
ITEMS ?= $(if $(filter sample_data/%,$(INTERACTIONS)),sample_data/items.csv)
WEIGHTING ?= pearson
SCORE_NORM ?=
COMPONENTS ?= 6
K ?= 6
K_MAX ?= 20
SEGMENT_NAMES ?=
SEGMENT_NAMES_FROM ?=
SEGMENTS_FROM ?=
REQUIRE ?=
INGEST_OPTIONS ?=

.PHONY: demo run label changed test check oldest bench lock clean
.DELETE_ON_ERROR:
.NOTPARALLEL:  # a run directory is one stage's at a time, and cluster notes what explore-k said

$(if $(filter-out supported recommended,$(REQUIRE)),\
  $(error REQUIRE is '$(REQUIRE)': it can be supported or recommended))

$(if $(filter label,$(MAKECMDGOALS)),$(if $(SEGMENTS_FROM),,\
  $(error SEGMENTS_FROM is empty: name the run directory whose segments they are)))

$(foreach name,RUN INTERACTIONS ITEMS SEGMENT_NAMES SEGMENT_NAMES_FROM SEGMENTS_FROM,$(if $(word 2,x$($(name))x),\
  $(error $(name) is '$($(name))': make takes no spaces in it. Rename it, or use segcli run)))

demo: run
	@echo "Open $(RUN)/report.html"

run: $(RUN)/report.html

label: $(RUN)/labels.csv

# --- the six stages -------------------------------------------------------------------------------

# What takes the place of a file may be older than what was made of that: one of last month, or a run directory
# from an archive. Its size tells.
SIZES := $(shell find -L $(INTERACTIONS) $(ITEMS) -type f -exec wc -c {} + 2>/dev/null | sort | cksum)

# A link to an earlier run may lead to another one now.
led_to = $(if $(1),$(shell readlink -f $(1) | cksum))

# A choice is an empty file named after it: another choice makes another file, which is newer.
chosen = $(RUN)/.chosen/$(1)
INGESTED = $(call chosen,ingest-$(subst /,_,$(subst $() ,_,$(INTERACTIONS)-$(ITEMS)-$(INGEST_OPTIONS)-$(SIZES))))
WEIGHTED = $(call chosen,weighting-$(WEIGHTING)-$(SCORE_NORM))
SWEPT = $(call chosen,sweep-$(COMPONENTS)-$(K_MAX))
CLUSTERED = $(call chosen,cluster-$(COMPONENTS)-$(K))
NAMED = $(call chosen,names-$(subst /,_,$(subst $() ,_,$(SEGMENT_NAMES)-$(SEGMENT_NAMES_FROM)-$(call led_to,$(SEGMENT_NAMES_FROM)))))
LABELLED = $(call chosen,labels-$(subst /,_,$(subst $() ,_,$(SEGMENTS_FROM)-$(call led_to,$(SEGMENTS_FROM)))))
MET = $(if $(REQUIRE),$(call chosen,require-$(REQUIRE)))
EARLIER = $(addprefix $(SEGMENT_NAMES_FROM)/,$(if $(SEGMENT_NAMES_FROM),segments.csv segment_summary.csv))
OTHERS = $(if $(SEGMENTS_FROM),$(SEGMENTS_FROM)/segments.csv $(wildcard $(SEGMENTS_FROM)/segment_summary.csv))

$(RUN)/.chosen/%:
	@mkdir -p $(@D)
	@rm -f $(@D)/$(firstword $(subst -, ,$*))-*
	@touch '$@'

# A folder is as old as its list of files, whatever is written into one of them.
CHANGED = $(if $(shell find -L $(INTERACTIONS) $(ITEMS) -newer $(RUN)/matrix.npz 2>/dev/null),changed)

$(RUN)/matrix.npz: $(INTERACTIONS) $(ITEMS) $(INGESTED) $(CHANGED) | $(SEGCLI)
	$(SEGCLI) ingest $(INTERACTIONS) $(RUN) $(if $(ITEMS),--items $(ITEMS)) $(INGEST_OPTIONS)

$(RUN)/pca.joblib: $(RUN)/matrix.npz $(WEIGHTED)
	$(SEGCLI) explore-pca $(RUN) --weighting $(WEIGHTING) $(if $(SCORE_NORM),--score-norm $(SCORE_NORM))

$(RUN)/k_scores.csv: $(RUN)/pca.joblib $(SWEPT)
	$(SEGCLI) explore-k $(RUN) --n-components $(COMPONENTS) --k-max $(K_MAX)

$(RUN)/segmentation.joblib: $(RUN)/pca.joblib $(CLUSTERED)
	$(SEGCLI) cluster $(RUN) --n-components $(COMPONENTS) --n-clusters $(K)

$(RUN)/validation.json: $(RUN)/segmentation.joblib
	$(SEGCLI) validate $(RUN)

# On another verdict than the one required make stops here. It keeps validation.json, which is no target of this rule;
# as the target is not made, the next make run validates, and says so, again.
$(call chosen,require-$(REQUIRE)): $(RUN)/segmentation.joblib $(RUN)/k_scores.csv
	$(SEGCLI) validate $(RUN) --require $(REQUIRE)
	@touch '$@'

# Names first: without them nothing is run.
$(RUN)/report.html: $(SEGMENT_NAMES) $(EARLIER) $(RUN)/k_scores.csv $(MET) $(RUN)/validation.json $(NAMED)
	$(SEGCLI) report $(RUN) $(if $(SEGMENT_NAMES),--segment-names $(SEGMENT_NAMES)) \
	  $(if $(SEGMENT_NAMES_FROM),--segment-names-from $(SEGMENT_NAMES_FROM))

# The segments of another run, for the customers of this one; of its stages no more than ingest goes before.
$(RUN)/labels.csv: $(OTHERS) $(RUN)/matrix.npz $(LABELLED)
	$(SEGCLI) label $(RUN) --segments-from $(SEGMENTS_FROM)

# --- installing -----------------------------------------------------------------------------------

# pip before 25.1 knows no dependency groups.
$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --upgrade 'pip>=25.1'

$(SEGCLI): $(VENV)/bin/pip pyproject.toml requirements.lock
	$(VENV)/bin/pip install --quiet --constraint requirements.lock --editable .
	@touch $(SEGCLI)

$(VENV)/.dev: $(SEGCLI)
	$(VENV)/bin/pip install --quiet --constraint requirements.lock --group dev
	@touch $(VENV)/.dev

$(VENV)/.spark: $(VENV)/.dev
	$(VENV)/bin/pip install --quiet --constraint requirements.lock --editable '.[spark,java]'
	@touch $(VENV)/.spark

$(VENV)/.bench: $(SEGCLI)
	$(VENV)/bin/pip install --quiet --constraint requirements.lock --group bench
	@touch $(VENV)/.bench

# --- developing -----------------------------------------------------------------------------------

# Without Spark: its tests say why they are skipped.
test: $(VENV)/.dev
	$(VENV)/bin/pytest -n auto --dist loadgroup

# format, lint, types, layers, the package without the development tools, tests and README; with Spark
check: $(VENV)/.spark
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	.ci/check-package
	$(VENV)/bin/pytest -n auto --dist loadgroup

# The tests with the oldest versions that pyproject.toml allows, in an environment of their own; ten minutes.
oldest: $(VENV)/bin/pip
	$(VENV)/bin/pip install --quiet uv
	$(VENV)/bin/uv venv --quiet --clear --python 3.11 $(OLDEST)
	$(VENV)/bin/uv pip install --quiet --python $(OLDEST) --resolution lowest-direct --editable . --group dev
	$(OLDEST)/bin/pytest -n auto --dist loadgroup

# What segcli costs beside scripts that do the same; on a machine with nothing else to do, a quarter of an hour.
bench: $(VENV)/.bench
	$(VENV)/bin/python benchmarks/pipeline.py --size movielens-1m --seeds 0 1 2 --repeats 1
	$(VENV)/bin/python benchmarks/sweep.py --size movielens-1m
	$(VENV)/bin/python benchmarks/pca.py --size movielens-1m --seeds 0 1 2
	$(VENV)/bin/python benchmarks/ingest.py --size 2m

# The versions that demo, test and check install; run after changing a bound in pyproject.toml.
lock: $(VENV)/.dev
	$(VENV)/bin/pip install --quiet uv
	$(VENV)/bin/uv pip compile pyproject.toml --group dev --extra spark --extra java --universal --upgrade --quiet \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --output-file requirements.lock

clean:
	rm -rf $(VENV) $(OLDEST) demo runs build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
