"""onnxruntime, told to keep to itself: from version 1.29 on it reports to its makers by default.

requirements.txt asks for an older one; the variable holds for whoever has a newer one. It is read
when onnxruntime is imported, so everybody here imports it from this module.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # noqa: E402
from onnxruntime import InferenceSession  # noqa: E402

__all__ = ["InferenceSession", "open_session"]


def open_session(model: str | bytes, threads: int = 0) -> InferenceSession:
    """The network of an ONNX file (its path or content), ready to run on the CPU.

    `threads` for one picture; 0 takes all cores. Safe to run from several threads.
    """
    onnxruntime.disable_telemetry_events()  # where somebody else has imported it before
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it remarks on every output of another size
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # pictures differ in size
    return InferenceSession(model, options, providers=["CPUExecutionProvider"])
