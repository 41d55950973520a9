"""From a float Keras model to a full-int8 .tflite with static shapes, and running one on images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from .edit import tidy

Array = NDArray[np.float32]


def to_int8(model: tf.keras.Model, samples: Iterable[Array]) -> bytes:
    """Convert with batch 1, int8 in and out; ranges are taken from the samples, one input each."""
    shape = (1, *model.input_shape[1:])
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="input"))
    frozen = convert_variables_to_constants_v2(concrete)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter.representative_dataset = lambda: ([sample.reshape(shape)] for sample in samples)
    return tidy(converter.convert())


def run_int8(model: bytes, samples: Iterable[Array]) -> NDArray[np.int8]:
    """Outputs of an int8 model for float samples, one a row; without XNNPACK, on one thread."""
    interpreter = tf.lite.Interpreter(
        model_content=model,
        num_threads=1,
        experimental_op_resolver_type=(
            tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = entry["quantization"]
    outputs = []
    for sample in samples:
        steps = np.round(sample.reshape(entry["shape"]) / scale) + zero_point
        interpreter.set_tensor(entry["index"], np.clip(steps, -128, 127).astype(np.int8))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(end["index"])[0])
    return np.stack(outputs)
