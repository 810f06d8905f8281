# make demo       the embedded default: draws scenes, trains both stages (a few minutes), opens the chat in the browser
# make test       unit and parity tests on CPU; sets .venv up first (again whenever the lists of packages change)
# make test-all   the slow ones too
# make lint       ruff and mypy
# make parts      the embedded default's tiny parts from scratch, into output/parts (about two CPU hours); VARIANT=1 holds
#                 out other combinations. If interrupted, it continues where it stopped
# make docs       rewrites docs/config.md and docs/schema/ from the dataclasses

PYTHON ?= python3
VENV ?= .venv
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE = 1
# bytecode is written for what is imported, instead of for every file at installation: half the time of the set-up
unexport PYTHONDONTWRITEBYTECODE

READY = $(VENV)/.ready

.PHONY: setup demo stages test test-all lint parts docs

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: stages
	$(VENV)/bin/python demo.py $(DEMO)

# both stages of the embedded default; if interrupted, they continue where they stopped
stages: setup
	test -e output/scenes || $(VENV)/bin/minigpt4 data scenes --output output/scenes
	$(VENV)/bin/python train.py --resume --cfg-path train_configs/minigpt4_scenes_stage1.yaml
	$(VENV)/bin/python train.py --resume --cfg-path train_configs/minigpt4_scenes_stage2.yaml

test: setup
	$(VENV)/bin/python -m pytest

test-all: setup
	$(VENV)/bin/python -m pytest -m "slow or not slow"

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy minigpt4

VARIANT ?= 0
PARTS ?= output/parts$(VARIANT:0=)
RUNS = $(PARTS)/runs
TRAIN = $(VENV)/bin/python train.py --resume --cfg-path train_configs
CUT = $(VENV)/bin/minigpt4 weights parts
WORDS = datasets.scene_words.held_out_variant=$(VARIANT)
DRAWN = datasets.drawn_scenes.held_out_variant=$(VARIANT)

parts: $(PARTS)/vision_q_former $(PARTS)/language_model

$(PARTS)/tokenizer: | setup
	$(VENV)/bin/minigpt4 data tokenizer --cfg-path train_configs/parts_language_model.yaml --scene-words \
		--vocab-size 1000 --output $@ --options datasets.scene_words.max_samples=3000 $(WORDS)

# twice, the second time from where the first ended, on other lessons: looking up a noun comes late, and what the falling
# learning rate left out is found after a second warm-up
$(PARTS)/language_model: | $(PARTS)/tokenizer
	$(TRAIN)/parts_language_model.yaml --options run.output_dir=$(RUNS)/language_model \
		model.llm.tokenizer=$(PARTS)/tokenizer $(WORDS)
	$(TRAIN)/parts_language_model.yaml --options run.output_dir=$(RUNS)/language_model_again \
		model.ckpt=$(RUNS)/language_model run.iters_per_epoch=2400 datasets.scene_words.seed=3 \
		model.llm.tokenizer=$(PARTS)/tokenizer $(WORDS)
	$(CUT) --from $(RUNS)/language_model $(RUNS)/language_model_again --target $@

$(PARTS)/language_model_a: | $(PARTS)/tokenizer
	$(TRAIN)/parts_language_model_a.yaml --options run.output_dir=$(RUNS)/language_model_a \
		model.llm.tokenizer=$(PARTS)/tokenizer $(WORDS)
	$(CUT) --from $(RUNS)/language_model_a --target $@

$(PARTS)/vision_q_former_labels: | setup
	$(TRAIN)/parts_vision_q_former.yaml --options run.output_dir=$(RUNS)/vision_q_former_labels $(DRAWN)
	$(CUT) --from $(RUNS)/vision_q_former_labels --target $@ --dtype fp32

# through a language model that nobody chats with, as BLIP-2's were
$(PARTS)/vision_q_former: | $(PARTS)/vision_q_former_labels $(PARTS)/language_model_a
	$(TRAIN)/parts_vision_q_former_words.yaml --options run.output_dir=$(RUNS)/vision_q_former $(DRAWN) \
		model.vision.weights=$(PARTS)/vision_q_former_labels model.resampler.weights=$(PARTS)/vision_q_former_labels \
		model.llm.weights=$(PARTS)/language_model_a
	$(CUT) --from $(RUNS)/vision_q_former_labels $(RUNS)/vision_q_former --target $@

docs: setup
	$(VENV)/bin/minigpt4 configs docs
