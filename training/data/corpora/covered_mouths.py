"""Covered mouths: real faces with drawn masks, cloths, hands and microphones, to fit `extractors.vision.covering`.

`python -m training.data.corpora.covered_mouths DATA` writes the weights, and how faces of the source that was left out
are told, to training/results/mouth_cover.json. Shapes, sizes and colours of what is drawn are our own choice.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from extractors.media.probe import decode_frames
from extractors.vision import covering
from extractors.vision.landmarks import find_all, landmarker, mesh_near
from training.data.corpora.faces import BORDER, ENLARGED
from training.reporting.result_files import ROOT, write

Kind = Literal["none", "mask", "cloth", "hand", "microphone"]
KINDS: tuple[Kind, ...] = ("mask", "cloth", "hand", "microphone")
STILL_STEP = 4  # every how manieth peak expression is used
FRAMES = 2  # of a clip, at two a second
FACE_SIDE = 320  # pixels of a face with its surroundings
SKIN_TINT = np.array([1.0, 0.82, 0.70])  # RGB of grey faces that are coloured
INVERSE_STRENGTH = 0.003  # of the penalty
SEED = 1111

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
FOREHEAD, CHIN, NOSE_TIP, LIPS, BRIDGE, CHEEKS = 10, 152, 4, (13, 14), (6, 197, 195, 5, 4), (50, 280, 117, 346)
MASKS = ((173, 216, 230), (245, 245, 245), (25, 25, 28), (40, 60, 110), (120, 20, 30), (200, 180, 160))  # RGB
MICROPHONES = ((20, 20, 22), (60, 60, 65), (120, 120, 125), (30, 30, 30), (180, 30, 30), (30, 60, 160))


@dataclass(frozen=True)
class Axes:
    """A face's own axes: its height in pixels, unit vectors up and to its right in the image, and the mouth."""

    height: float
    up: np.ndarray
    right: np.ndarray
    mouth: np.ndarray

    @classmethod
    def of(cls, mesh: np.ndarray) -> Axes:
        """Measure a mesh of (478, 2) pixels."""
        height = float(np.linalg.norm(mesh[FOREHEAD] - mesh[CHIN]))
        up = (mesh[FOREHEAD] - mesh[CHIN]) / height
        return cls(height, up, np.array([-up[1], up[0]]), mesh[list(LIPS)].mean(axis=0))


def covered(image: np.ndarray, mesh: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """Draw a cover of a kind on a face."""
    axes = Axes.of(mesh)
    mask = np.zeros(image.shape[:2], np.uint8)
    places = np.clip(mesh[list(CHEEKS)].astype(int), 0, np.array(image.shape[1::-1]) - 1)
    skin = np.median(image[places[:, 1], places[:, 0]], axis=0)
    if kind == "mask":
        colours = _mask(mask, mesh, axes, skin, rng)
    elif kind == "cloth":
        colours = _cloth(mask, axes, rng)
    elif kind == "hand":
        colours = _hand(mask, axes, skin, rng)
    else:
        colours = _microphone(mask, axes, rng)
    if kind != "hand":
        colours = colours * np.clip(skin.mean() / 170, 0.4, 1.2)  # the light of the picture
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.6, axes.height * rng.uniform(0.002, 0.012)))[..., None] / 255.0
    return np.clip(image * (1 - soft) + colours * soft, 0, 255).astype(np.uint8)


def _mask(mask: np.ndarray, mesh: np.ndarray, axes: Axes, skin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From the bridge of the nose over the cheeks to below the chin."""
    edge = rng.uniform(-0.02, 0.06) * axes.height
    low = [index for index in OVAL if np.dot(mesh[index] - mesh[NOSE_TIP], axes.up) < edge]
    cheeks = mesh[list(CHEEKS[:2])] + rng.normal(0, 0.02, (2, 2)) * axes.height
    points = np.concatenate([mesh[low], mesh[[rng.choice(BRIDGE)]], cheeks])
    middle = points.mean(axis=0)
    points = middle + (points - middle) * rng.uniform(0.85, 1.1)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.int32)), 255)
    usual = [*MASKS, skin * rng.uniform(0.7, 1.15), rng.uniform(0, 255, 3)]
    return _texture(mask.shape, np.asarray(usual[rng.integers(len(usual))]), rng, folds=0.5, pattern=0.25)


def _cloth(mask: np.ndarray, axes: Axes, rng: np.random.Generator) -> np.ndarray:
    across, along = rng.uniform(0.25, 0.55) * axes.height, rng.uniform(0.18, 0.32) * axes.height
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    points = np.array([axes.mouth + axes.right * across * x + axes.up * along * y for x, y in corners])
    cv2.fillConvexPoly(mask, points.astype(np.int32), 255)
    return _texture(mask.shape, rng.uniform(0, 255, 3), rng, folds=0.25, pattern=0.25)


def _hand(mask: np.ndarray, axes: Axes, skin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three to five fingers of the face's own skin, shaded to their edges."""
    colour = np.clip(skin * rng.uniform(0.75, 1.15) + rng.normal(0, 6, 3), 0, 255)
    colours = _texture(mask.shape, colour, rng, folds=0.0, pattern=0.0)
    angle = rng.uniform(-0.6, 0.6) + rng.choice([0.0, np.pi / 2, np.pi / 2])
    along = axes.right * np.cos(angle) + axes.up * np.sin(angle)
    across = np.array([-along[1], along[0]])
    count, thick = int(rng.integers(3, 6)), rng.uniform(0.085, 0.13) * axes.height
    for finger in range(count):
        middle = axes.mouth + across * (finger - (count - 1) / 2) * thick * rng.uniform(0.95, 1.1)
        length = rng.uniform(0.3, 0.5) * axes.height
        ends = [middle - along * length, middle + along * length * rng.uniform(0.8, 1.2)]
        line = np.zeros_like(mask)
        cv2.line(line, _pixel(ends[0]), _pixel(ends[1]), 255, max(2, int(1.05 * thick)))
        depth = np.clip(cv2.distanceTransform(line, cv2.DIST_L2, 3) / (thick / 2), 0, 1)
        colours[line > 0] *= (0.6 + 0.4 * np.sqrt(depth[line > 0]))[:, None]
        mask |= line
    if rng.random() < 0.5:
        cv2.circle(mask, _pixel(ends[0]), int(1.3 * thick), 255, -1)  # the palm
    return colours


def _microphone(mask: np.ndarray, axes: Axes, rng: np.random.Generator) -> np.ndarray:
    """A head in front of the lips on a stick from below."""
    radius = rng.uniform(0.16, 0.27) * axes.height
    middle = axes.mouth + (axes.right * rng.normal(0, 0.03) - axes.up * rng.uniform(-0.02, 0.1)) * axes.height
    end = middle + (axes.right * rng.normal(0, 0.5) - 1.2 * axes.up) * axes.height
    size = (float(2 * radius), float(2 * radius * rng.uniform(0.9, 1.4)))
    cv2.ellipse(mask, (tuple(map(float, middle)), size, float(rng.uniform(0, 180))), 255, -1)
    cv2.line(mask, _pixel(middle), _pixel(end), 255, max(2, int(radius * rng.uniform(0.5, 1.1))))
    colours = _texture(mask.shape, np.asarray(MICROPHONES[rng.integers(len(MICROPHONES))]), rng, folds=0.0, pattern=0.5)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    shine = ((x - middle[0] + 0.3 * radius) ** 2 + (y - middle[1] + 0.3 * radius) ** 2) / (0.5 * radius**2)
    return np.asarray(colours + 35 * rng.random() * np.exp(-shine)[..., None])


def _texture(
    shape: tuple[int, ...], colour: np.ndarray, rng: np.random.Generator, *, folds: float, pattern: float
) -> np.ndarray:
    """Return a colour that fades to one side, with folds or a pattern by these chances, and grain."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, kind = rng.uniform(0, np.pi), rng.random()
    fade = ((x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle)) / max(height, width)
    colours = np.tile(np.float32(colour), (height, width, 1)) + 2 * rng.uniform(-25, 25) * fade[..., None]
    if kind < folds:
        colours += rng.uniform(3, 14) * np.sin(2 * np.pi * y / rng.uniform(8, 30) + rng.uniform(0, 6))[..., None]
    elif kind < folds + pattern:
        waves = np.sin(2 * np.pi * x / rng.uniform(5, 25)) * np.sin(2 * np.pi * y / rng.uniform(5, 25))
        colours += (waves > 0)[..., None] * rng.uniform(-60, 60, 3)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), rng.uniform(0.6, 3))
    return np.asarray(colours + rng.uniform(0, 8) * (grain / grain.std())[..., None], float)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _spoilt(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, darken, grey, compress, tint or expose an image too long or too short, or leave it."""
    choice = rng.integers(8)
    if choice == 0:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2))
    if choice == 1:
        return np.clip(image * rng.uniform(0.4, 1.3) + rng.uniform(-20, 20), 0, 255).astype(np.uint8)
    if choice == 5:
        return np.clip(image.astype(float) + rng.uniform(40, 130), 0, 255).astype(np.uint8)
    if choice == 6:
        return (image * rng.uniform(0.08, 0.4)).astype(np.uint8)
    if choice == 2:
        return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if choice == 3:
        return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 70))])[1], 1)
    return np.clip(image * rng.uniform(0.8, 1.2, 3), 0, 255).astype(np.uint8) if choice == 4 else image


def _sources(data: Path, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (corpus, RGB image)."""
    for file in sorted((data / "faces" / "ck48").rglob("*.png"))[::STILL_STEP]:
        image = cv2.resize(cv2.imread(str(file)), (ENLARGED, ENLARGED), interpolation=cv2.INTER_CUBIC)
        image = cv2.copyMakeBorder(image, *[BORDER] * 4, cv2.BORDER_REPLICATE)
        tint = SKIN_TINT * rng.uniform(0.8, 1.1) if rng.random() < 0.7 else 1.0
        yield "ck", np.clip(image * tint, 0, 255).astype(np.uint8)
    clips = [*sorted((data / "clips").rglob("*.m[p][4g]")), *sorted((ROOT / "app" / "samples").glob("*.webm"))]
    for corpus, files in (("javanese", sorted((data / "av").rglob("*.mp4"))), ("clips", clips)):
        for file in files:
            for _, image in itertools.islice(decode_frames(file, 2.0, report=lambda note: None), FRAMES):
                yield corpus, image


def examples(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Describe faces with and without covers.

    Returns:
        Descriptions (examples, columns), kinds and corpora (examples,).
    """
    rng = np.random.default_rng(SEED)
    rows: list[np.ndarray] = []
    kinds: list[str] = []
    corpora: list[str] = []
    with landmarker(still=True) as still:
        for corpus, source in tqdm(_sources(data, rng), desc="faces", unit="image"):
            found = find_all(still, source)
            if not found:
                continue
            box = found[0].box
            x, y = (max(0, int(middle - box.side)) for middle in box.centre)
            image = source[y : y + 2 * int(box.side), x : x + 2 * int(box.side)]
            scale = FACE_SIDE / max(image.shape[:2])
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            again = find_all(still, image)
            mesh = mesh_near(still, image, again[0].box) if again else None
            if mesh is None:
                continue
            for kind in ("none", "none", *rng.choice(KINDS, 2, replace=False)):
                shown = _spoilt(image if kind == "none" else covered(image, mesh, kind, rng), rng)
                faces = find_all(still, shown)
                if faces:
                    rows.append(covering.description(shown, faces[0].anchors))
                    kinds.append(str(kind))
                    corpora.append(corpus)
    return np.array(rows), np.array(kinds), np.array(corpora)


def fit(rows: np.ndarray, is_covered: np.ndarray) -> tuple[np.ndarray, float]:
    """Return weights and bias of the log odds, with both classes counting alike."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    model = LogisticRegression(C=INVERSE_STRENGTH, class_weight="balanced", max_iter=500, tol=1e-3)
    model.fit((rows - mean) / deviation, is_covered)
    weights = model.coef_[0] / deviation
    return weights, float(model.intercept_[0] - weights @ mean)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Fit the model that tells covered mouths.")
    parser.add_argument("data", type=Path, help="folder with faces/ck48, av and clips")
    data = parser.parse_args().data
    rows, kinds, corpora = examples(data)
    results = []
    for left_out in sorted(set(corpora)):
        weights, bias = fit(rows[corpora != left_out], kinds[corpora != left_out] != "none")
        scores = rows @ weights + bias
        for kind in ("none", *KINDS):
            these = scores[(corpora == left_out) & (kinds == kind)]
            share = float((these >= covering.COVERED).mean())
            results.append({"left_out": left_out, "kind": kind, "n": len(these), "told_covered": round(share, 4)})
            print(results[-1], flush=True)
    weights, bias = fit(rows, kinds != "none")
    save_file({"weights": weights.astype(np.float32), "bias": np.array([bias], np.float32)}, covering.WEIGHTS)
    command = "python -m training.data.corpora.covered_mouths DATA"
    print(write("mouth_cover", command, results, seeds=[SEED], folder=ROOT / "training" / "results"))


if __name__ == "__main__":
    main()
