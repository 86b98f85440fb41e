"""Against today's Transformers: it reads what we save, we read what it saves, and all compute the same."""

import numpy as np
import pytest
import recordings
from keras import ops

import dpr_tf

torch = pytest.importorskip("torch", reason='compares with PyTorch: pip install "dpr_tf[parity]"')
transformers = pytest.importorskip(
    "transformers", reason='compares with Transformers: pip install "dpr_tf[parity]"'
)

KINDS = {"ctx": "ContextEncoder", "question": "QuestionEncoder", "reader": "Reader"}
SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 40,
    "type_vocab_size": 3,
}
rng = np.random.default_rng(11)
ids = rng.integers(1, 99, (5, 7)).astype("int64")
mask = np.array([[1] * n + [0] * (7 - n) for n in (7, 3, 5, 1, 6)], "int64")


def randomise(model):
    """Random numbers in every weight: fresh ones have zero biases and unit scales, which hides mistakes."""
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def compare(ours, theirs, tolerance=recordings.TOLERANCE):
    found = ours(ids, mask, output_hidden_states=True, output_attentions=True)
    theirs = theirs.eval()
    with torch.no_grad():
        wanted = theirs(
            torch.tensor(ids), torch.tensor(mask), output_hidden_states=True, output_attentions=True
        )
    assert list(found) == list(wanted.keys())
    for name in found:
        pairs = (
            zip(found[name], wanted[name], strict=True)
            if isinstance(found[name], tuple)
            else [(found[name], wanted[name])]
        )
        for our, their in pairs:
            assert np.abs(ops.convert_to_numpy(our) - their.numpy()).max() <= tolerance, name


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def ours(kind):
    projection = 0 if kind == "Reader" else 11
    return randomise(getattr(dpr_tf, f"TFDPR{kind}")(dpr_tf.DPRConfig(**SIZES, projection_dim=projection)))


@pytest.mark.parametrize("max_shard_size", ["10GB", "20KB"])
def test_transformers_loads_what_we_save(ours, kind, tmp_path, max_shard_size):
    ours.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    cls = getattr(transformers, f"DPR{kind}")
    theirs, info = cls.from_pretrained(tmp_path, output_loading_info=True, attn_implementation="eager")
    assert not any(info.values()), info
    compare(ours, theirs)


def test_we_load_what_transformers_saves(ours, kind, tmp_path):
    config = transformers.DPRConfig(
        **SIZES, projection_dim=ours.config.projection_dim, attn_implementation="eager"
    )
    theirs = getattr(transformers, f"DPR{kind}")(config)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    theirs.save_pretrained(tmp_path)
    model, info = type(ours).from_pretrained(tmp_path, from_pt=True, output_loading_info=True)
    assert not any(info.values()), info
    compare(model, theirs)


def test_init_from_what_transformers_saves_of_bert(kind, tmp_path):
    bert = transformers.BertModel(transformers.BertConfig(**SIZES))
    bert.save_pretrained(tmp_path)
    model = getattr(dpr_tf, f"TFDPR{kind}").init_from_bert(tmp_path)
    with torch.no_grad():
        wanted = bert.eval()(torch.tensor(ids), torch.tensor(mask)).last_hidden_state.numpy()
    states = model(ids, mask, output_hidden_states=True).hidden_states[-1]
    assert np.abs(ops.convert_to_numpy(states) - wanted).max() <= recordings.TOLERANCE
