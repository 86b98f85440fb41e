"""The records that models return: ordered mappings with attribute access.

A record answers `out.pooler_output`, `out["pooler_output"]`, `out[0]`, `out[:2]` and `out.to_tuple()`. Fields
that are `None` are left out of the mapping, so that `fit`, `predict`, functional models and `export` see
tensors only; asking for such a field as an attribute gives `None`. This module knows neither TensorFlow nor
torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np


class ModelOutput(OrderedDict):
    """An ordered mapping of named outputs. Final classes below list their fields in `fields`.

    Args:
        *args: field values in the order of `fields`; or one mapping or iterable of pairs with all of them.
        **kwargs: field values by name.

    Raises:
        TypeError: for an unknown field, a field given twice, or more values than fields.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        name = type(self).__name__
        # tf.nest and copy rebuild a mapping from its items.
        values = _pairs(args[0]) if len(args) == 1 and not kwargs else None
        if values is None:
            if len(args) > len(self.fields):
                raise TypeError(
                    f"{name} takes at most {len(self.fields)} values, got {len(args)}: "
                    f"its fields are {self.fields}"
                )
            values = dict(zip(self.fields, args, strict=False))
            for key, value in kwargs.items():
                if key not in self.fields:
                    raise TypeError(
                        f"{name}.__init__() got an unexpected keyword argument {key!r}: "
                        f"its fields are {self.fields}"
                    )
                if key in values:
                    raise TypeError(f"{name}.__init__() got multiple values for argument {key!r}")
                values[key] = value
        order = {key: index for index, key in enumerate(self.fields)}
        for key in sorted(values, key=lambda k: order.get(k, len(order))):
            if values[key] is not None:
                self[key] = values[key]

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return super().__getitem__(name)
        if name in type(self).fields:
            return None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self:
            self[name] = value
        else:
            super().__setattr__(name, value)

    def to_tuple(self) -> tuple:
        """The values that are present, in order."""
        return tuple(self.values())

    def __delitem__(self, key: str) -> None:
        self._refuse("`__delitem__`")

    def pop(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse("`pop`")

    def popitem(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse("`popitem`")

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._refuse("`update`")

    def setdefault(self, *args: Any, **kwargs: Any) -> Any:
        self._refuse("`setdefault`")

    def _refuse(self, method: str) -> None:
        raise TypeError(
            f"{type(self).__name__} is a record: {method} is not available. "
            "Use dict(output) for a copy to edit."
        )


def _pairs(first: Any) -> dict | None:
    """The items of a mapping or of an iterable of (string, value) pairs, else None."""
    if isinstance(first, Mapping):
        return dict(first)
    if isinstance(first, np.ndarray) or hasattr(first, "shape") or not isinstance(first, Iterable):
        return None
    items = list(first)
    if items and all(
        isinstance(item, (tuple, list)) and len(item) == 2 and isinstance(item[0], str) for item in items
    ):
        return dict(items)
    return None


class _EncoderOutput(ModelOutput):
    """Output of an encoder.

    Attributes:
        pooler_output: float32 [batch, dim], the vector of each text: the last state of [CLS], projected if
            `projection_dim` > 0.
        hidden_states: tuple of `num_hidden_layers + 1` float32 [batch, tokens, hidden_size], embeddings
            first; or None.
        attentions: tuple of `num_hidden_layers` float32 [batch, heads, tokens, tokens], after the softmax; or
            None.
    """

    fields = ("pooler_output", "hidden_states", "attentions")


class _ReaderOutput(ModelOutput):
    """Output of a reader.

    Attributes:
        start_logits: float32 [passages, tokens].
        end_logits: float32 [passages, tokens].
        relevance_logits: float32 [passages].
        hidden_states: tuple of `num_hidden_layers + 1` float32 [passages, tokens, hidden_size]; or None.
        attentions: tuple of `num_hidden_layers` float32 [passages, heads, tokens, tokens]; or None.
    """

    fields = ("start_logits", "end_logits", "relevance_logits", "hidden_states", "attentions")


class DPRContextEncoderOutput(_EncoderOutput):
    __doc__ = _EncoderOutput.__doc__


class DPRQuestionEncoderOutput(_EncoderOutput):
    __doc__ = _EncoderOutput.__doc__


class DPRReaderOutput(_ReaderOutput):
    __doc__ = _ReaderOutput.__doc__


class TFDPRContextEncoderOutput(_EncoderOutput):
    __doc__ = _EncoderOutput.__doc__


class TFDPRQuestionEncoderOutput(_EncoderOutput):
    __doc__ = _EncoderOutput.__doc__


class TFDPRReaderOutput(_ReaderOutput):
    __doc__ = _ReaderOutput.__doc__


TF_OUTPUTS = (TFDPRContextEncoderOutput, TFDPRQuestionEncoderOutput, TFDPRReaderOutput)
TORCH_OUTPUTS = (DPRContextEncoderOutput, DPRQuestionEncoderOutput, DPRReaderOutput)
