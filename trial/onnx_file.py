"""A network as one ONNX file: written from torch, opened in ONNX Runtime, and what it stores counted.

A file is its bytes here: what is exported, quantised, measured, stored and shipped are the same ones. It takes
normalised ``images``, float32 (batch, C, H, W), and gives ``logits``, float32 (batch, classes), any batch.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from analysis.errors import WrongInput
from trial.version import VERSION

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto
    from onnxruntime import InferenceSession

__all__ = [
    "BATCH",
    "INPUT",
    "OPSET",
    "OPSETS",
    "OUTPUT",
    "Floats",
    "exported",
    "logits",
    "read",
    "session",
    "stored_tensors",
    "written",
]

INPUT, OUTPUT = "images", "logits"
"""The names of what a file takes and gives."""
OPSET = 20
"""Of ONNX's operators, where nobody says another one: fixed, so that torch's next version exports the same file."""
OPSETS = range(18, 24)
"""Those that the exporter writes and ONNX Runtime reads."""
BATCH = 64
"""Images at a time. Dynamic quantisation has one scale for a whole batch, so its logits depend on this number."""

Floats = npt.NDArray[np.float32]

_OWN_DOMAINS = {"", "ai.onnx"}


def exported(network: nn.Module, *, image: Sequence[int], opset: int | None = None) -> bytes:
    """The network as an ONNX file, batch norm folded into its convolutions, weights inside, any batch.

    Equal networks give equal bytes under the same versions: what the exporter says of source files, and the version of
    torch, is left out.

    Args:
        network: On any device; it is left as it is, and exported as it computes in eval mode.
        image: The shape of one image, (C, H, W).
        opset: Of ONNX's operators, one of ``OPSETS``; None is ``OPSET``.

    Raises:
        WrongInput: An opset that is not known, or a network that cannot be exported, for one of which the number of
            images is not free.
    """
    opset = OPSET if opset is None else opset
    if opset not in OPSETS:
        raise WrongInput(f"opset must lie in [{OPSETS[0]}, {OPSETS[-1]}], got {opset} (opset)")
    plain = deepcopy(network).cpu().float().to(memory_format=torch.contiguous_format).eval()
    example = torch.zeros(2, *image)  # one image alone would be taken for a fixed batch
    try:
        with silenced(), torch.no_grad():
            program = torch.onnx.export(
                plain,
                (example,),
                dynamo=True,
                external_data=False,
                verbose=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
        assert program is not None
        model = program.model_proto
    except Exception as error:  # whatever its tracer, decompositions and translations cannot do
        raise WrongInput(f"{type(network).__name__} cannot be exported to ONNX: {reason(error)}") from error
    found = next(entry.version for entry in model.opset_import if entry.domain in _OWN_DOMAINS)
    if found != opset:
        raise WrongInput(
            f"{type(network).__name__} cannot be exported to opset {opset}: torch gave {found}, leave the opset out"
        )
    return written(model)


def written(model: ModelProto) -> bytes:
    """The bytes of a model, without what a tool noted about where it came from."""
    model.producer_name, model.producer_version = "prunefront", VERSION
    model.doc_string = ""
    del model.metadata_props[:]
    # Whoever wants the shapes between operators infers them; quantising trips over those of weights that it transposes.
    del model.graph.value_info[:]
    _forget(model.graph)
    return bytes(model.SerializeToString(deterministic=True))


def read(model: bytes, *, where: str = "the ONNX file") -> ModelProto:
    """The model of a file's bytes, once it is seen to be whole, plain and one of images to logits.

    Nothing in it is executed, and no other file is opened.

    Raises:
        WrongInput: It is damaged or no ONNX file, takes or gives something else, has weights in other files, or asks
            for operators that are not ONNX's own. ``where`` is what the message calls it.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        found = onnx.load_model_from_string(model)
    except DecodeError:
        raise WrongInput(f"{where} is damaged, or no ONNX file: it does not parse") from None
    graph = found.graph
    # An empty message and many a foreign one parse too.
    if not found.ir_version or not graph.node:
        raise WrongInput(f"{where} is damaged, or no ONNX file: it has no operators")
    elsewhere = [tensor.name for tensor in _tensors(graph) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if elsewhere:
        raise WrongInput(f"{where} keeps {elsewhere[0]} in another file: save it with its weights inside")
    odd = {node.domain for node in _nodes(graph)} - _OWN_DOMAINS
    if odd or found.functions:
        raise WrongInput(f"{where} needs operators that are not ONNX's own, of {', '.join(sorted(odd)) or 'itself'}")
    given, known = [entry.name for entry in graph.input], {entry.name for entry in graph.initializer}
    takes, gives = [name for name in given if name not in known], [entry.name for entry in graph.output]
    if takes != [INPUT] or gives != [OUTPUT]:
        raise WrongInput(
            f"{where} is of another kind: prunefront's take {INPUT!r} and give {OUTPUT!r}, this one takes "
            f"{', '.join(takes) or 'nothing'} and gives {', '.join(gives) or 'nothing'}"
        )
    return found


def session(model: bytes, *, threads: int, where: str = "the ONNX file") -> InferenceSession:
    """Open a file in ONNX Runtime on the CPU.

    Args:
        model: The file's bytes.
        threads: CPU threads of one operator, ≥ 1; operators run one after another.
        where: What messages call the file.

    Raises:
        WrongInput: `read` refuses it, or ONNX Runtime cannot run it.
    """
    import onnxruntime

    read(model, where=where)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # its errors are raised as well
    try:
        opened = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise WrongInput(f"{where} cannot be run by ONNX Runtime: {reason(error)}") from None
    takes, gives = opened.get_inputs()[0], opened.get_outputs()[0]
    for entry, rank in ((takes, 4), (gives, 2)):
        if entry.type != "tensor(float)" or len(entry.shape) != rank:
            raise WrongInput(
                f"{where} is of another kind: its {entry.name} are {entry.type} of {len(entry.shape)} dimensions, "
                f"prunefront's tensor(float) of {rank}"
            )
    return opened


def logits(opened: InferenceSession, images: Floats) -> Floats:
    """What a file computes of normalised images, float32 (N, classes), ``BATCH`` of them at a time.

    Raises WrongInput where the images are not of its shape.
    """
    wanted = opened.get_inputs()[0].shape[1:]
    if list(images.shape[1:]) != [
        said if isinstance(said, int) else here for said, here in zip(wanted, images.shape[1:], strict=False)
    ]:
        raise WrongInput(f"the ONNX file takes images of shape {tuple(wanted)}, got {tuple(images.shape[1:])}")
    parts = [
        np.asarray(opened.run([OUTPUT], {INPUT: np.ascontiguousarray(images[start : start + BATCH])})[0])
        for start in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, opened.get_outputs()[0].shape[1]), np.float32)


def stored_tensors(model: bytes) -> bytes:
    """The tensors that a file stores, in its order, little-endian and without any header.

    int8 weights with their scales and zero points, float16 and float32 weights alike, and shapes that operators take.
    """
    from onnx import numpy_helper

    arrays = (numpy_helper.to_array(tensor) for tensor in _tensors(read(model).graph))
    return b"".join(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes() for array in arrays)


def _nodes(graph: GraphProto) -> Iterator[Any]:
    """All operators, those of branches and loops included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """All stored tensors: weights, those that operators hold as attributes, and those of branches and loops."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            # An attribute that is no tensor has an empty one.
            yield from (tensor for tensor in (attribute.t, *attribute.tensors) if tensor.data_type)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _forget(graph: GraphProto) -> None:
    """Remove notes on where things came from, source files of the machine that exported them among them."""
    for entry in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        entry.doc_string = ""
        del entry.metadata_props[:]


def reason(error: Exception) -> str:
    """The first line of what went wrong first: exporters wrap it in pages."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]:.200}" if lines else type(error).__name__


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Nothing that the exporter says on its way reaches the user: it says it of its own innards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
