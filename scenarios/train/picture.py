"""The picture in the documentation: scenes, their true classes, and what the int8 model finds."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from .scenes import CLASSES, Scene

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Patch

COLOURS = np.array(
    [
        [0.33, 0.34, 0.40],
        [0.80, 0.27, 0.22],
        [0.24, 0.53, 0.27],
        [0.23, 0.48, 0.78],
        [0.89, 0.81, 0.62],
    ]
)


def write_picture(path: Path, shown: Scene, found: NDArray[np.uint8]) -> None:
    """One scene a row: the image, the truth, the prediction; the classes below."""
    rows = len(shown.image)
    figure, axes = plt.subplots(rows, 3, figsize=(9.0, 2.08 * rows + 0.7), layout="constrained")
    for row, pictures in enumerate(zip(shown.image, shown.classes, found, strict=True)):
        image, truth, guess = pictures
        for column, picture in enumerate((image, COLOURS[truth], COLOURS[guess])):
            axes[row, column].imshow(picture, interpolation="nearest")
            axes[row, column].set_axis_off()
    for column, title in enumerate(("scene", "truth", "int8 prediction")):
        axes[0, column].set_title(title, fontsize=12)
    patches = [
        Patch(facecolor=colour, edgecolor="0.4", label=name)
        for name, colour in zip(CLASSES, COLOURS, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(CLASSES), frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
