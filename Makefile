# Each target makes the environment that it needs by itself, on a machine that has Python 3.11 or newer and nothing else.
# What a target does stands in scripts/dev.py.

PYTHON ?= python3
ARGS ?=
DEV = @$(PYTHON) scripts/dev.py

.PHONY: help setup demo test check compiled bench instructions torture fuzz format lock compatibility clean

help:     ; $(DEV) help
setup:    ; $(DEV) setup
demo:     ; $(DEV) demo $(ARGS)
test:     ; $(DEV) test $(ARGS)
check:    ; $(DEV) check
compiled: ; $(DEV) compiled
bench:    ; $(DEV) bench $(ARGS)
torture:  ; $(DEV) torture $(ARGS)
fuzz:     ; $(DEV) fuzz $(ARGS)
instructions: ; $(DEV) instructions
format:   ; $(DEV) format
lock:     ; $(DEV) lock $(ARGS)
compatibility: ; $(DEV) compatibility
clean:    ; $(DEV) clean
