"""A linear student as ONNX: the weights and what is done with them. The code that makes its n-grams goes along."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from stillhouse.student import ngrams
from stillhouse.student.artifact import MODEL, Header
from stillhouse.student.linear import VOCABULARY, LinearStudent

OPSET, IR_VERSION = 18, 8  # of 2022: onnx would write its newest, which runtimes know a release later
_MOST_BYTES = 1_500_000_000  # of the file itself: a message of protobuf ends at 2 GiB


def to_onnx(student: LinearStudent, header: Header, source: Path, out: Path) -> Mapping[str, Any]:
    """Write the graph, the vocabulary and the code of the n-grams; what the reader has to know beside them."""
    tensors = load_file(source / MODEL)
    graph = _graph(tensors["idf"], tensors["coefficients"], tensors["intercept"])
    is_large = graph.ByteSize() > _MOST_BYTES
    onnx.save_model(graph, out / "model.onnx", save_as_external_data=is_large, location="model.onnx.data")
    shutil.copyfile(source / VOCABULARY, out / VOCABULARY)
    shutil.copyfile(ngrams.__file__, out / "ngrams.py")
    return {"temperature": student.temperature}


def _graph(idf: Any, coefficients: Any, intercept: Any) -> onnx.ModelProto:
    """From the numbers of a row's features and how often each occurs in it, (rows, features), to the logits.

    As scikit-learn has it with `sublinear_tf` and the Euclidean norm. A count of 0 is padding.
    """
    constants = {
        "idf": idf,  # (features,)
        "weights": np.ascontiguousarray(coefficients.T),  # (features, labels)
        "intercept": intercept,  # (labels,)
        "zero": np.float32(0),
        "one": np.float32(1),
        "least": np.float32(1e-30),  # a row without a known feature has the norm 0
        "last": np.array([1], np.int64),
    }
    steps = [
        ("Gather", ["idf", "features"], "idf_here"),
        ("Greater", ["counts", "zero"], "is_there"),
        ("Max", ["counts", "one"], "at_least_one"),
        ("Log", ["at_least_one"], "logarithm"),
        ("Add", ["logarithm", "one"], "damped"),
        ("Where", ["is_there", "damped", "zero"], "frequency"),
        ("Mul", ["frequency", "idf_here"], "tf_idf"),
        ("ReduceL2", ["tf_idf", "last"], "norm"),
        ("Max", ["norm", "least"], "norm_above_0"),
        ("Div", ["tf_idf", "norm_above_0"], "scaled"),
        ("Unsqueeze", ["scaled", "last"], "as_row"),  # (rows, 1, features)
        ("Gather", ["weights", "features"], "weights_here"),  # (rows, features, labels)
        ("MatMul", ["as_row", "weights_here"], "product"),
        ("Squeeze", ["product", "last"], "sums"),
        ("Add", ["sums", "intercept"], "logits"),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps],
        "linear",
        [
            helper.make_tensor_value_info("features", TensorProto.INT64, ["rows", "features"]),
            helper.make_tensor_value_info("counts", TensorProto.FLOAT, ["rows", "features"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", len(intercept)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="stillhouse")
