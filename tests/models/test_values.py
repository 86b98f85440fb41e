"""Values of loaded variables: right, and in memory once, on each of Keras's backends."""

import os
import subprocess
import sys

import keras
import ml_dtypes
import numpy as np
import pytest
import recordings

from dpr_tf import DPRConfig, TFDPRContextEncoder
from dpr_tf.weights import files

MEASURE = """
import sys
import numpy as np
from dpr_tf import DPRConfig, TFDPRContextEncoder
def field(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name + ":"))
TFDPRContextEncoder.from_pretrained(sys.argv[2])  # everything imported and started
before = field("VmRSS")
model = TFDPRContextEncoder.from_pretrained(sys.argv[1], dtype=sys.argv[3])
size = sum(int(np.prod(w.shape)) for w in model.weights) * (2 if sys.argv[3] == "bfloat16" else 4) / 1024
print((field("VmHWM") - before) / size)
"""

EVERY_FORMAT = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="files are read alike on every backend"
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("dtype", "safe", "words"),
    [
        pytest.param("float32", True, 8000, marks=EVERY_FORMAT),
        pytest.param("float32", False, 8000, marks=EVERY_FORMAT),
        ("bfloat16", True, 30_000),
    ],
)
def test_peak_memory(tmp_path, dtype, safe, words):
    # A quarter of BERT-base; the word table is as large a part of it as there, or half of it.
    config = DPRConfig(vocab_size=words, num_hidden_layers=3)
    TFDPRContextEncoder(config).save_pretrained(tmp_path, safe_serialization=safe)
    tiny = recordings.checkpoint("checkpoints/formats/ctx-safetensors")
    command = [sys.executable, "-c", MEASURE, str(tmp_path), str(tiny), dtype]
    # Freed memory goes back at once: glibc may keep up to 64 MB, which is much for this quarter only.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert float(shown.split()[-1]) <= 1.3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_loaded_values(tmp_path, dtype):
    # Kernels of more than 1 MB, whose memory the framework takes over.
    config = DPRConfig(vocab_size=30, hidden_size=576, num_attention_heads=2, num_hidden_layers=1)
    TFDPRContextEncoder(config).save_pretrained(tmp_path)
    saved = files.read_checkpoint(tmp_path)
    model = TFDPRContextEncoder.from_pretrained(tmp_path, dtype=dtype)
    block = "bert_model/encoder/layer_0"
    for name, key in (("attention/query", "attention.self.query"), ("intermediate", "intermediate.dense")):
        kernel = next(
            v for path, v in model.variables_by_path.items() if path.endswith(f"{block}/{name}/kernel")
        )
        stored = next(array for path, array in saved.items() if path.endswith(f"layer.0.{key}.weight"))
        assert kernel.dtype == dtype
        rounded = stored.read().T.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), rounded)
