"""Questions for a reader, with random passages on the small vocabulary; and their files."""

import random

from small_words import PIECES

from dpr_tf.data import Retrieved, RetrievedPassage

ANSWERS = ("king", "queen", "paris", "rome", "zola")


def retrieved(count, seed=0, passages=6):
    """Questions on one of ANSWERS each, of passages every third of which contains it."""
    draw = random.Random(seed)
    others = [piece for piece in PIECES if piece.isalpha() and piece not in ANSWERS]
    found = []
    for number in range(count):
        answer = draw.choice(ANSWERS)
        ctxs = []
        for rank in range(passages):
            words = draw.choices(others, k=draw.randint(3, 9))
            if rank % 3 == number % 3:
                words.insert(draw.randrange(len(words)), answer)
            ctxs.append(RetrievedPassage(str(rank), draw.choice(others), " ".join(words)))
        question = " ".join(["who", *draw.choices(others, k=3), f"{number} ?"])
        found.append(Retrieved(question, (answer,), tuple(ctxs)))
    return found
