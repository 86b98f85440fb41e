"""Training examples small enough to check by eye, in the words of small_words."""

from dpr_tf.data import Example, ExamplePassage

TOWER = ExamplePassage("1", "Paris", "the old tower")
BRIDGE = ExamplePassage("2", "Rome", "a stone bridge over the river in 1890")
RIVER = ExamplePassage("3", "", "river by the bridge")
KING = ExamplePassage("4", "Rome", "built by the king")
QUEEN = ExamplePassage("5", "The Queen", "red , blue")

EXAMPLES = [
    Example("what was built in Rome ?", ("bridge",), (BRIDGE, KING), (QUEEN,), (TOWER, RIVER)),
    Example("who built the tower ?", ("Emile Zola",), (TOWER,), (), (QUEEN,)),
    Example("what tower was old ?", ("tower",), (TOWER,), (RIVER, KING, QUEEN)),
    Example("who ?", ("nobody",), ()),  # without a positive
    Example("when was the bridge built ?", ("1890",), (BRIDGE,)),
]
