"""Scores that are not numbers end as a row with its reason."""

import dataclasses

from camtool import Experiment, LocalizeSettings, ModelSettings, Squeeze, localize, read_predictions
from camtool.pipelines.experiment import RunSettings
from camtool.pipelines.localizer import Localizer
from camtool.reports.overlay import OverlaySettings
from tests.builders import draw_pictures


def test_scores_that_are_not_finite(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    see = Localizer.run

    def broken(self, batch):
        (seen,) = see(self, batch)
        if batch[0].source.image_id != "00001":
            return [seen]
        return [dataclasses.replace(seen, scores=[float("nan")] * len(seen.scores))]

    monkeypatch.setattr(Localizer, "run", broken)
    experiment = Experiment(
        run=RunSettings(dir=tmp_path / "run"),
        model=ModelSettings(backbone="torchvision/mobilenet_v2", weights="none"),
        localize=LocalizeSettings(
            preprocess=Squeeze(size=64), overlays=OverlaySettings(enabled=False)
        ),
    )
    folder = draw_pictures(tmp_path / "pictures", 3)
    result = localize([str(folder)], experiment)
    reason = "the network's scores of it are not finite"
    assert result.skipped == ((str(folder / "00001.png"), reason),)
    assert [p.error for p in read_predictions(result.folder)] == [None, reason, None]
