"""The three DPR models as Keras layers, and their PyTorch twins."""
