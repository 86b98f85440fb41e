"""The stages of `tools/train_sample.py`, which makes the checkpoints of the bundled sample."""
