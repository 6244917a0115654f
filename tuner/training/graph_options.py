"""What TensorFlow is to do with graphs and single operations, so that a trial begins sooner."""

from typing import Any

# TensorFlow rewrites every graph before it runs it, which takes 0.12 s of a trial's start (training and validation of two normalised layers). Dense layers
# gain up to 5 % of an epoch by that, convolutions and GPUs more. Most trials are stopped after a few epochs: up to so many multiplications in an epoch's
# forward passes, about a second of one core, it is left out for networks of dense layers.
REWRITTEN_FROM = 2e10


def choose_rewriting(model: Any, rows: int) -> None:
    """Let TensorFlow rewrite the graphs of this process from now on, or not, whichever is sooner done for a model.

    Args:
        model: built or not.
        rows: in an epoch.
    """
    import keras
    import tensorflow as tf

    weighing = [layer for layer in model._flatten_layers(include_self=False) if layer.weights and not layer._layers]
    simple = all(type(layer) in (keras.layers.Dense, keras.layers.BatchNormalization) for layer in weighing)
    small = model.built and model.count_params() * rows < REWRITTEN_FROM
    rewrites = not (simple and small) or bool(tf.config.get_visible_devices("GPU"))
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not rewrites})


def hurry_single_operations(tf: Any) -> None:
    """Let TensorFlow run single operations as such, from now on.

    TensorFlow 2.21 turns every operation outside a function into a function of its own first. Building a small network meets some sixty new ones, which takes
    0.15 s, and 0.03 s so. `test_tensorflow_makes_functions_of_single_operations` fails once this can go.
    """
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import context

    tf.constant(0.0)
    pywrap_tfe.TFE_ContextSetRunEagerOpAsFunction(context.context()._handle, False)
