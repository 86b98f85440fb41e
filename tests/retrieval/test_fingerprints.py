"""Fingerprints: the same for the same weights and words, another for any other."""

import keras
import numpy as np
from small_words import VOCABULARY, make_tokenizer

from dpr_tf import DPRConfig, DPRContextEncoderTokenizerFast, TFDPRContextEncoder
from dpr_tf.retrieval.fingerprints import model_fingerprint, tokenizer_fingerprint

CONFIG = DPRConfig(
    vocab_size=9, hidden_size=6, num_hidden_layers=1, num_attention_heads=2, intermediate_size=5
)


def test_a_model_keeps_its_fingerprint_in_any_format_and_loses_it_with_any_weight(tmp_path):
    keras.utils.set_random_seed(1)
    model = TFDPRContextEncoder(CONFIG)
    whole = model_fingerprint(model)
    for folder, safe in (("safetensors", True), ("h5", False)):
        model.save_pretrained(tmp_path / folder, safe_serialization=safe)
        assert model_fingerprint(TFDPRContextEncoder.from_pretrained(tmp_path / folder)) == whole
    told = {whole}
    for variable in model.weights:
        value = keras.ops.convert_to_numpy(variable).copy()
        value.flat[-1] = np.nextafter(value.flat[-1], np.float32(9))
        variable.assign(value)
        told.add(model_fingerprint(model))
    assert len(told) == 1 + len(model.weights)
    assert all(len(one) == 32 for one in told)


def test_a_tokenizer_is_known_by_its_words_and_how_it_reads(tmp_path):
    tokenizer = make_tokenizer(DPRContextEncoderTokenizerFast, tmp_path)
    whole = tokenizer_fingerprint(tokenizer)
    tokenizer.batch_encode_plus(["a river"], truncation=True, max_length=7)  # which it remembers
    assert tokenizer_fingerprint(tokenizer) == whole
    swapped = [VOCABULARY[-1], *VOCABULARY[:-1]]
    others = [
        DPRContextEncoderTokenizerFast(str(tmp_path / "vocab.txt"), do_lower_case=False),
        DPRContextEncoderTokenizerFast(str(tmp_path / "vocab.txt"), strip_accents=False),
        DPRContextEncoderTokenizerFast(vocabulary={word: row for row, word in enumerate(swapped)}),
    ]
    assert len({whole, *map(tokenizer_fingerprint, others)}) == 4
