"""The model as a graph in the DOT language, with the tensor shapes of one prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alignmamba.modality import MODALITIES, Modality
from alignmamba.prediction import Prediction
from app.i18n import wording
from app.i18n.translate import _

# Filled boxes with dark text, grey lines: they read on light and on dark pages.
FILLS = {Modality.AUDIO: "#cfe3f5", Modality.VIDEO: "#d3eee8", Modality.LANGUAGE: "#fbe3cf"}
SHARED = "#e6dcf6"
STYLE = (
    'bgcolor="transparent"; rankdir=TB; nodesep=0.25; ranksep=0.3; '
    'node [shape=box, style="rounded,filled", color="#808080", fontcolor="#1a1a1a", fontname="sans-serif", '
    'fontsize=12, margin="0.14,0.07"]; edge [color="#808080", fontcolor="#808080", fontname="sans-serif", fontsize=10];'
)


def dot(shapes: Mapping[str, tuple[int, ...]], prediction: Prediction, *, fusion_layers: int) -> str:
    """Write the graph.

    Args:
        shapes: As `Predictor.shapes` measures them.
        prediction: Of the same modalities.
        fusion_layers: Mamba layers of the fusion.

    Returns:
        A digraph; every text in it is the screen's own.
    """
    likeliest = max(prediction.classes, key=prediction.classes.__getitem__)
    lines = [
        STYLE,
        _node("fused", _("Interleaved by time"), shapes["fused"], fill=SHARED),
        *(line for each in MODALITIES if each in prediction.used for line in _modality(each, shapes, prediction)),
        _node("mamba", _("{count} Mamba layers").format(count=fusion_layers), shapes["fused"], fill=SHARED),
        _node("pooled", _("mean over tokens"), shapes["fused"][1:], fill=SHARED),
        _node("score", _("Score") + " " + wording.signed(prediction.score), None, fill=SHARED),
        _node("classes", _("Classes: {likeliest}").format(likeliest=_(likeliest)), shapes["classes"], fill=SHARED),
        '"fused" -> "mamba" -> "pooled"; "pooled" -> "score"; "pooled" -> "classes";',
    ]
    return "digraph {" + " ".join(lines) + "}"


def _modality(modality: Modality, shapes: Mapping[str, tuple[int, ...]], prediction: Prediction) -> Iterator[str]:
    """Yield nodes and edges from a modality's features to the fused sequence."""
    fill, anchor = FILLS[modality], wording.name(prediction.anchor).lower()
    title = _("{name}: steps × features").format(name=wording.name(modality))

    def node(stage: str, text: str) -> str:
        return _node(f"{stage} {modality}", text, shapes[f"{stage} {modality}"], fill=fill)

    yield node("features", title)
    yield node("encoded", _("encoded"))
    yield f'"features {modality}" -> "encoded {modality}";'
    if modality == prediction.anchor:
        yield f'"encoded {modality}" -> "fused";'
        return
    yield node("plan", _("plan to {anchor}").format(anchor=anchor))
    yield node("transported", _("transported to {anchor}").format(anchor=anchor))
    yield f'"encoded {modality}" -> "plan {modality}" -> "transported {modality}";'
    yield f'"encoded {prediction.anchor}" -> "plan {modality}" [style=dotted, constraint=false];'
    yield f'"transported {modality}" -> "fused";'


def _node(name: str, text: str, shape: tuple[int, ...] | None, *, fill: str) -> str:
    size = "" if shape is None else f"\\n{' × '.join(f'{count:,}' for count in shape)}"
    return f'"{name}" [label="{_escaped(text)}{size}", fillcolor="{fill}"];'


def described(shapes: Mapping[str, tuple[int, ...]], prediction: Prediction) -> str:
    """Return the alt text of the graph."""
    modalities = [wording.name(modality) for modality in wording.DISPLAY_ORDER if modality in prediction.used]
    return _(
        "{modalities} are encoded, transported to {anchor} by transport plans, interleaved into {tokens} tokens of "
        "width {width}, processed by Mamba layers and averaged into a score of {score}."
    ).format(
        modalities=wording.join(modalities),
        anchor=wording.name(prediction.anchor).lower(),
        tokens=shapes["fused"][0],
        width=shapes["fused"][1],
        score=wording.signed(prediction.score),
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
