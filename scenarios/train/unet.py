"""A small U-Net for aerial scenes and its training; the skips that live long are its point."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.keras import layers

from .scenes import CLASSES, HEIGHT, WIDTH

CHANNELS = (8, 16, 32)
BOTTLENECK = 64
BATCH = 16
PEAK_RATE = 4e-3


def unet() -> tf.keras.Model:
    """Three levels down, a bottleneck, three levels up; logits [80, 120, 5] from RGB in 0..1."""
    image = layers.Input((HEIGHT, WIDTH, 3), name="image")
    x, skips = image, []
    for channels in CHANNELS:
        x = _two_convolutions(x, channels, f"down{channels}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"pool{channels}")(x)
    x = _two_convolutions(x, BOTTLENECK, "bottom")
    for channels, skip in zip(reversed(CHANNELS), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(channels, 2, strides=2, name=f"enlarge{channels}")(x)
        x = layers.Concatenate(name=f"join{channels}")([skip, x])
        x = _two_convolutions(x, channels, f"up{channels}")
    return tf.keras.Model(image, layers.Conv2D(len(CLASSES), 1, name="logits")(x), name="drone_seg")


def train(
    model: tf.keras.Model,
    images: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    epochs: int,
    seed: int,
) -> None:
    """Fit the model to scenes, mirrored at random, with Adam and a rate that rises, then falls."""
    rng = np.random.default_rng(seed)
    steps = len(images) // BATCH
    optimizer = tf.keras.optimizers.Adam(_rate(epochs * steps))
    loss_of = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(batch: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(truth, model(batch, training=True))
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    for epoch in range(epochs):
        order = rng.permutation(len(images))[: steps * BATCH].reshape(steps, BATCH)
        losses = []
        for chosen in order:
            batch, truth = _mirrored(rng, images[chosen], classes[chosen])
            losses.append(float(step(to_float(batch), tf.constant(truth))))
        print(f"  epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}", flush=True)


def predict(model: tf.keras.Model, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class of every pixel, [n, 80, 120]."""
    logits = [model(to_float(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
    return np.argmax(np.concatenate(logits), axis=-1).astype(np.uint8)


def to_float(images: NDArray[np.uint8]) -> tf.Tensor:
    """RGB bytes to 0..1, so that the int8 input is the byte less 128."""
    return tf.constant(images.astype(np.float32) / 255)


def _two_convolutions(x: tf.Tensor, channels: int, name: str) -> tf.Tensor:
    for part in (f"{name}a", f"{name}b"):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"{part}_conv")(x)
        x = layers.BatchNormalization(momentum=0.95, name=f"{part}_norm")(x)
        x = layers.ReLU(name=part)(x)
    return x


def _rate(steps: int) -> tf.keras.optimizers.schedules.LearningRateSchedule:
    """Up to the peak over a tenth of the steps, then down along a cosine."""
    warm = steps // 10
    return tf.keras.optimizers.schedules.CosineDecay(
        PEAK_RATE / 20, steps - warm, warmup_target=PEAK_RATE, warmup_steps=warm, alpha=0.01
    )


def _mirrored(
    rng: np.random.Generator, images: NDArray[np.uint8], classes: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The batch mirrored up and down, left and right, or not."""
    down, across = rng.choice((1, -1), 2)
    return images[:, ::down, ::across], classes[:, ::down, ::across]
