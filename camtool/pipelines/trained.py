"""`--model`: settings for images seen by a network that `camtool train` made."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from camtool.errors import ModelError, shorten
from camtool.models import ModelSettings
from camtool.pipelines.experiment import Experiment, LocalizeSettings
from camtool.runs.checkpoint_store import checkpoint_folder, read_checkpoint
from camtool.settings import load_settings
from camtool.settings.yaml_text import to_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence


S = TypeVar("S", bound=BaseModel)


def with_model(model: Path, config: Path | None, overrides: Sequence[str]) -> Experiment:
    """Return the settings under which a trained network localizes.

    The network, its preprocessing, its maps and its boxes (with the threshold) are those of the
    checkpoint; what a settings file and `--set` say of `localize` goes before.

    Args:
        model: a checkpoint folder, a file in it, or a run folder of `camtool train`.
        config: a settings file; None for none.
        overrides: texts `key=value`.

    Raises:
        ModelError: no checkpoint, or a damaged one.
        SettingsError: the settings are not valid.
    """
    folder = checkpoint_folder(model)
    if folder is None:
        raise ModelError(
            f"{shorten(str(model), 200)}: no checkpoint of `camtool train` there: name the folder"
            " checkpoints/best of its run, or the run"
        )
    told = read_checkpoint(folder).get("experiment", {})
    network = _section(ModelSettings, told, "model", folder)
    trained = _section(LocalizeSettings, told, "localize", folder)
    network = network.model_copy(update={"weights": str(folder)})
    if config is None:
        return _over(network, trained, overrides)
    given = load_settings(Experiment, config, overrides)
    kept = {k: v for k, v in trained if k not in given.localize.model_fields_set}
    localize = given.localize.model_copy(update=kept)
    return given.model_copy(update={"model": network, "localize": localize})


def _over(
    network: ModelSettings, trained: LocalizeSettings, overrides: Sequence[str]
) -> Experiment:
    """Put `--set` over the checkpoint's settings, part by part."""
    held = {"model": network.model_dump(mode="json"), "localize": trained.model_dump(mode="json")}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(to_yaml(held))
        file.flush()
        return load_settings(Experiment, Path(file.name), overrides)


def _section(cls: type[S], told: Any, name: str, folder: Path) -> S:  # noqa: ANN401
    try:
        return cls.model_validate_json(json.dumps(told[name]))
    except (ValidationError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder}: its section {name} cannot be read: made by another version, or damaged"
            f" ({shorten(str(error), 200)})"
        ) from error
