"""A model of this project as ONNX Runtime computes it, in float32 or with its own dynamic quantization to 8 bits."""

from pathlib import Path

from gluonnlp_snli_plugin.formats.onnx.graph import build
from gluonnlp_snli_plugin.formats.onnx.reader import OnnxNet

import mxnet as mx  # isort: skip


def onnx_net(model, folder, int8=False):
    """The net of a model, exported to a file in `folder`; to be called as the model's own."""
    named = model.net._collect_params_with_prefix().items()
    parameters = {name: parameter.data(mx.cpu()).asnumpy() for name, parameter in named}
    path = Path(folder, "model.onnx")
    path.write_bytes(build(model.settings, parameters, {}).SerializeToString())
    return OnnxNet(quantized(path) if int8 else path, len(model.settings.labels))


def quantized(path):
    """A copy of an ONNX file, beside it, whose weights have 8 bits and whose inputs get them as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    other = path.with_name("quantized.onnx")
    quantize_dynamic(str(path), str(other), weight_type=QuantType.QInt8)
    return other
