"""The figures of results/amx as one picture, results/speed.svg; the same bytes every time."""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
import report
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

mpl.use("svg")
STYLE = {
    "svg.hashsalt": "glagol",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
}
OURS, OURS_FP32, THEIRS, THEIRS_INT8 = "#0b6e4f", "#7fb69f", "#8a8a8a", "#c4c4c4"
ENGINES = {
    "onnx-asr fp32": THEIRS,
    "onnx-asr int8": THEIRS_INT8,
    "glagol fp32": OURS_FP32,
    "glagol int8": OURS,
}
Rows = dict[str, dict[str, float]]


def figures(name: str) -> dict[str, Any]:
    """What a benchmark stored last."""
    stored = report.RESULTS / "amx" / f"{name}.json"
    found: dict[str, Any] = json.loads(stored.read_text())["figures"]
    return found


def grouped(axes: Axes, groups: dict[str, Rows], colours: dict[str, str], key: str) -> None:
    """Bars side by side: a group each, `key` of every row, its value written on it."""
    width = 0.8 / len(colours)
    for number, (name, colour) in enumerate(colours.items()):
        places = [group + (number - (len(colours) - 1) / 2) * width for group in range(len(groups))]
        values = [rows[name][key] for rows in groups.values()]
        bars = axes.bar(places, values, width * 0.92, color=colour, label=name)
        axes.bar_label(bars, [f"{value:g}" for value in values], padding=1, fontsize=8)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.tick_params(axis="x", length=0)


def main() -> None:
    """Draw and store."""
    files, long, encoder, rnnt = map(figures, ("files", "longform_v3", "encoder", "rnnt"))
    with mpl.rc_context(STYLE):
        picture, (left, middle, right) = plt.subplots(
            1, 3, figsize=(11, 3.4), layout="constrained", width_ratios=[4, 3, 2.4]
        )
        groups = {"files of 20 s": files["vs_fp32"], "5 min, same chunks": long["equal"]["vs_fp32"]}
        if "default" in long:
            groups["5 min, its own VAD"] = long["default"]["vs_fp32"]
        grouped(left, groups, ENGINES, "ratio_processor_best")
        left.set_title("file to text, times faster than onnx-asr fp32")
        left.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
        lengths = {f"{s} s": encoder[f"{s} s, 2 threads"] for s in (10, 20, 25)}
        own = {"upstream": THEIRS, "fp32": OURS_FP32, "int8": OURS}
        grouped(middle, lengths, own, "ratio_processor_best")
        middle.set_title("encoder, times faster than upstream")
        middle.legend(frameon=False, fontsize=8, loc="upper left", ncols=3)
        ways = {"upstream": THEIRS, "cached": THEIRS_INT8, "alone": OURS_FP32, "batch": OURS}
        values = [rnnt[name]["us_per_frame_best"] for name in ways]
        names = ["upstream", "onnx-asr", "alone", "8 at once"]
        bars = right.bar(names, values, color=list(ways.values()))
        right.bar_label(bars, [f"{value:.0f}" for value in values], padding=1, fontsize=8)
        right.tick_params(axis="x", length=0, labelsize=8)
        right.set_title("RNN-T, µs a frame")
        for axes in (left, middle, right):
            axes.set_yticks([])
            axes.set_ylim(0, axes.get_ylim()[1] * 1.2)  # room for the legend
            axes.spines["left"].set_visible(False)
        picture.savefig(report.RESULTS / "speed.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
