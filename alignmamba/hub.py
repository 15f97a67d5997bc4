"""The model on Hugging Face's hub: `from_pretrained`, `save_pretrained` and `push_to_hub`.

A local folder needs no network. A checkpoint folder is transferred as `alignmamba.checkpoint` writes it; weights are
read from safetensors only, where the hub's own class would fall back to a pickle.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin, snapshot_download

from alignmamba import checkpoint
from alignmamba.calibration import CALIBRATION
from alignmamba.checkpoint import WEIGHTS, CheckpointError
from alignmamba.config import CONFIG, ENCODER_FOLDER, EXTRACTORS_ENCODER, ModelConfig, read_json
from alignmamba.modeling.model import AlignMamba

CARD = "README.md"
FILES = (CONFIG, WEIGHTS, CALIBRATION, CARD, f"{ENCODER_FOLDER}/*.json", f"{ENCODER_FOLDER}/*.safetensors")
CARD_TEMPLATE = """---
{{ card_data }}
---

# AlignMamba

Text, audio and video, aligned by optimal transport and MMD and fused by Mamba (Li et al., CVPR 2025).

**State here first what the weights may be used for:** weights that were trained on research-only data are for research
only. Load them with `alignmamba.hub.HubAlignMamba.from_pretrained`; `config.json` holds the schema of the features that
a clip must have.
"""


class HubAlignMamba(
    AlignMamba,
    PyTorchModelHubMixin,
    library_name="alignmamba",
    license="other",
    tags=["multimodal-sentiment-analysis", "mamba"],
    model_card_template=CARD_TEMPLATE,
):
    """`AlignMamba` with the hub's methods and the checkpoint that it was loaded from.

    Attributes:
        folder: Where it was loaded from; None for a model that was not loaded, which cannot be saved here.
        trained: The checkpoint there.

    >>> model = HubAlignMamba.from_pretrained("checkpoints/alignmamba-open")
    >>> model.config.order == model.trained.model.config.order
    True
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.folder: Path | None = None
        self.trained: checkpoint.Checkpoint | None = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> HubAlignMamba:
        """Load a checkpoint from a folder or, by its name, from the hub.

        Args:
            pretrained_model_name_or_path: A folder, or "owner/name" on the hub.
            **kwargs: Of the hub (`revision`, `token`, `cache_dir`, `local_files_only`, `force_download`), and `schema`:
                `FeatureSchema.to_dict()` of the features that the model is to read.

        Raises:
            CheckpointError: If there is no usable checkpoint, or it was trained on other features than `schema`.
        """
        local = Path(pretrained_model_name_or_path)
        if local.exists():  # the hub's class reads the config before `checkpoint.load` can refuse it
            _check_config(local / CONFIG)
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"checkpoint: {CONFIG} of {pretrained_model_name_or_path} is damaged ({error}); fetch it again"
            ) from error

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        schema: Mapping[str, Any] | None = None,
        config: object = None,  # read again, and checked, by `checkpoint.load`
        **download: Any,
    ) -> HubAlignMamba:
        folder = Path(model_id)
        if not folder.is_dir():
            folder = Path(snapshot_download(model_id, allow_patterns=list(FILES), **download))
        trained = checkpoint.load(folder)
        if schema is not None:
            checkpoint.check_schema(schema, trained.schema, whose="the clip")
        model = cls(trained.model.config)
        model.load_state_dict(trained.model.state_dict())
        model.folder, model.trained = folder, trained
        return model.eval()

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """Write a checkpoint folder: weights, settings, encoder, card, and the calibration if the weights are the same.

        Args:
            save_directory: Created if it does not exist.
            **kwargs: Of the hub.

        Raises:
            CheckpointError: If the model was not loaded, and so knows no feature schema.
        """
        if self.trained is None:
            raise CheckpointError(
                "checkpoint: this model knows no feature schema; write it with alignmamba.checkpoint.save, which asks "
                "for one, and load it from there"
            )
        return super().save_pretrained(save_directory, **kwargs)

    def _save_pretrained(self, save_directory: Path) -> None:
        source, trained = self.folder, self.trained
        assert source is not None and trained is not None  # `save_pretrained` refuses a model that was not loaded
        calibrated = (source / CALIBRATION).read_bytes() if trained.calibration is not None else None
        before = checkpoint.weights_sha256(source)
        checkpoint.save(save_directory, self, schema=trained.schema, training=trained.training)
        if calibrated is not None and checkpoint.weights_sha256(save_directory) == before:
            (save_directory / CALIBRATION).write_bytes(calibrated)
        if save_directory.resolve() == source.resolve():
            return
        if trained.encoder != EXTRACTORS_ENCODER:  # also a shared one: what is pushed must be whole
            shutil.copytree(trained.encoder, save_directory / ENCODER_FOLDER, dirs_exist_ok=True)
        if (source / CARD).exists():
            shutil.copyfile(source / CARD, save_directory / CARD)


def _check_config(path: Path) -> None:
    try:
        read_json(path)
    except (ValueError, OSError) as error:
        raise CheckpointError(f"checkpoint: {path}: {error}; fetch it again") from error
