"""AdamW, schedule, clipping and accumulation against a plain NumPy twin, and against PyTorch."""

import keras
import numpy as np
import pytest
from keras import ops

from dpr_tf.training.optimizers import LinearSchedule, adamw

PEAK, STEPS, WARMUP, DECAY, EPSILON, CLIP = 0.1, 7, 3, 0.05, 1e-3, 1.5
SHAPES = {"kernel": (3, 2), "bias": (2,), "gamma": (2,), "embeddings": (5, 3)}


def batches(seed=1):
    """Gradients of each weight for every step; the norm of some is above CLIP, of some below."""
    random = np.random.default_rng(seed)
    return [
        {name: random.normal(0, size, shape).astype("float32") for name, shape in SHAPES.items()}
        for size in (1.0, 0.01, 0.3, 2.0, 0.001, 0.5, 0.2)
    ]


def start():
    random = np.random.default_rng(2)
    return {name: random.normal(size=shape).astype("float32") for name, shape in SHAPES.items()}


def slow_adamw(weights, gradients, updates=STEPS):
    """Loshchilov and Hutter's AdamW on Kingma and Ba's Algorithm 1, in float64."""
    weights = {name: value.astype("float64") for name, value in weights.items()}
    means, squares = (dict.fromkeys(weights, 0.0) for _ in range(2))
    for update, batch in enumerate(gradients[:updates]):
        rising = update < WARMUP
        rate = PEAK * (update / WARMUP if rising else (STEPS - update) / (STEPS - WARMUP))
        norm = np.sqrt(sum((gradient.astype("float64") ** 2).sum() for gradient in batch.values()))
        for name, gradient in batch.items():
            gradient = gradient * min(1.0, CLIP / norm)
            if name not in ("bias", "gamma"):
                weights[name] = weights[name] * (1 - rate * DECAY)
            means[name] = 0.9 * means[name] + 0.1 * gradient
            squares[name] = 0.999 * squares[name] + 0.001 * gradient**2
            mean = means[name] / (1 - 0.9 ** (update + 1))
            square = squares[name] / (1 - 0.999 ** (update + 1))
            weights[name] = weights[name] - rate * mean / (np.sqrt(square) + EPSILON)
    return weights


def train(optimizer, gradients):
    """Weights after the gradients were applied."""
    weights = {}
    for name, value in start().items():
        with keras.name_scope("layer"):
            weights[name] = keras.Variable(value, name=name)
    for batch in gradients:
        optimizer.apply([ops.convert_to_tensor(batch[name]) for name in weights], list(weights.values()))
    return {name: ops.convert_to_numpy(weight) for name, weight in weights.items()}


def make(accumulation=1):
    return adamw(
        PEAK, STEPS, WARMUP, weight_decay=DECAY, epsilon=EPSILON, clip=CLIP, accumulation=accumulation
    )


def assert_equal(found, wanted):
    for name in SHAPES:
        assert found[name] == pytest.approx(wanted[name], abs=2e-6), name


def test_every_update_equals_the_slow_twin():
    gradients = batches()
    for updates in (1, 2, 4, STEPS):
        assert_equal(train(make(), gradients[:updates]), slow_adamw(start(), gradients, updates))


def test_the_first_update_of_a_warmup_changes_nothing():
    assert_equal(train(make(), batches()[:1]), start())


def test_accumulation_applies_the_mean_at_the_rate_of_the_update():
    gradients, noise = batches(), batches(seed=4)
    halves = []
    for batch, other in zip(gradients, noise, strict=True):
        halves.append({name: batch[name] + other[name] for name in batch})
        halves.append({name: batch[name] - other[name] for name in batch})
    assert_equal(train(make(accumulation=2), halves), slow_adamw(start(), gradients))


def test_schedule_by_hand():
    rates = [float(LinearSchedule(1.0, 7, 3)(ops.convert_to_tensor(step))) for step in range(9)]
    assert rates == pytest.approx([0, 1 / 3, 2 / 3, 1, 3 / 4, 2 / 4, 1 / 4, 0, 0])


def test_schedule_without_warmup_starts_at_the_peak():
    rates = [float(LinearSchedule(1.0, 4, 0)(ops.convert_to_tensor(step))) for step in range(5)]
    assert rates == pytest.approx([1, 3 / 4, 2 / 4, 1 / 4, 0])


def test_schedule_may_stay_at_the_peak():
    rates = [float(LinearSchedule(1.0, 4, 2, decay=False)(ops.convert_to_tensor(step))) for step in range(6)]
    assert rates == pytest.approx([0, 1 / 2, 1, 1, 1, 1])
    assert adamw(1.0, 4, 2, decay=False)._learning_rate.get_config()["decay"] is False


def test_equals_pytorch():
    torch = pytest.importorskip("torch")
    weights = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start().items()}
    plain = [weight for name, weight in weights.items() if name in ("bias", "gamma")]
    decayed = [weight for name, weight in weights.items() if name not in ("bias", "gamma")]
    groups = [
        {"params": decayed, "weight_decay": DECAY},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, eps=EPSILON)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda u: u / WARMUP if u < WARMUP else max(0.0, (STEPS - u) / (STEPS - WARMUP))
    )
    for batch in batches():
        for name, weight in weights.items():
            weight.grad = torch.tensor(batch[name])
        torch.nn.utils.clip_grad_norm_(list(weights.values()), CLIP)
        optimizer.step()
        schedule.step()
    wanted = {name: weight.detach().numpy() for name, weight in weights.items()}
    assert_equal(train(make(), batches()), wanted)


def test_configuration_makes_an_equal_optimizer():
    made = keras.optimizers.deserialize(keras.optimizers.serialize(make(accumulation=2)))
    gradients = batches() + batches(seed=4)
    assert_equal(train(made, gradients), train(make(accumulation=2), gradients))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0, "warmup": 0}, "steps >= 1"),
        ({"steps": 5, "warmup": 6}, "0 <= warmup <= steps, got steps=5 and warmup=6"),
        ({"steps": 5, "warmup": 0, "accumulation": 0}, "at least 1; got 0"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        adamw(1e-5, **arguments)
