# The verbs of a developer, the same at home and in CI. A fresh machine needs Python 3.10 or later, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

export OMP_NUM_THREADS ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count())")

.PHONY: setup demo test test-page test-ray check bench gallery tutorial kernels clean

setup: $(VENV)/.dev

demo: $(VENV)/.demo
	$(BIN)/python docs/demo.py

test: check $(VENV)/.driver
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 10

# The page in the system's Chromium, which is installed where there is none.
test-page: $(VENV)/.page
	command -v chromium >/dev/null || (apt-get update && apt-get install --yes --no-install-recommends chromium)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/serve/page

# On a local Ray, which is half a gigabyte.
test-ray: $(VENV)/.dev $(VENV)/.ray
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/ray

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	mkdir -p build/types/edgefill
	cd build/types/edgefill && ln -sfn ../../../edgefill/* ../../../export ../../../kernels .
	$(BIN)/mypy

# Of the completion network; the first is the bundled model. An hour or two where they are not there yet.
WIDTHS := $(patsubst %,runs/faces64-glcic%,16 8 32)

runs/faces64-glcic%: | $(VENV)/.bench
	$(BIN)/edgefill train ../shared/data/faces64/train --out $@ --model glcic --filters $* --lr-decay 0.6 \
		--completion-steps 9000 --discriminator-steps 200 --joint-steps 800

MIGAN := runs/migan.edgefill

$(MIGAN): | $(VENV)/.bench
	$(BIN)/edgefill import ../shared/data/migan/migan_pipeline_v2.onnx --out $@

# Hands in 128×128, as docs/training.md has them: two hours where they are not there yet.
HANDS128 := runs/hands128.edgefill

$(HANDS128): | $(VENV)/.bench
	$(BIN)/edgefill train ../shared/data/hands/train --out runs/hands128 --size 128 --filters 16 --augment \
		--no-mirror --generator-updates 1 --epochs 160 --lr-decay 0.4 --seed 3
	$(BIN)/edgefill train runs/hands128 --stage encoder --no-mirror --steps 3200
	$(BIN)/edgefill export runs/hands128 --out $@ --weights fp16

CONTENDERS := photos-cpu,migan-cpu,migan-openvino,smooth-cpu,telea,navier-stokes,biharmonic,harmonic
PIPELINES := pipeline-white,pipeline-black

# Every method on the Kodak pictures: a page of pictures and figures.
gallery: $(VENV)/.bench $(MIGAN)
	$(BIN)/python -m benchmarks.photographs --model $(MIGAN) --model photos --model smooth --backends cpu,openvino \
		--contenders $(CONTENDERS),$(PIPELINES) --sets kodak --no-large --name gallery
	PYTHONPATH=. $(BIN)/python docs/gallery.py --model $(MIGAN)

# The figures of docs/tutorial.md: a few minutes on one core.
tutorial: $(VENV)/.bench
	$(BIN)/python docs/tutorial

bench: $(VENV)/.bench $(WIDTHS) $(MIGAN) $(HANDS128)
	$(BIN)/python -m benchmarks.step --name step
	$(BIN)/python -m benchmarks.step --model faces64 --name step-faces64
	$(BIN)/python -m benchmarks.step --model faces64 --graph fit --name fit-faces64
	$(BIN)/python -m benchmarks.time_to_quality --pictures 200 --name time-to-quality \
		--chart docs/images/time-to-quality.png
	$(BIN)/python -m benchmarks.time_to_quality --pictures 64 --name masks --no-eager \
		--mask random,left,grid,lowres,pattern,file
	$(BIN)/python -m benchmarks.time_to_quality --pictures 64 --name time-to-quality-hands64 \
		--model hands64 --mask center,random
	$(BIN)/python -m benchmarks.time_to_quality --pictures 64 --name features-faces64 --no-reference \
		--mask center,random,left,grid,lowres,pattern
	$(BIN)/python -m benchmarks.time_to_quality --pictures 64 --name features-hands64 --no-reference \
		--model hands64 --mask center,random,left,grid,lowres,pattern
	$(BIN)/python -m benchmarks.sizes --model hands64 --model $(HANDS128) --model smooth --pictures 200 \
		--networks 64:32,128:16,128:32,256:16 --name sizes --sheet out/sizes.png
	$(BIN)/python -m benchmarks.foreign --pictures 96 --masks center,random,left --name foreign-faces64
	$(BIN)/python -m benchmarks.foreign --pictures 96 --masks center,random,left --name foreign-hands64 --model hands64
	$(BIN)/python -m benchmarks.command --name command
	$(BIN)/python -m benchmarks.one_pass $(WIDTHS) --name one-pass --chart docs/images/one-pass-quality.png
	$(BIN)/python -m benchmarks.photographs --model $(MIGAN) --backends cpu,openvino --name photographs \
		--sheet out/photographs.png --strip docs/images/kodak-strip.png
	$(BIN)/python -m benchmarks.gradients --name gradients
	$(BIN)/python -m benchmarks.serve --pictures 200 --rounds 3 --name serve
	$(BIN)/python -m benchmarks.serve --model $(MIGAN) --folder ../shared/data/photos/kodak --pictures 24 --rounds 3 \
		--requests 200 --backend openvino --name serve-migan

kernels: $(VENV)/.dev
	$(BIN)/python -m edgefill.kernels.compile

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The stub driver and, on it, the pycuda that the tests of the GPU path use: half a minute, once.
$(VENV)/.driver: $(VENV)/.dev $(wildcard tests/driver/*.py tests/driver/libcuda/* tests/kernels/host/* kernels/*.cu*)
	$(BIN)/python -m tests.driver.build
	@touch $@

# One stamp per set of extras: it is remade when what it installs changes.
$(VENV)/.%: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[$*]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info out
