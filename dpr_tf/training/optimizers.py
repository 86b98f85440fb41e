"""AdamW with a linear schedule and clipping, step for step as PyTorch computes them.

Keras's own AdamW differs in three places that a comparison with PyTorch shows: where epsilon stands, that
the norm for clipping is taken on each replica before the gradients are summed, and that a schedule counts
micro-batches under gradient accumulation.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dpr_tf.training import replicas

# Matches the last part of a variable's name: Dense biases, LayerNorm's gamma and beta.
NOT_DECAYED = r"(^|/)(bias|gamma|beta)(:0)?$"


@keras.saving.register_keras_serializable(package="dpr_tf")
class LinearSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from zero, then linear decay to zero; the first update of a warm-up changes nothing.

    Update u (from 0) has the rate `peak * u / warmup` while u < warmup, then
    `peak * (steps - u) / (steps - warmup)`, and 0 from u = steps on; or `peak`, if it does not decay.

    Args:
        peak: the rate at the end of the warm-up.
        steps: updates in all.
        warmup: updates of the warm-up, 0 <= warmup <= steps.
        accumulation: micro-batches per update: Keras counts those.
        decay: whether to decay.
    """

    def __init__(self, peak: float, steps: int, warmup: int, accumulation: int = 1, decay: bool = True):
        self.peak, self.steps, self.warmup, self.accumulation = peak, steps, warmup, accumulation
        self.decay = decay

    def __call__(self, step):
        """The rate of micro-batch `step`, a float32 scalar."""
        update = ops.cast(ops.floor_divide(step, self.accumulation), "float32")
        rising = update / max(1, self.warmup)
        falling = ops.maximum(0.0, (self.steps - update) / max(1, self.steps - self.warmup))
        falling = falling if self.decay else 1.0
        return self.peak * ops.where(update < self.warmup, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("peak", "steps", "warmup", "accumulation", "decay")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(package="dpr_tf")
class AdamW(keras.optimizers.AdamW):
    """Keras's AdamW with PyTorch's numbers; `adamw` makes it. Biases and LayerNorms are not decayed."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.exclude_from_weight_decay(var_names=[NOT_DECAYED])

    def update_step(self, gradient, variable, learning_rate):
        """One Adam update, with epsilon added to the square root of the corrected second moment.

        That is Algorithm 1 of Kingma and Ba 2015. Keras follows the remark before their section 2.1, where
        the same epsilon weighs up to thirty times as much in the first steps.
        """
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        float32 = keras.backend.standardize_dtype(variable.dtype) == "float32"
        if float32 and keras.config.backend() == "tensorflow":
            self._update_in_one_pass(gradient, variable, mean, square, learning_rate)
            return
        gradient = ops.cast(gradient, variable.dtype)
        self.assign_add(mean, (gradient - mean) * (1.0 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1.0 - self.beta_2))
        step = ops.cast(self.iterations + 1, "float32")  # in bfloat16, 0.999 is 1
        rate = ops.cast(learning_rate, "float32") / (1.0 - ops.power(self.beta_1, step))
        correction = ops.sqrt(1.0 - ops.power(self.beta_2, step))
        corrected = ops.sqrt(square) / ops.cast(correction, variable.dtype)
        self.assign_sub(variable, ops.cast(rate, variable.dtype) * mean / (corrected + self.epsilon))

    def _update_in_one_pass(self, gradient, variable, mean, square, learning_rate):
        """The same update as one operation of TensorFlow, instead of ten that each pass over all weights.

        Its epsilon stands where Keras has it, beside the root of the moment that is not corrected.
        """
        import tensorflow as tf

        step = ops.cast(self.iterations + 1, "float32")
        power_1, power_2 = ops.power(self.beta_1, step), ops.power(self.beta_2, step)
        var, m, v = (
            (state.value if isinstance(state, keras.Variable) else state).handle
            for state in (variable, mean, square)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=var,
            m=m,
            v=v,
            beta1_power=power_1,
            beta2_power=power_2,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon * ops.sqrt(1.0 - power_2),
            grad=tf.convert_to_tensor(gradient),
        )

    def _clip_gradients(self, grads):
        # Keras clips what one replica has and sums afterwards; the norm that counts is that of the sum.
        clipped = super()._clip_gradients(replicas.total(grads))
        return [grad / replicas.count() for grad in clipped]  # which Keras is about to sum once more


def adamw(
    learning_rate: float,
    steps: int,
    warmup: int,
    *,
    weight_decay: float = 0.0,
    epsilon: float = 1e-8,
    clip: float | None = 2.0,
    accumulation: int = 1,
    decay: bool = True,
) -> AdamW:
    """Makes the optimizer of DPR's recipe: AdamW, linear warm-up and decay, clipping by the global norm.

    Equal to `torch.optim.AdamW` with two parameter groups, `LambdaLR` and `clip_grad_norm_`, in that order:
    clipping, then the update at the schedule's rate. The betas are 0.9 and 0.999.

    Args:
        learning_rate: the highest rate, at the end of the warm-up.
        steps: updates in all.
        warmup: updates of the warm-up.
        weight_decay: per update, times the rate; biases and LayerNorms are never decayed.
        epsilon: added to the square root of the second moment.
        clip: largest norm of all gradients together; None: no clipping.
        accumulation: batches whose mean gradient makes one update. A batch is contrasted with itself only:
            a bi-encoder gets more negatives on little memory by `BiEncoder(chunk_size=...)` instead.
        decay: whether the rate falls to 0 at the last update, as for DPR's encoders; False: it stays, as for
            its reader.

    Returns:
        A Keras optimizer for `compile`.

    Raises:
        ValueError: for steps < 1, a warm-up outside of 0 to `steps`, or an accumulation < 1.
    """
    if steps < 1 or not 0 <= warmup <= steps:
        raise ValueError(
            f"expected steps >= 1 and 0 <= warmup <= steps, got steps={steps} and warmup={warmup}"
        )
    if accumulation < 1:
        raise ValueError(f"accumulation is the number of batches per update, at least 1; got {accumulation}")
    return AdamW(
        learning_rate=LinearSchedule(learning_rate, steps, warmup, accumulation, decay),
        weight_decay=weight_decay,
        epsilon=epsilon,
        global_clipnorm=clip,
        gradient_accumulation_steps=accumulation if accumulation > 1 else None,
        name="adamw",
    )
