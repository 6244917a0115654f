"""What Keras computes in many small operations, in few that compute the same: optimizers' steps and batch normalisation.

Keras writes an optimizer's step as a dozen operations for every weight, which on small networks cost as much as the gradients, and a normalisation over
the batch with its gradient as sixty. TensorFlow still has the fused kernels of the older optimizers, and one that normalises images. Only what has the
very same formula is here (Adagrad's kernel, for one, adds epsilon elsewhere); the rest stays with Keras. Tests compare every one with Keras's own.

Imports TensorFlow inside its functions, which run in a trial's process. Must not know what is trained.
"""

from collections.abc import Callable, Sequence
from typing import Any


def fuse(optimizer: Any) -> bool:
    """Let an optimizer take its steps by fused kernels, where it has them. Its variables, and what they mean, stay as they are.

    Args:
        optimizer: a built Keras optimizer; it is changed.

    Returns:
        Whether it will.
    """
    import tensorflow as tf

    rule = _rule(optimizer)
    if rule is None or any(variable.dtype != "float32" for variable in optimizer._trainable_variables):
        return False
    by_keras = optimizer._backend_update_step

    def update(gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        if any(isinstance(gradient, tf.IndexedSlices) for gradient in gradients):
            by_keras(gradients, variables, learning_rate)
            return
        step = tf.cast(tf.convert_to_tensor(optimizer.iterations) + 1, tf.float32)
        one = rule(tf, optimizer, tf.cast(tf.convert_to_tensor(learning_rate), tf.float32), step)
        for gradient, variable in zip(gradients, variables, strict=True):
            one(variable.value.handle, tf.cast(gradient, tf.float32), optimizer._get_variable_index(variable))

    # Not setattr: Keras would track the function as a part of the model.
    object.__setattr__(optimizer, "_backend_update_step", update)
    return True


def fuse_normalization(layer: Any) -> bool:
    """Let a layer of batch normalisation train by fewer operations, where they compute the same. Its variables, and what they mean, stay as they are.

    Args:
        layer: any built Keras layer; changed, if it is one.

    Returns:
        Whether it will.
    """
    import keras
    import tensorflow as tf

    if type(layer) is not keras.layers.BatchNormalization or layer.synchronized or layer.renorm:
        return False
    rank = layer.input_spec.ndim
    normalize = {2: _normalize_rows, 4: _normalize_images}.get(rank)
    # The smallest epsilon is that of NVIDIA's kernel.
    if normalize is None or list(layer.input_spec.axes) not in ([-1], [rank - 1]) or layer.epsilon < 1.001e-5:
        return False
    by_keras = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not layer.trainable or mask is not None:
            return by_keras(inputs, training=training, mask=mask)
        x = tf.cast(inputs, tf.float32)
        scale = tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones([x.shape[-1]])
        offset = tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros([x.shape[-1]])
        y, mean, variance = normalize(tf, x, scale, offset, layer.epsilon)
        for average, value in ((layer.moving_mean.value, mean), (layer.moving_variance.value, variance)):
            average.assign_sub((average - value) * (1.0 - layer.momentum))
        return tf.cast(y, layer.compute_dtype)

    object.__setattr__(layer, "call", call)
    return True


def _normalize_images(tf: Any, x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Return the normalised batch `(rows, height, width, channels)`, and the means and variances of its channels."""
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=epsilon, is_training=True)
    # The kernel's variance is that of a sample; Keras keeps that of the batch.
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return y, mean, variance * (tf.maximum(count - 1.0, 1.0) / count)


def _normalize_rows(tf: Any, x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Return the same for rows `(rows, features)`: the kernel is no faster there, but with the gradient in one piece there is less to compile."""

    @tf.custom_gradient
    def normalized(x: Any, scale: Any, offset: Any) -> tuple[Any, Any]:
        mean = tf.reduce_mean(x, 0)
        away = x - mean
        variance = tf.reduce_mean(tf.square(away), 0)
        deviations = tf.math.rsqrt(variance + epsilon)
        away *= deviations

        def gradient(upstream: Any, *unused: Any) -> tuple[Any, Any, Any]:
            of_scale, of_offset = tf.reduce_sum(upstream * away, 0), tf.reduce_sum(upstream, 0)
            rows = tf.cast(tf.shape(x)[0], tf.float32)
            return scale * deviations * (upstream - (of_offset + away * of_scale) / rows), of_scale, of_offset

        return (away * scale + offset, tf.stop_gradient(mean), tf.stop_gradient(variance)), gradient

    return normalized(x, scale, offset)


def _rule(optimizer: Any) -> Callable[..., Callable[[Any, Any, int], None]] | None:
    import keras

    kind = type(optimizer)
    if kind in (keras.optimizers.Adam, keras.optimizers.AdamW) and not optimizer.amsgrad:
        return _adam
    if kind is keras.optimizers.Adamax:
        return _adamax
    if kind is keras.optimizers.Adadelta:
        return _adadelta
    if kind is keras.optimizers.SGD:
        return _sgd
    if kind is keras.optimizers.RMSprop and not optimizer.centered:
        return _rmsprop
    return None


def _adam(tf: Any, adam: Any, rate: Any, step: Any) -> Callable[[Any, Any, int], None]:
    powers = {"beta1_power": tf.pow(adam.beta_1, step), "beta2_power": tf.pow(adam.beta_2, step)}
    numbers = {"lr": rate, "beta1": adam.beta_1, "beta2": adam.beta_2, "epsilon": adam.epsilon}

    def one(handle: Any, gradient: Any, index: int) -> None:
        slots = {"m": _handle(adam._momentums[index]), "v": _handle(adam._velocities[index])}
        tf.raw_ops.ResourceApplyAdam(var=handle, grad=gradient, **slots, **powers, **numbers)

    return one


def _adamax(tf: Any, adamax: Any, rate: Any, step: Any) -> Callable[[Any, Any, int], None]:
    power = tf.pow(adamax.beta_1, step)
    numbers = {"lr": rate, "beta1": adamax.beta_1, "beta2": adamax.beta_2, "epsilon": adamax.epsilon}

    def one(handle: Any, gradient: Any, index: int) -> None:
        tf.raw_ops.ResourceApplyAdaMax(var=handle, grad=gradient, m=_handle(adamax._m[index]), v=_handle(adamax._u[index]), beta1_power=power, **numbers)

    return one


def _adadelta(tf: Any, adadelta: Any, rate: Any, step: Any) -> Callable[[Any, Any, int], None]:
    numbers = {"lr": rate, "rho": adadelta.rho, "epsilon": adadelta.epsilon}

    def one(handle: Any, gradient: Any, index: int) -> None:
        slots = {"accum": _handle(adadelta._accumulated_grads[index]), "accum_update": _handle(adadelta._accumulated_delta_vars[index])}
        tf.raw_ops.ResourceApplyAdadelta(var=handle, grad=gradient, **slots, **numbers)

    return one


def _sgd(tf: Any, sgd: Any, rate: Any, step: Any) -> Callable[[Any, Any, int], None]:
    def one(handle: Any, gradient: Any, index: int) -> None:
        if sgd.momentum == 0:
            tf.raw_ops.ResourceApplyGradientDescent(var=handle, alpha=rate, delta=gradient)
        else:
            slot = _handle(sgd.momentums[index])
            tf.raw_ops.ResourceApplyKerasMomentum(var=handle, accum=slot, lr=rate, grad=gradient, momentum=sgd.momentum, use_nesterov=sgd.nesterov)

    return one


def _rmsprop(tf: Any, rmsprop: Any, rate: Any, step: Any) -> Callable[[Any, Any, int], None]:
    numbers = {"lr": rate, "rho": rmsprop.rho, "momentum": rmsprop.momentum, "epsilon": rmsprop.epsilon}
    if rmsprop.momentum == 0 and not hasattr(rmsprop, "_unused_momentums"):
        # The kernel writes a momentum even where there is none, and multiplies it by 0 when it reads it again. A function does not keep the variables
        # that it uses: the optimizer does, outside of what Keras tracks.
        with tf.init_scope():
            object.__setattr__(rmsprop, "_unused_momentums", tuple(tf.Variable(tf.zeros(slot.shape)) for slot in rmsprop._velocities))
    momentums = rmsprop._momentums or rmsprop._unused_momentums

    def one(handle: Any, gradient: Any, index: int) -> None:
        slots = {"ms": _handle(rmsprop._velocities[index]), "mom": _handle(momentums[index])}
        tf.raw_ops.ResourceApplyRMSProp(var=handle, grad=gradient, **slots, **numbers)

    return one


def _handle(variable: Any) -> Any:
    """Return the resource of a Keras variable, or of TensorFlow's own."""
    return variable.handle if hasattr(variable, "handle") else variable.value.handle
