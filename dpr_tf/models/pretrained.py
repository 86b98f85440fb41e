"""Temporary."""
import keras
class PretrainedModel(keras.Model):
    pass
