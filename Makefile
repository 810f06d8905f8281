# make demo       the embedded default: trains both stages on drawn scenes and photographs (a few minutes), opens the chat in
#                 the browser; `python -m minigpt4 demo` does the same where there is no make
# make test       unit and parity tests on CPU; sets .venv up first (again whenever the lists of packages change)
# make test-all   the slow ones too
# make lint       ruff and mypy
# make parts      the embedded default's tiny parts from scratch, into output/parts (about two CPU hours; DATA names the folder
#                 with photos/); VARIANT=1 holds out other combinations. If interrupted, it continues where it stopped
# make docs       rewrites docs/config.md and docs/schema/ from the dataclasses

PYTHON ?= python3
VENV ?= .venv
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE = 1
# bytecode is written for what is imported, instead of for every file at installation: half the time of the set-up
unexport PYTHONDONTWRITEBYTECODE

READY = $(VENV)/.ready
# where there is no card, the CPU build of torch, a tenth of the size of the one with CUDA
CPU_WHEELS = https://download.pytorch.org/whl/cpu
CPU_BUILD = about 410 MB to download, the CPU build of torch among them
WHOLE_BUILD = packages come from the index that pip is set to; on Linux its torch may be the build with CUDA, 3 GB or more

.PHONY: setup demo stages test test-all lint parts docs

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@wheels=""; build="$(WHOLE_BUILD)"; \
	if ! command -v nvidia-smi >/dev/null && $(PYTHON) -c "import urllib.request as u; u.urlopen('$(CPU_WHEELS)/torch/', timeout=5)" \
		2>/dev/null; then wheels="--extra-index-url $(CPU_WHEELS)"; build="$(CPU_BUILD)"; fi; \
	echo "setting up $(VENV): $$build"; \
	$(VENV)/bin/pip install --no-compile --disable-pip-version-check -c constraints.txt $$wheels -e ".[dev]"
	touch $@

demo: setup
	$(VENV)/bin/python demo.py $(DEMO)

# both stages of the embedded default without the page; if interrupted, they continue where they stopped
stages: setup
	$(VENV)/bin/minigpt4 demo --train-only

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
		--vocab-size 1600 --output $@ --options datasets.scene_words.max_samples=6000 $(WORDS)

# again on what is learned late: what two images have in common, then images of which it is not sure what they show, and any noun.
# Invented words help to learn reading; nobody should ever hear one, so they leave the finished part
$(PARTS)/language_model: | $(PARTS)/tokenizer
	$(TRAIN)/parts_language_model.yaml --options run.output_dir=$(RUNS)/language_model \
		model.llm.tokenizer=$(PARTS)/tokenizer $(WORDS)
	$(TRAIN)/parts_language_model.yaml --options run.output_dir=$(RUNS)/language_model_again \
		model.ckpt=$(RUNS)/language_model datasets.scene_words.same_share=0.5 datasets.scene_words.seed=3 \
		run.init_lr=1.5e-3 run.iters_per_epoch=800 run.warmup_steps=50 model.llm.tokenizer=$(PARTS)/tokenizer $(WORDS)
	$(TRAIN)/parts_language_model.yaml --options run.output_dir=$(RUNS)/language_model_third \
		model.ckpt=$(RUNS)/language_model_again datasets.scene_words.same_share=0.25 datasets.scene_words.doubt=0.5 \
		datasets.scene_words.fresh_nouns=0.7 datasets.scene_words.seed=4 run.init_lr=1.5e-3 run.iters_per_epoch=2000 \
		run.warmup_steps=50 model.llm.tokenizer=$(PARTS)/tokenizer $(WORDS)
	$(CUT) --from $(RUNS)/language_model $(RUNS)/language_model_again $(RUNS)/language_model_third --target $@ \
		--forget-invented-words

# the photographs of DATA/photos are asked for here and nowhere else
$(PARTS)/vision_q_former: | setup
	$(TRAIN)/parts_vision_q_former.yaml --options run.output_dir=$(RUNS)/vision_q_former $(DRAWN)
	$(TRAIN)/parts_vision_q_former.yaml --options run.output_dir=$(RUNS)/vision_q_former_again \
		model.ckpt=$(RUNS)/vision_q_former run.iters_per_epoch=1800 run.init_lr=8e-4 run.warmup_steps=30 \
		datasets.labelled_photographs.outliers=0.2 datasets.labelled_photographs.sample_ratio=7.5 \
		datasets.labelled_photographs.seed=1 datasets.drawn_scenes.sample_ratio=2.5 datasets.drawn_scenes.seed=1 $(DRAWN)
	$(CUT) --from $(RUNS)/vision_q_former $(RUNS)/vision_q_former_again --target $@

docs: setup
	$(VENV)/bin/minigpt4 configs docs
