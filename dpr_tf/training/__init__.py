"""Training of the bi-encoder and the reader with Keras's `fit`. Knows models and data, not retrieval."""
