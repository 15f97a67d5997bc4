"""Folders that tests read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "app"
SAMPLES = APP / "samples"
DATA = ROOT.parent / "shared" / "data"  # what models are measured on; not part of the project, may be missing
