"""A network layer by layer, as its card and the report have it."""

from typing import Any


def layers_of(model: Any) -> list[dict[str, Any]]:
    """Return `name`, `type` (its class), `shape` (of an output, without batch axis) and `parameters` of each layer.

    Args:
        model: a Keras model, built or not.
    """
    return [_layer(layer) for layer in model.layers]


def _layer(layer: Any) -> dict[str, Any]:
    shape = getattr(getattr(layer, "output", None), "shape", None) if layer.built else None
    return {
        "name": layer.name,
        "type": type(layer).__name__,
        "shape": "unknown" if shape is None else " x ".join(str(length) for length in shape[1:]),
        "parameters": int(layer.count_params()) if layer.built else 0,
    }
