"""Four small int8 models for tests, trained for seconds to tell a few noisy patterns apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.keras import layers

from .edit import insert_custom_op, order_by_level
from .quantize import to_int8

Samples = NDArray[np.float32]

UNKNOWN_OP = "SpillwayUnknown"
UNKNOWN_OPTIONS = b"any bytes, \x00\x01\xfe\xff, kept as they are"
EPOCHS = 6


def mobilenet_v2_small(seed: int) -> bytes:
    """MobileNetV2 made small: inverted residuals joined by ADD; 64x64x3, 10 classes, softmax."""
    return _trained(_mobilenet_v2_small, seed)


def ds_cnn(seed: int) -> bytes:
    """The keyword spotter's shape: depthwise separable layers; 49x10x1, 12 classes, softmax."""
    return _trained(_ds_cnn, seed)


def branchy(seed: int) -> bytes:
    """Branches of unlike sizes, run level by level, which keeps many bytes alive."""
    return order_by_level(_trained(_branchy, seed))


def unknown_op(seed: int) -> bytes:
    """A chain of convolutions with a custom op in the middle that no runtime knows."""
    return insert_custom_op(_trained(_chain, seed), 1, UNKNOWN_OP, UNKNOWN_OPTIONS)


SMALL_MODELS: dict[str, Callable[[int], bytes]] = {
    "mobilenet_v2_small": mobilenet_v2_small,
    "ds_cnn": ds_cnn,
    "branchy": branchy,
    "unknown_op": unknown_op,
}


def patterns(
    seed: int, shape: tuple[int, ...], classes: int, count: int
) -> tuple[Samples, NDArray[np.int64]]:
    """Samples in 0..1, each the pattern of its class, faint, under noise; and their classes."""
    rng = np.random.default_rng(seed)
    kinds = rng.uniform(0, 1, (classes, *shape))
    labels = rng.integers(0, classes, count)
    samples = 0.4 * kinds[labels] + 0.6 * rng.uniform(0, 1, (count, *shape))
    return samples.astype(np.float32), labels


def _trained(build: Callable[[], tf.keras.Model], seed: int) -> bytes:
    """Build, fit for a few epochs, quantize with a part of the same samples."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(seed)
    model = build()
    samples, labels = patterns(seed, model.input_shape[1:], model.output_shape[-1], 512)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=model.name == "branchy")
    model.compile(tf.keras.optimizers.Adam(3e-3), loss)
    model.fit(samples, labels, batch_size=32, epochs=EPOCHS, shuffle=False, verbose=0)
    return to_int8(model, samples[:100])


def _mobilenet_v2_small() -> tf.keras.Model:
    image = layers.Input((64, 64, 3))
    x = _convolution(image, 8, 3, 2)
    blocks = ((1, 8, 1), (6, 12, 2), (6, 12, 1), (6, 16, 2), (6, 16, 1), (6, 24, 2), (6, 24, 1))
    for expansion, channels, stride in blocks:
        x = _inverted_residual(x, expansion, channels, stride)
    x = layers.GlobalAveragePooling2D()(_convolution(x, 64, 1))
    return tf.keras.Model(image, layers.Dense(10, activation="softmax")(x))


def _inverted_residual(x: tf.Tensor, expansion: int, channels: int, stride: int) -> tf.Tensor:
    narrow = x
    if expansion > 1:
        x = _convolution(x, expansion * x.shape[-1], 1)
    x = _depthwise(x, stride)
    x = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(channels, 1, use_bias=False)(x))
    return layers.Add()([narrow, x]) if stride == 1 and narrow.shape == x.shape else x


def _ds_cnn() -> tf.keras.Model:
    spectrogram = layers.Input((49, 10, 1))
    x = _convolution(spectrogram, 48, (10, 4), 2)
    for _ in range(4):
        x = _convolution(_depthwise(x, 1), 48, 1)
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return tf.keras.Model(spectrogram, layers.Dense(12, activation="softmax")(x))


def _branchy() -> tf.keras.Model:
    image = layers.Input((48, 48, 3))
    stem = _convolution(image, 8, 3)
    wide = _convolution(_convolution(stem, 24, 1), 8, 3, 4)
    deep = _convolution(_convolution(_convolution(stem, 12, 3), 16, 3, 2), 8, 3, 2)
    plain = _convolution(_depthwise(stem, 1), 8, 3, 4)
    short = _convolution(stem, 8, 3, 4)
    growing = _convolution(_convolution(stem, 4, 3, 4), 96, 1)
    added = layers.Add()([wide, short])
    joined = layers.Concatenate()([added, deep, plain, growing])
    x = layers.GlobalAveragePooling2D()(_convolution(joined, 32, 3, 2))
    return tf.keras.Model(image, layers.Dense(10)(x), name="branchy")


def _chain() -> tf.keras.Model:
    image = layers.Input((24, 24, 1))
    x = _convolution(_convolution(image, 8, 3), 12, 3, 2)
    x = layers.MaxPooling2D(2)(_convolution(x, 12, 3))
    return tf.keras.Model(image, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))


def _convolution(
    x: tf.Tensor, channels: int, size: int | tuple[int, int], stride: int = 1
) -> tf.Tensor:
    x = layers.Conv2D(channels, size, stride, padding="same", use_bias=False)(x)
    return layers.ReLU(max_value=6.0)(layers.BatchNormalization(momentum=0.8)(x))


def _depthwise(x: tf.Tensor, stride: int) -> tf.Tensor:
    x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
    return layers.ReLU(max_value=6.0)(layers.BatchNormalization(momentum=0.8)(x))
