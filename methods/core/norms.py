"""Whether convolutions have batch norms of their own, as far as can be said without an image."""

from __future__ import annotations

from torch import fx, nn

__all__ = ["has_own_norms"]


def has_own_norms(network: nn.Module) -> bool:
    """Whether a batch norm with scales alone reads a convolution's output.

    Where torch.fx cannot trace the network, whether it has any batch norm of maps with scales.
    """
    modules = dict(network.named_modules())
    try:
        nodes = fx.Tracer().trace(network).nodes
    except Exception:  # a user's code, run on values that are none, may raise anything
        return any(isinstance(module, nn.BatchNorm2d) and module.affine for module in modules.values())
    for node in nodes:
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(norm, nn.BatchNorm2d) and norm.affine:
            (read,) = node.all_input_nodes
            behind = isinstance(modules.get(str(read.target)), nn.Conv2d) if read.op == "call_module" else False
            if behind and len(read.users) == 1:
                return True
    return False
