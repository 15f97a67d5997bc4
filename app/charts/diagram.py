"""How a prediction is made, as a graph in the DOT language with the shapes of the clip that is shown."""

from __future__ import annotations

from collections.abc import Mapping

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
    lines = [STYLE]

    def node(name: str, text: str, shape: tuple[int, ...] | None, fill: str) -> None:
        size = "" if shape is None else f"\\n{' × '.join(f'{count:,}' for count in shape)}"
        lines.append(f'"{name}" [label="{_escaped(text)}{size}", fillcolor="{fill}"];')

    node("fused", _("Interleaved by time"), shapes["fused"], SHARED)
    for modality in (each for each in MODALITIES if each in prediction.used):
        fill, name = FILLS[modality], wording.name(modality)
        node(
            f"features {modality}",
            _("{name}: steps × features").format(name=name),
            shapes[f"features {modality}"],
            fill,
        )
        node(f"encoded {modality}", _("encoded"), shapes[f"encoded {modality}"], fill)
        lines.append(f'"features {modality}" -> "encoded {modality}";')
        last = f"encoded {modality}"
        if modality != prediction.anchor:
            anchor = wording.name(prediction.anchor).lower()
            node(f"plan {modality}", _("plan to {anchor}").format(anchor=anchor), shapes[f"plan {modality}"], fill)
            node(
                f"transported {modality}",
                _("carried to {anchor}").format(anchor=anchor),
                shapes[f"transported {modality}"],
                fill,
            )
            lines.append(f'"{last}" -> "plan {modality}" -> "transported {modality}";')
            lines.append(f'"encoded {prediction.anchor}" -> "plan {modality}" [style=dotted, constraint=false];')
            last = f"transported {modality}"
        lines.append(f'"{last}" -> "fused";')
    node("mamba", _("{count} Mamba layers").format(count=fusion_layers), shapes["fused"], SHARED)
    node("pooled", _("mean over tokens"), shapes["fused"][1:], SHARED)
    node("score", _("Score") + " " + wording.signed(prediction.score), None, SHARED)
    likeliest = max(prediction.classes, key=prediction.classes.__getitem__)
    node("classes", _("Classes: {likeliest}").format(likeliest=_(likeliest)), shapes["classes"], SHARED)
    lines.append('"fused" -> "mamba" -> "pooled"; "pooled" -> "score"; "pooled" -> "classes";')
    return "digraph {" + " ".join(lines) + "}"


def described(shapes: Mapping[str, tuple[int, ...]], prediction: Prediction) -> str:
    """Say the graph in a sentence, for who cannot see it."""
    senses = [wording.name(modality) for modality in wording.DISPLAY_ORDER if modality in prediction.used]
    return _(
        "{senses} are encoded, carried to {anchor} by transport plans, interleaved into {tokens} tokens of width "
        "{width}, read by Mamba layers and averaged into a score of {score}."
    ).format(
        senses=wording.join(senses),
        anchor=wording.name(prediction.anchor).lower(),
        tokens=shapes["fused"][0],
        width=shapes["fused"][1],
        score=wording.signed(prediction.score),
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
