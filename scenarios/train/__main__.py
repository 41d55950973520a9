"""Rebuild every model in scenarios/models and the picture, and print the mean IoU reached.

Needs the extra `train`. On the same machine with the same TensorFlow every run writes the same
bytes: one thread, fixed seeds, deterministic kernels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from .edit import misaligned_buffers, op_names
from .picture import write_picture
from .quantize import run_int8, to_int8
from .scenes import CLASSES, Scene, scenes
from .score import by_colour_alone, iou_per_class
from .small_models import SMALL_MODELS
from .unet import predict, to_float, train, unet

SEED = 1
FIRST_HELD_OUT_SEED = 1_000_000
CALIBRATION_SCENES = 100
PICTURED = 4
ROOT = Path(__file__).parents[2]


def main() -> None:
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    options.models.mkdir(parents=True, exist_ok=True)
    for name, build in SMALL_MODELS.items():
        _write(options.models / f"{name}.tflite", build(SEED))

    known = scenes(0, options.scenes)
    unseen = scenes(FIRST_HELD_OUT_SEED, options.held_out)
    tf.keras.utils.set_random_seed(SEED)
    network = unet()
    started = time.perf_counter()
    train(network, known.image, known.classes, options.epochs, SEED)
    print(f"trained in {time.perf_counter() - started:.0f} s")

    model = to_int8(network, _calibration(known.image))
    _write(options.models / "drone_seg.tflite", model)
    found = np.argmax(run_int8(model, to_float(unseen.image).numpy()), axis=-1).astype(np.uint8)
    print(f"IoU on {options.held_out} scenes not trained on:")
    _print_iou("colour alone", by_colour_alone(known, unseen.image), unseen)
    _print_iou("float", predict(network, unseen.image), unseen)
    _print_iou("int8", found, unseen)

    shown = [i for i, truth in enumerate(unseen.classes) if len(np.unique(truth)) == len(CLASSES)]
    shown = shown[:PICTURED]
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    write_picture(options.picture, Scene(unseen.image[shown], unseen.classes[shown]), found[shown])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scenarios.train", description=__doc__)
    parser.add_argument("--scenes", type=int, default=3600, help="scenes to train on")
    parser.add_argument("--held-out", type=int, default=256, help="scenes to judge by")
    parser.add_argument("--epochs", type=int, default=13)
    parser.add_argument("--models", type=Path, default=ROOT / "scenarios" / "models")
    picture = ROOT / "docs" / "images" / "drone_seg.png"
    parser.add_argument("--picture", type=Path, default=picture)
    return parser.parse_args()


def _calibration(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Float scenes for the ranges; one corner goes from black to white, so that 0..1 is covered."""
    samples = to_float(images[:CALIBRATION_SCENES]).numpy()
    samples[0, 0, 0], samples[0, 0, 1] = 0.0, 1.0
    return samples


def _write(path: Path, model: bytes) -> None:
    """Write a model, say what is in it.

    Raises ValueError if a buffer is not aligned.
    """
    if wrong := misaligned_buffers(model):
        raise ValueError(f"{path}: buffers {wrong} do not start at a multiple of 16")
    path.write_bytes(model)
    kinds = ", ".join(sorted(set(op_names(model))))
    print(f"{path.name}: {len(model)} bytes, {len(op_names(model))} ops: {kinds}", flush=True)


def _print_iou(name: str, found: NDArray[np.uint8], truth: Scene) -> None:
    iou = iou_per_class(found, truth.classes)
    each = ", ".join(f"{kind} {value:.3f}" for kind, value in zip(CLASSES, iou, strict=True))
    print(f"  {name:12} mean {iou.mean():.3f} ({each})", flush=True)


if __name__ == "__main__":
    main()
