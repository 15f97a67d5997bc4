"""The page of licences, docs/licences.md, written from what is installed (`make licences`).

Run `python -m deploy.licences`. Versions are shown of the packages that are pinned; the others follow from them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution

from deploy.packages import ROOT, needed, pinned, version_of
from extractors.assets.registry import ASSETS
from training.reporting.markdown import table

PAGE = ROOT / "docs" / "licences.md"
UNSTATED = "not stated"
LONGEST_NAME = 60  # characters; what is longer is a licence's text

RESEARCH_ONLY = {
    "opensmile": "audEERING research licence: commercial use needs a licence from audEERING",
}
"""Packages whose metadata name a freer licence than their text, which binds."""

PARTS = {
    "weights in `checkpoints/alignmamba-open`": "research use only, as the data below",
    "CMU-MOSI, MELD, Stanford Sentiment Treebank, snippets (text)": "their publishers' terms; taken as research",
    "RAVDESS (audio)": "CC BY-NC-SA 4.0",
    "SAVEE, EmoDB (audio)": "research",
    "ASED (audio)": "none stated: research",
    "TurEV (audio)": "GPL",
    "CK+ (video)": "its publisher's terms: research",
    "168 clips of seven people (audio and video)": "sound MIT; video states none: research",
}
"""What the weights were made from, and the weights; the model card has the details."""

MODELS = {
    "face_landmarker": ("MediaPipe's face landmarker", "Apache-2.0"),
    "minilm": ("all-MiniLM-L6-v2", "Apache-2.0"),
    "whisper_base": ("Whisper base (OpenAI), converted by Systran", "MIT"),
    "voices": ("CAM++ for voices, Chinese and English (3D-Speaker, Alibaba)", "Apache-2.0"),
}
"""Model file of `extractors.assets` -> its name and licence."""

OTHERS = {
    "our code": "MIT (`LICENSE`)",
    "portraits of Eileen Collins (NASA) and Grace Hopper (US Navy) in the samples": "public domain",
    "voice of the samples, synthesised with hibari-tts": "Apache-2.0",
    "FFmpeg in the wheels of PyAV and OpenCV": "LGPL, in part GPL",
    "NVIDIA's CUDA libraries, only with torch's CUDA build": "NVIDIA's own licences (proprietary)",
}

_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


# Stated by the licence file that a package brings, and not by its metadata.
_FROM_FILES = {"praatio": "MIT", "pympi-ling": "MIT"}


def licence_of(package: Distribution) -> str:
    """A package's licence from its metadata: the SPDX expression, else the licence's name, else the classifiers."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    name = (metadata.get("License") or "").strip()
    if name and "\n" not in name and len(name) <= LONGEST_NAME and not name.startswith("Copyright"):
        return _SPDX.get(name, name)
    classifiers = [line for line in metadata.get_all("Classifier") or () if line.startswith("License ::")]
    names = [line.rpartition(" :: ")[2] for line in classifiers]
    return " AND ".join(_SPDX.get(name, name) for name in names) or _FROM_FILES.get(package.name, UNSTATED)


def rows(packages: Iterable[tuple[str, Distribution]]) -> list[tuple[str, str, str]]:
    """Name, version where it is pinned, and licence of packages."""
    exact = pinned()
    return [
        (name, version_of(package) if name in exact else "", RESEARCH_ONLY.get(name) or licence_of(package))
        for name, package in packages
    ]


def page() -> str:
    """The page's text.

    Raises:
        PackageNotFoundError: If a package is not installed.
        KeyError: If a model file has no entry in `MODELS`.
    """
    every = [row for row in rows(needed().items()) if not re.match(r"(nvidia|cuda)-|triton$", row[0])]
    bound = [row for row in every if row[0] in RESEARCH_ONLY]
    free = [row for row in every if row[0] not in RESEARCH_ONLY]
    models = [MODELS[name] for name in ASSETS]
    sections = {
        "Research use only": table(("part", "licence"), [*PARTS.items(), *((row[0], row[2]) for row in bound)]),
        "Model files": table(("part", "licence"), models),
        "Code, samples and libraries inside packages": table(("part", "licence"), list(OTHERS.items())),
        "Packages": table(("package", "version", "licence"), free),
    }
    head = (
        "# Licences\n\nWritten by `make licences` from what is installed; do not edit. What binds most comes first: "
        "with its weights or with\nopenSMILE, the app is for research only.\n"
    )
    return head + "".join(f"\n## {title}\n\n{content}" for title, content in sections.items())


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
