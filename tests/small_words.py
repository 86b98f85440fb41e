"""A vocabulary small enough to check by eye, and tokenizers on it."""

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
