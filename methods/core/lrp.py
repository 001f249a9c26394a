"""Layer-wise relevance propagation: what each convolution's output contributed to the predicted class's logit.

A logit is handed back through the network, node by node of its torch.fx graph, each by the rule of its kind
[Bach 2015; Yeom 2021]:

    convolution, linear layer               alpha-2 beta-1, batch norm behind it merged into it before
    ReLU, dropout, identity, other norms    passes through
    maxima, flatten, concatenation, slices  where the value came from, of equal maxima the first
    additions, means, average pools         in proportion to the contributions
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from methods.core.modes import in_eval_mode

__all__ = ["STABILISER", "Propagation", "stabilised"]

STABILISER = 1e-9
"""What is added, with its sign, to each sum that relevance is divided by.

Far below any sum that matters, so that a share moves by 1e-9 relative to sums of order 1; above what would overflow
float32 when a relevance is divided by it. Sums that are exactly zero need none: see `stabilised`.
"""

Operation = Callable[..., Tensor]
Rule = Callable[[Operation, tuple[Tensor, ...], Tensor], Iterable[Tensor]]
"""From an operation, its inputs and its output's relevance to one relevance per input, each of the input's shape."""


class Propagation:
    """Relevance through one network, whose copy it works on: the network given is left as it was."""

    def __init__(self, network: nn.Module) -> None:
        """Trace a copy of the network in eval mode and merge the norms behind its layers into them.

        Raises ValueError where torch.fx cannot follow the network, or a norm has no running statistics.
        """
        self._name = type(network).__name__
        self._copy = copy.deepcopy(network).eval().requires_grad_(False)
        self._graph = _graph(self._copy)
        _compute_out_of_place(self._copy, self._graph)
        _merge_norms(self._copy, self._graph)

    def check_rules(self) -> None:
        """Raise ValueError where there is no rule for what stands between a convolution and the logits; no image read.

        Numbers computed from sizes, such as those that a view is given, need no rule.
        """
        behind = _behind_convolutions(self._graph)
        *nodes, output = self._graph.nodes
        arrived = {output.args[0]}
        for node in reversed(nodes):
            inputs = [each for each in node.all_input_nodes if not _is_of_sizes(each)]
            if node in arrived and any(each in behind for each in inputs):
                self._rule(node)
                arrived.update(inputs)

    def agrees(self, network: nn.Module, images: Tensor) -> None:
        """Raise ValueError where the copy's logits are not the network's: its code does what a graph cannot show."""
        with torch.no_grad(), in_eval_mode(network):
            logits, own = network(images), self._interpreter().run(images)
        # Merging a norm rounds; what is looked for is another function. NaN is for whoever reads the relevances.
        if not torch.allclose(own, logits, rtol=0, atol=1e-2 * float(logits.nan_to_num().abs().max()), equal_nan=True):
            raise ValueError(f"relevance cannot follow {self._name}: traced by torch.fx it gives other logits")

    @torch.no_grad()
    def relevances(self, images: Tensor) -> dict[str, Tensor]:
        """The relevance of each convolution's output, shape (N, channels, places); places are h·w, row by row.

        It starts from the predicted class's logit, the first of equal ones. Biases absorb their share. A layer that
        is called more than once has the places of all calls. Raises ValueError where there is no rule for a module
        or an operation between a convolution and the logits.
        """
        interpreter = self._interpreter()
        logits = interpreter.run(images)
        value: dict[fx.Node, Any] = interpreter.env
        behind = _behind_convolutions(self._graph)
        predicted = logits.argmax(1, keepdim=True)
        start = torch.zeros_like(logits).scatter_(1, predicted, logits.gather(1, predicted))
        *nodes, output = self._graph.nodes
        arrived = {output.args[0]: start}
        read: dict[str, list[Tensor]] = {}
        for node in reversed(nodes):
            relevance = arrived.pop(node, None)
            if layer := node.meta.get("convolution"):
                read.setdefault(layer, []).append(
                    (torch.zeros_like(value[node]) if relevance is None else relevance).flatten(2)
                )
            inputs = [each for each in node.all_input_nodes if isinstance(value[each], Tensor)]
            # Nothing is read further towards the images, which would cost the most.
            if relevance is None or not any(each in behind for each in inputs):
                continue
            rule, operation = self._rule(node), _operation(interpreter, node, inputs)
            shares = rule(operation, tuple(value[each] for each in inputs), relevance)
            for each, share in zip(inputs, shares, strict=True):
                arrived[each] = arrived[each] + share if each in arrived else share
        return {layer: torch.cat(calls, 2) for layer, calls in read.items()}

    def _interpreter(self) -> fx.Interpreter:
        # It keeps every node's value.
        return fx.Interpreter(self._copy, garbage_collect_values=False, graph=self._graph)

    def _rule(self, node: fx.Node) -> Rule:
        if node.op == "call_module":
            module = _module(self._copy, node)
            kind: Any = type(module)
            name = kind.__name__
            rule = MODULES.get(kind)
        else:
            kind, name = node.target, getattr(node.target, "__name__", str(node.target))
            rule = OPERATIONS.get(kind)
        if rule is None:
            raise ValueError(
                f"relevance has no rule for {name} (layer {node.target if node.op == 'call_module' else node.name})"
            )
        return rule


def stabilised(sums: Tensor) -> Tensor:
    """Sums to divide relevance by: `STABILISER` added with the sum's sign, ∞ in place of zero.

    A positive or negative part that is zero has contributions of zero only; divided by ∞ their share is exactly 0
    whatever the relevance, and no quotient of 1/STABILISER stands among the others, whose rounding errors would
    follow its size. Summands of an addition that cancel exactly get nothing: their shares would be unbounded.
    """
    return torch.where(sums == 0, torch.inf, sums + STABILISER * sums.sign())


def _alpha_beta(operation: Operation, inputs: tuple[Tensor, ...], relevance: Tensor) -> Iterable[Tensor]:
    """R_i = Σ_j (2·z⁺_ij/Σ_i z⁺_ij − z⁻_ij/Σ_i z⁻_ij)·R_j with z_ij = x_i·w_ij and the bias among the z's."""
    from zennit.rules import AlphaBeta  # three seconds, for those who ask for relevance

    assert isinstance(operation, nn.Module)
    rule = AlphaBeta(alpha=2, beta=1, stabilizer=stabilised)
    if inputs[0].min() >= 0:
        # Behind a ReLU two of the rule's four parts, those of negative inputs, are zero: half of its time.
        quotients, products = rule.gradient_mapper, rule.reducer
        rule.input_modifiers, rule.param_modifiers = rule.input_modifiers[::2], rule.param_modifiers[::2]
        rule.gradient_mapper = lambda relevance, sums: quotients(relevance, _with_zeros(sums))[::2]
        rule.reducer = lambda inputs, gradients: products(_with_zeros(inputs), _with_zeros(gradients))
    rule.forward(operation, inputs, None)
    shares: tuple[Tensor, ...] = rule.backward(operation, inputs, (relevance,))
    return shares


def _with_zeros(parts: Sequence[Tensor]) -> list[Tensor | int]:
    return [parts[0], 0, parts[1], 0]


def _pass(operation: Operation, inputs: tuple[Tensor, ...], relevance: Tensor) -> Iterable[Tensor]:  # noqa: ARG001
    return (relevance,)


def _follow(operation: Operation, inputs: tuple[Tensor, ...], relevance: Tensor) -> Iterable[Tensor]:
    """To where the value came from: the gradient of an operation that selects or moves values."""
    with torch.enable_grad():
        leaves = [each.detach().requires_grad_() for each in inputs]
        return torch.autograd.grad(operation(*leaves), leaves, relevance)


def _share(operation: Operation, inputs: tuple[Tensor, ...], relevance: Tensor) -> Iterable[Tensor]:
    """In proportion to the contributions to a sum, R_i = x_i·a_ij/Σ_i x_i·a_ij·R_j: zennit's Norm, of many inputs."""
    with torch.enable_grad():
        leaves = [each.detach().requires_grad_() for each in inputs]
        sums = operation(*leaves)
    quotients = torch.autograd.grad(sums, leaves, relevance / stabilised(sums.detach()))
    return [each * quotient for each, quotient in zip(inputs, quotients, strict=True)]


MODULES: MappingProxyType[type[nn.Module], Rule] = MappingProxyType(
    dict.fromkeys((nn.Conv2d, nn.Linear), _alpha_beta)
    | dict.fromkeys((nn.ReLU, nn.ReLU6, nn.Dropout, nn.Dropout2d, nn.Identity), _pass)
    | dict.fromkeys((nn.BatchNorm2d, nn.BatchNorm1d), _pass)
    | dict.fromkeys((nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.ZeroPad2d), _follow)
    | dict.fromkeys((nn.AvgPool2d, nn.AdaptiveAvgPool2d), _share)
)
"""The rule of each type of module."""

OPERATIONS: MappingProxyType[Any, Rule] = MappingProxyType(
    dict.fromkeys((torch.relu, F.relu, F.relu6, F.dropout, F.dropout2d), _pass)
    | dict.fromkeys(("relu", "contiguous", "clone"), _pass)
    | dict.fromkeys((F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool2d, F.pad), _follow)
    | dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze, torch.permute, torch.transpose), _follow)
    | dict.fromkeys((torch.cat, torch.concat, torch.concatenate, operator.getitem), _follow)
    | dict.fromkeys(("flatten", "reshape", "view", "squeeze", "permute", "transpose"), _follow)
    | dict.fromkeys((operator.add, torch.add, torch.mean, F.avg_pool2d, F.adaptive_avg_pool2d), _share)
    | dict.fromkeys(("add", "mean"), _share)
)
"""The rule of each function, and of each tensor method by its name."""

OUT_OF_PLACE: MappingProxyType[Any, Any] = MappingProxyType(
    {operator.iadd: operator.add, torch.relu_: torch.relu, "relu_": "relu", "add_": "add"}
)


def _graph(network: nn.Module) -> fx.Graph:
    try:
        graph = fx.Tracer().trace(network)
    except Exception as error:  # a user's code, run on values that are none, may raise anything
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"relevance cannot follow {type(network).__name__}: torch.fx cannot trace it: {said}"
        ) from error
    if not isinstance(graph.output_node().args[0], fx.Node):
        raise ValueError(f"relevance cannot follow {type(network).__name__}: it returns more than logits")
    for node in graph.nodes:
        if isinstance(_module(network, node), nn.Conv2d):
            node.meta["convolution"] = node.target
    return graph


def _is_of_sizes(node: fx.Node) -> bool:
    """Whether the node computes sizes, or numbers from sizes alone, rather than a tensor."""
    if node.target in {"size", "dim", "numel", getattr, len}:
        return True
    inputs = node.all_input_nodes
    return bool(inputs) and all(_is_of_sizes(each) for each in inputs)


def _module(network: nn.Module, node: fx.Node) -> nn.Module | None:
    """The module that the node calls, None where it calls none."""
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _compute_out_of_place(network: nn.Module, graph: fx.Graph) -> None:
    """Let every operation leave its input alone; who reads a value changed in place reads the change's result."""
    position = {node: place for place, node in enumerate(graph.nodes)}
    for node, here in position.items():
        if node.target in OUT_OF_PLACE:
            node.target = OUT_OF_PLACE[node.target]
        elif node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
        elif not getattr(_module(network, node), "inplace", False):
            continue
        node.all_input_nodes[0].replace_all_uses_with(
            node, delete_user_cb=lambda user, here=here: position[user] > here
        )
    # After the walk: a module may be called more than once.
    for module in network.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]


def _merge_norms(network: nn.Module, graph: fx.Graph) -> None:
    """Merge each norm that alone reads a convolution, or a linear layer, into it."""
    for norm_node in list(graph.nodes):
        norm = _module(network, norm_node)
        if not isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
            continue
        if norm.running_mean is None or norm.running_var is None:
            name = type(norm).__name__
            raise ValueError(f"relevance has no rule for {name} without running statistics (layer {norm_node.target})")
        (node,) = norm_node.all_input_nodes
        layer = _module(network, node)
        mergeable = (nn.Conv2d, nn.BatchNorm2d), (nn.Linear, nn.BatchNorm1d)
        if (type(layer), type(norm)) not in mergeable or len(node.users) > 1:
            continue
        node.target = f"{node.name}_merged"
        network.add_module(node.target, _merged(layer, norm))
        norm_node.replace_all_uses_with(node)
        graph.erase_node(norm_node)


def _merged(layer: Any, norm: nn.BatchNorm2d | nn.BatchNorm1d) -> nn.Module:
    """A layer that gives what the norm gives behind the layer: γ·(Wx + b − μ)/√(σ² + ε) + β as one layer."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = norm.running_mean.new_zeros(()) if norm.bias is None else norm.bias
    if norm.weight is not None:
        scale = scale * norm.weight
    bias = 0 if layer.bias is None else layer.bias
    made: Any = copy.deepcopy(layer)
    made.weight = nn.Parameter(layer.weight * scale.reshape(-1, *[1] * (layer.weight.dim() - 1)), requires_grad=False)
    made.bias = nn.Parameter((bias - norm.running_mean) * scale + shift, requires_grad=False)
    return made  # type: ignore[no-any-return]


def _behind_convolutions(graph: fx.Graph) -> set[fx.Node]:
    """The convolutions and everything computed from one."""
    behind: set[fx.Node] = set()
    for node in graph.nodes:
        if node.meta.get("convolution") or any(each in behind for each in node.all_input_nodes):
            behind.add(node)
    return behind


def _operation(interpreter: fx.Interpreter, node: fx.Node, inputs: list[fx.Node]) -> Operation:
    """What the node computes, as a function of the tensors that it reads."""
    if node.op == "call_module":
        return interpreter.fetch_attr(str(node.target))  # type: ignore[no-any-return]

    def operation(*given: Tensor) -> Tensor:
        values = {**interpreter.env, **dict(zip(inputs, given, strict=True))}
        args = fx.map_arg(node.args, values.__getitem__)
        kwargs = fx.map_arg(node.kwargs, values.__getitem__)
        run = getattr(interpreter, node.op)
        return run(node.target, args, kwargs)  # type: ignore[no-any-return]

    return operation
