"""A linear warm-up before any Keras schedule. Imports Keras: only `optimizers.learning_rate_of` may import this file, inside a trial's process."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="search_spaces")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a straight line from 0 to the first learning rate of another schedule, which begins there.

    Args:
        after: the schedule that follows.
        warmup_steps: how many steps the rise takes; at least 1.
    """

    def __init__(self, after: keras.optimizers.schedules.LearningRateSchedule, warmup_steps: int) -> None:
        super().__init__()
        self.after = after
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at a step."""
        step = keras.ops.cast(step, "float32")
        rise = keras.ops.minimum(step / self.warmup_steps, 1.0)
        return rise * self.after(keras.ops.maximum(step - self.warmup_steps, 0.0))

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {"after": keras.saving.serialize_keras_object(self.after), "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Warmup":
        """Return the schedule that was saved."""
        return cls(keras.saving.deserialize_keras_object(config["after"]), config["warmup_steps"])
