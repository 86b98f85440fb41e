"""The reader trained with `fit` against a plain PyTorch loop; tools/measure_reader_parity.py is its twin."""

import keras
import numpy as np
import pytest
from reader_questions import retrieved
from small_words import VOCABULARY, make_tokenizer

from dpr_tf import DPRConfig, DPRReaderTokenizerFast, TFDPRReader
from dpr_tf.training.reader_batches import ReaderBatches
from dpr_tf.training.reader_data import ReaderData
from dpr_tf.training.reader_passages import PassageChooser


def test_every_step_has_pytorchs_loss(tmp_path):
    pytest.importorskip("torch")
    import torch_reader

    chooser = PassageChooser(make_tokenizer(DPRReaderTokenizerFast, tmp_path), 40)
    data = ReaderData(map(chooser.choose, retrieved(11)), len(VOCABULARY))
    keras.utils.set_random_seed(1)
    config = DPRConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=10,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=14,
        max_position_embeddings=40,
        initializer_range=0.3,
    )
    TFDPRReader(config).save_pretrained(tmp_path / "reader")
    # four passages of a question's six have no answer: empty rows too; batches of 4, 4 and 3 questions
    batches = ReaderBatches(data, 0, batch_size=4, passages=6)
    ours, theirs = torch_reader.compare(tmp_path / "reader", batches, 12, learning_rate=3e-3, clip=1.0)
    assert theirs[-1] < 0.8 * theirs[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
