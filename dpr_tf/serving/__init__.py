"""Models as artefacts that run without Keras and without dpr_tf: for TF Serving, C++ and OpenVINO."""

from dpr_tf.serving.saved_model import export_saved_model, serving_output, serving_signatures

__all__ = ["export_saved_model", "serving_output", "serving_signatures"]
