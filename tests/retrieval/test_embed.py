"""Embedding: what the encoder gets, in which order vectors come back, and how often the model is traced."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from small_words import VOCABULARY, ids, make_tokenizer

from dpr_tf import DPRConfig, DPRContextEncoderTokenizerFast, TFDPRContextEncoder
from dpr_tf.data import Passage
from dpr_tf.retrieval import embed as embed_module
from dpr_tf.retrieval import embed_passages

PASSAGES = [
    Passage("1", "Paris", "the old tower"),
    Passage("2", "", "river"),
    Passage("3", "Rome", "a small stone bridge over the old river was built by the king in 1890"),
    Passage("4", "The Queen", "red , blue"),
    Passage("5", "Zola", "Emile Zola"),
]


@pytest.fixture
def tokenizer(tmp_path):
    return make_tokenizer(DPRContextEncoderTokenizerFast, tmp_path)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(11)
    config = DPRConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=17,
        max_position_embeddings=23,
        projection_dim=7,
        initializer_range=0.5,
    )
    return TFDPRContextEncoder(config)


def vector(model, text):
    """The vector of one text, given as pieces, with token types of zero."""
    row = np.array([ids(text)])
    return np.asarray(model(row, token_type_ids=np.zeros_like(row)).pooler_output)[0]


def test_embeds_title_and_text_and_restores_the_order(model, tokenizer):
    vectors = embed_passages(model, tokenizer, PASSAGES, batch_size=2, progress=False)
    rows = [
        "[CLS] paris [SEP] the old tower [SEP]",
        "[CLS] river [SEP]",
        "[CLS] rome [SEP] a small stone bridge over the old river was built by the king in 18 ##90 [SEP]",
        "[CLS] the queen [SEP] red , blue [SEP]",
        "[CLS] zola [SEP] emile zola [SEP]",
    ]
    assert (vectors.shape, vectors.dtype) == ((5, 7), np.float32)
    np.testing.assert_allclose(vectors, [vector(model, row) for row in rows], atol=1e-5)
    assert np.abs(vectors[0] - vectors[3]).max() > 0.1  # the vectors tell the passages apart


def test_tokenization_in_windows_changes_nothing(model, tokenizer, monkeypatch):
    whole = embed_passages(model, tokenizer, PASSAGES, batch_size=2, progress=False)
    monkeypatch.setattr(embed_module, "_WINDOW", 1)
    np.testing.assert_allclose(
        embed_passages(model, tokenizer, PASSAGES, batch_size=2, progress=False), whole, atol=1e-5
    )


def test_token_types_of_the_tokenizer_on_request(model, tokenizer):
    row = np.array([ids("[CLS] paris [SEP] the old tower [SEP]")])
    types = np.array([[0, 0, 0, 1, 1, 1, 1]])
    expected = np.asarray(model(row, token_type_ids=types).pooler_output)
    found = embed_passages(model, tokenizer, PASSAGES[:1], token_types="tokenizer", progress=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - embed_passages(model, tokenizer, PASSAGES[:1], progress=False)).max() > 1e-2


@pytest.mark.parametrize(("max_length", "tokens"), [(9, 9), (256, 23)])
def test_cuts_at_max_length_and_at_the_models_positions(model, tokenizer, caplog, max_length, tokens):
    long = Passage("1", "Rome", "old " * 40)
    found = embed_passages(model, tokenizer, [long, PASSAGES[0]], max_length=max_length, progress=False)
    assert f"1 of 2 texts have {tokens} tokens or more" in caplog.text
    cut = "[CLS] rome [SEP]" + " old" * (tokens - 4) + " [SEP]"
    np.testing.assert_allclose(found[0], vector(model, cut), atol=1e-5)


def test_traces_the_model_once_for_all_shapes(tokenizer):
    traces = []

    def model(batch):
        traces.append(batch["input_ids"].shape)
        return {"pooler_output": keras.ops.cast(batch["input_ids"][:, :3], "float32")}

    model.config = SimpleNamespace(projection_dim=3, hidden_size=8, max_position_embeddings=64)
    vectors = embed_passages(model, tokenizer, PASSAGES, batch_size=2, progress=False)
    assert [tuple(shape) for shape in traces] == [(None, None)]
    assert vectors[1].tolist() == ids("[CLS] river [SEP]")


def test_no_passages_give_no_vectors(model, tokenizer):
    assert embed_passages(model, tokenizer, [], progress=False).shape == (0, 7)


def test_shows_progress_on_stderr_on_request(model, tokenizer, capsys):
    embed_passages(model, tokenizer, PASSAGES)
    shown = capsys.readouterr()
    assert "Embedding passages: 100%" in shown.err
    assert "5/5" in shown.err
    assert shown.out == ""
    embed_passages(model, tokenizer, PASSAGES, progress=False)
    assert capsys.readouterr().err == ""


def test_refuses_unknown_token_types_and_empty_batches(model, tokenizer):
    with pytest.raises(ValueError, match="token_types='ones': expected one of 'zeros', 'tokenizer'"):
        embed_passages(model, tokenizer, PASSAGES, token_types="ones")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        embed_passages(model, tokenizer, PASSAGES, batch_size=0, progress=False)
