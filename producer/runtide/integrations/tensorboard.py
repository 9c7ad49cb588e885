"""A `SummaryWriter` with the methods of `torch.utils.tensorboard`'s: its scripts need another import only.

from runtide.integrations.tensorboard import SummaryWriter
"""
# ruff: noqa: ARG002 - the signatures are the library's

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import runtide
from runtide._run import Run
from runtide.integrations import going_on, harmless
from runtide.media import Audio, Figure, Histogram, Image, Object3D, Table, Video


class SummaryWriter:
    """Scalars, texts, histograms and hyperparameters are kept; pictures, sound and the like are described.

    `run`: the run to write to, else the current one, else a new one with the name of `log_dir`, which ends with
    `close`. Nothing is written into `log_dir`. A step that is not given counts up.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
        *,
        run: Run | None = None,
        **init: Any,
    ) -> None:
        self.log_dir = os.fspath(log_dir) if log_dir is not None else "runs"
        found = run if run is not None else going_on()
        self._is_own = found is None
        name = os.path.basename(self.log_dir.rstrip("/")) + comment
        self.run: Run = found if found is not None else runtide.init(**{"name": name, **init})
        if purge_step is not None:
            self.run.config["purge_step"] = purge_step  # which points a relaunch supersedes is known without it

    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: Any = None, walltime: float | None = None,
        new_style: bool = False, double_precision: bool = False,
    ) -> None:  # fmt: skip
        """Always in double precision."""
        self.run.log({tag: scalar_value}, step=global_step, timestamp=walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None, walltime: float | None = None
    ) -> None:
        """As `main_tag/tag`."""
        values = {f"{main_tag}/{tag}": value for tag, value in tag_scalar_dict.items()}
        self.run.log(values, step=global_step, timestamp=walltime)

    def add_histogram(
        self, tag: str, values: Any, global_step: Any = None, bins: Any = "tensorflow", walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:  # fmt: skip
        """Its mean, deviation, extremes and quantiles as metrics, its bins in the summary."""
        self._log(tag, lambda: Histogram(values, num_bins=max_bins or 64), global_step, walltime)

    def add_histogram_raw(
        self, tag: str, min: float, max: float, num: float, sum: float, sum_squares: float,  # noqa: A002
        bucket_limits: Any, bucket_counts: Any, global_step: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        edges = [min, *bucket_limits[:-1], max]
        self._log(tag, lambda: Histogram(np_histogram=(bucket_counts, edges)), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None) -> None:
        """Into the summary; the newest one stays."""
        self.run.summary[tag] = str(text_string)

    def add_hparams(
        self, hparam_dict: Mapping[str, Any], metric_dict: Mapping[str, Any], hparam_domain_discrete: Any = None,
        run_name: str | None = None, global_step: Any = None,
    ) -> None:  # fmt: skip
        """Hyperparameters are config, metrics are metrics and in the summary."""
        with harmless(self.run, "SummaryWriter"):
            self.run.config.update(hparam_dict)
            self.run.log(metric_dict, step=global_step)
            self.run.summary.update({name: float(value) for name, value in metric_dict.items()})

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        self._log(tag, lambda: _image(img_tensor, dataformats), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        self._log(tag, lambda: _image(img_tensor, dataformats), global_step, walltime)

    def add_image_with_boxes(
        self, tag: str, img_tensor: Any, box_tensor: Any, global_step: Any = None, walltime: float | None = None,
        rescale: float = 1, dataformats: str = "CHW", labels: Any = None,
    ) -> None:  # fmt: skip
        self._log(tag, lambda: _image(img_tensor, dataformats), global_step, walltime)

    def add_figure(
        self, tag: str, figure: Any, global_step: Any = None, close: bool = True, walltime: float | None = None
    ) -> None:
        several = figure if isinstance(figure, list) else [figure]
        self._log(tag, lambda: [Figure(each) for each in several], global_step, walltime)
        if close:
            with harmless(self.run, "SummaryWriter"):
                from runtide.integrations import library

                for each in several:
                    library("matplotlib.pyplot", "matplotlib").close(each)

    def add_video(
        self, tag: str, vid_tensor: Any, global_step: Any = None, fps: float = 4, walltime: float | None = None
    ) -> None:
        self._log(tag, lambda: Video(vid_tensor, fps=fps), global_step, walltime)

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: Any = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        self._log(tag, lambda: Audio(snd_tensor, sample_rate=sample_rate), global_step, walltime)

    def add_mesh(
        self, tag: str, vertices: Any, colors: Any = None, faces: Any = None, config_dict: Any = None,
        global_step: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        self._log(tag, lambda: Object3D(vertices), global_step, walltime)

    def add_embedding(
        self, mat: Any, metadata: Any = None, label_img: Any = None, global_step: Any = None, tag: str = "default",
        metadata_header: Any = None,
    ) -> None:  # fmt: skip
        self._log(tag, lambda: Object3D(mat, caption="embedding"), global_step, None)

    def add_tensor(self, tag: str, tensor: Any, global_step: Any = None, walltime: float | None = None) -> None:
        self._log(tag, lambda: Object3D(tensor, caption="tensor"), global_step, walltime)

    def add_pr_curve(
        self, tag: str, labels: Any, predictions: Any, global_step: Any = None, num_thresholds: int = 127,
        weights: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        """Precision over recall as a table."""
        from runtide.media import plot

        self._log(tag, lambda: plot.pr_curve_of_scores(labels, predictions), global_step, walltime)

    def add_pr_curve_raw(
        self, tag: str, true_positive_counts: Any, false_positive_counts: Any, true_negative_counts: Any,
        false_negative_counts: Any, precision: Any, recall: Any, global_step: Any = None, num_thresholds: int = 127,
        weights: Any = None, walltime: float | None = None,
    ) -> None:  # fmt: skip
        def table() -> Table:
            rows = [list(row) for row in zip(_list(recall), _list(precision), strict=True)]
            return Table(["recall", "precision"], rows)

        self._log(tag, table, global_step, walltime)

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """The model as it prints itself, in the summary."""
        self.run.summary["graph"] = str(model)

    def add_onnx_graph(self, prototxt: Any) -> None:
        self.run.summary["graph"] = str(prototxt)

    def add_custom_scalars(self, layout: Any) -> None:
        """Nothing: pages are arranged by their readers."""

    def add_custom_scalars_marginchart(self, tags: Any, category: str = "default", title: str = "untitled") -> None:
        """Likewise."""

    def add_custom_scalars_multilinechart(self, tags: Any, category: str = "default", title: str = "untitled") -> None:
        """Likewise."""

    def get_logdir(self) -> str:
        return self.log_dir

    def flush(self) -> None:
        """Nothing: what was added is in the journal."""

    def close(self) -> None:
        """Finish the run if the writer began it."""
        if self._is_own:
            self.run.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if self._is_own:
            self.run.__exit__(exc_type, exc_val, exc_tb)

    def _log(self, tag: str, make: Any, step: Any, walltime: float | None) -> None:
        with harmless(self.run, "SummaryWriter"):
            self.run.log({tag: make()}, step=step, timestamp=walltime)


def _image(tensor: Any, dataformats: str) -> Image:
    """With the size that `dataformats` says."""
    image = Image(None)
    sizes = dict(zip(dataformats, map(int, tensor.shape), strict=True))
    image.facts |= {"width": sizes.get("W"), "height": sizes.get("H"), "count": sizes.get("N")}
    return image


def _list(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)
