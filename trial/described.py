"""A network as tensors and the operations on them, which plain torch computes: nothing of it is code.

A file of safetensors holds the tensors, and in its header under ``graph`` a JSON list: what each operation gives, the
name of an ATen operation, and what it takes: names (strings), numbers, or lists of them. ``images`` goes in and
``logits`` comes out. `LINES` computes it with torch and safetensors alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from analysis.errors import WrongInput
from trial.onnx_file import INPUT, OUTPUT, reason, silenced

__all__ = ["LINES", "Described", "described", "load", "program", "to_bytes"]

LINES = """\
file = safetensors.safe_open("model.safetensors", "pt")
values = {name: file.get_tensor(name) for name in file.keys()} | {"images": images}
get = lambda x: values[x] if isinstance(x, str) else [get(y) for y in x] if isinstance(x, list) else x
for out, name, x in json.loads(file.metadata()["graph"]): values[out] = getattr(torch.ops.aten, name)(*map(get, x)).real
"""
"""Run a network on normalised ``images`` after ``import json, safetensors, torch``; then ``values["logits"]`` is there.

Tensors and numbers have a real part, and text has none: with ``.real`` no operation is given the name of a file.
"""

OPERATIONS = frozenset(
    (  # noqa: SIM905  # a list would take a hundred lines
        "abs adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d add addmm alias amax amin argmax "
        "avg_pool1d avg_pool2d baddbmm batch_norm bmm cat channel_shuffle chunk clamp clamp_max clamp_min clone "
        "constant_pad_nd contiguous conv1d conv2d conv3d conv_transpose2d cumsum detach detach_ div dropout einsum "
        "elu eq exp expand expand_as feature_dropout flatten floor floor_divide ge gelu glu group_norm gt "
        "hardsigmoid hardswish hardtanh instance_norm layer_norm le leaky_relu lift_fresh_copy linalg_vector_norm "
        "linear log log_softmax logical_and logical_not logical_or lt masked_fill matmul max_pool2d maximum mean "
        "minimum mish mm movedim mul ne neg norm pad permute pixel_shuffle pixel_unshuffle pow prelu reciprocal "
        "relu relu6 reshape rms_norm rsqrt rsub scaled_dot_product_attention select selu sigmoid sign silu sin "
        "slice softmax softplus split split_with_sizes sqrt square squeeze stack std sub sum sym_size t tanh "
        "threshold to transpose tril triu unbind unflatten unsqueeze upsample_bilinear2d upsample_nearest2d var "
        "view view_as where zeros_like "
    ).split()
)
"""All that a description may ask for, in place too: others reach beyond their tensors, into files or foreign memory."""

Operation = tuple[str, str, list[Any]]


class Described(nn.Module):
    """A network that was loaded from its description; it computes what the described one does in eval mode."""

    def __init__(self, tensors: Mapping[str, Tensor], graph: Sequence[Operation], about: Mapping[str, str]) -> None:
        super().__init__()
        self._names = {name: f"tensor{index}" for index, name in enumerate(tensors)}
        for name, tensor in tensors.items():
            # Module's names have no dots.
            self.register_buffer(self._names[name], tensor)
        self.graph = list(graph)
        self.about = dict(about)
        """What else the file's header says."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (N, classes), of normalised images, shape (N, C, H, W).

        Raises WrongInput where an operation does not take what it is given: a damaged file, or images of another shape.
        """
        values: dict[str, Any] = {name: self.get_buffer(own) for name, own in self._names.items()} | {INPUT: images}

        def get(taken: Any) -> Any:
            if isinstance(taken, str):
                return values[taken]
            return [get(each) for each in taken] if isinstance(taken, list) else taken

        for out, name, taken in self.graph:
            try:
                values[out] = getattr(torch.ops.aten, name)(*get(taken))
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise WrongInput(f"the described network cannot compute {name}: {reason(error)}") from None
        logits = values[OUTPUT]
        if not isinstance(logits, Tensor):
            raise WrongInput(f"the described network gives {type(logits).__name__}, no tensor of logits")
        return logits


def program(network: nn.Module, *, image: Sequence[int]) -> torch.export.ExportedProgram:
    """The network as torch.export has it: in eval mode, on the CPU, for any number of images.

    Raises WrongInput where torch cannot export it.
    """
    plain = deepcopy(network).cpu().float().to(memory_format=torch.contiguous_format).eval()
    try:
        with silenced(), torch.no_grad():
            return torch.export.export(
                plain, (torch.zeros(2, *image),), dynamic_shapes=({0: torch.export.Dim("batch")},)
            )
    except Exception as error:  # whatever its tracer cannot do
        raise WrongInput(f"{type(network).__name__} cannot be exported by torch: {reason(error)}") from error


def described(exported: torch.export.ExportedProgram) -> tuple[dict[str, Tensor], list[Operation]]:
    """The tensors of a network by their names in its state dict, and the operations from images to logits.

    Raises WrongInput where an operation is not ATen's, or takes what JSON does not hold.
    """
    signature = exported.graph_signature
    known: dict[str, str] = {}
    tensors: dict[str, Tensor] = {name: tensor.detach() for name, tensor in exported.state_dict.items()}
    for placeholder, name in (
        *signature.inputs_to_parameters.items(),
        *signature.inputs_to_buffers.items(),
        *signature.inputs_to_lifted_tensor_constants.items(),
    ):
        known[placeholder] = name
        if name not in tensors:  # constants, and buffers that are not persistent
            tensors[name] = exported.constants[name].detach()
    (given,) = signature.user_inputs
    known[str(given)] = INPUT
    (gives,) = signature.user_outputs
    graph: list[Operation] = []
    for node in exported.graph.nodes:
        if node.op != "call_function":
            continue
        target = node.target
        if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten":
            raise WrongInput(f"the network cannot be described: {getattr(target, '__name__', target)} is not ATen's")
        name = target._schema.name.removeprefix("aten::")
        if not _is_harmless(name):
            raise WrongInput(f"the network cannot be described: {name} is none of the operations that are loaded again")
        out = OUTPUT if node.name == gives else f"%{node.name}"
        known[node.name] = out
        graph.append((out, name, _taken(node, known)))
    assert any(out == OUTPUT for out, _, _ in graph), "a network that computes something"
    return {name: tensor.clone().contiguous() for name, tensor in tensors.items()}, graph


def to_bytes(network: nn.Module, *, image: Sequence[int], about: Mapping[str, str]) -> bytes:
    """The network as a file of safetensors that describes itself; ``about`` is said in its header too."""
    tensors, graph = described(program(network, image=image))
    header = {**about, "format": "pt", "graph": json.dumps(graph, separators=(",", ":"))}
    return _in_order(safetensors.torch.save(tensors, header))


def load(data: bytes, *, where: str) -> Described:
    """The network that a file describes; only operations on its tensors are carried out, and no code is loaded.

    Raises WrongInput where the file is damaged, or describes no network; ``where`` is what the message calls it.
    """
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError) as error:
        raise WrongInput(f"{where} is damaged, or no file of safetensors: {reason(error)}") from None
    try:
        graph = json.loads(header["graph"])
        known = {INPUT, *tensors}
        for out, name, taken in graph:
            if not isinstance(taken, list):
                raise TypeError(f"{name} takes no list")
            if not _is_harmless(name):
                raise WrongInput(f"{where} asks for the operation {name!r}, which no network needs: it is not loaded")
            if missing := _names(taken) - known:
                raise WrongInput(f"{where} is damaged: {name} takes {sorted(missing)[0]!r}, which nothing gives")
            known.add(out)
        if OUTPUT not in known:
            raise KeyError(OUTPUT)
    except WrongInput:
        raise
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise WrongInput(f"{where} does not describe a network: {reason(error)} (its header's graph)") from None
    return Described(tensors, graph, {name: said for name, said in header.items() if name != "graph"})


def _in_order(data: bytes) -> bytes:
    """The same file with its header's entries sorted: safetensors writes them in an order that changes."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)  # tensors begin at a multiple of eight
    return len(written).to_bytes(8, "little") + written + data[end:]


def _is_harmless(name: object) -> bool:
    return isinstance(name, str) and (name in OPERATIONS or name.removesuffix("_") in OPERATIONS)


def _taken(node: torch.fx.Node, known: Mapping[str, str]) -> list[Any]:
    """An operation's arguments in their order, up to the last that is not its default."""
    schema = node.target._schema  # type: ignore[union-attr]  # an OpOverload's
    args = list(node.args)
    for argument in schema.arguments[len(args) :]:
        said = node.kwargs.get(argument.name, argument.default_value)
        if argument.kwarg_only:
            if said != argument.default_value:
                raise WrongInput(f"the network cannot be described: {schema.name} takes {argument.name} by name")
            continue
        args.append(said)
    while len(args) > len(node.args) and args[-1] == schema.arguments[len(args) - 1].default_value:
        args.pop()
    return [_plain(each, known, schema.name) for each in args]


def _plain(value: Any, known: Mapping[str, str], operation: str) -> Any:
    if isinstance(value, torch.fx.Node):
        return known[value.name]
    if isinstance(value, (list, tuple)):
        return [_plain(each, known, operation) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise WrongInput(f"the network cannot be described: {operation} takes {value!r:.40}")


def _names(taken: Any) -> set[str]:
    if isinstance(taken, str):
        return {taken}
    return set().union(*map(_names, taken)) if isinstance(taken, list) else set()
