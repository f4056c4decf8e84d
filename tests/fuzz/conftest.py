"""Puts this folder on the path: the targets are shared with `run.py`, which is no test."""

import sys
from pathlib import Path

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.append(FOLDER)
