"""A vocabulary small enough to check by eye; tokenizers and random checkpoints on it."""

import keras

from dpr_tf import DPRConfig
from dpr_tf.checkpoints import ROLES, classes

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = """
who what when was the a in of by river bridge tower built king queen emile zola paris rome
18 ##89 ##90 wash ##ing ##ton red blue green stone wood over small old . , ' ? -
""".split()  # noqa: SIM905
VOCABULARY = SPECIAL + PIECES


def make_tokenizer(tokenizer_class, folder):
    """A tokenizer of a class, on VOCABULARY, whose files are in `folder`."""
    path = folder / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return tokenizer_class(str(path))


def ids(text):
    """Ids of pieces that stand between spaces."""
    return [VOCABULARY.index(piece) for piece in text.split()]


def save_checkpoints(folder):
    """Writes three random checkpoints, each with weights of its own, into the sub-folders of their roles."""
    for seed, role in enumerate(ROLES):
        model_class, tokenizer_class = classes(role)
        keras.utils.set_random_seed(seed)
        config = DPRConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=10,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=12,
            max_position_embeddings=40,
            initializer_range=0.3,
        )
        model_class(config).save_pretrained(folder / role)
        make_tokenizer(tokenizer_class, folder / role).save_pretrained(folder / role)
    return folder
