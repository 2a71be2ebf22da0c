"""The gradient without autograd's bookkeeping: record its operations once, then replay them.

At batch 10 a small network spends most of a step in Python, `nn.Module` and autograd rather than in arithmetic. The
operations are the same for every batch of one shape, so they are recorded once (torch.fx) and replayed; the results are
the same to the bit.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import Graph, Node
from torch.nn import functional

Gradient = Callable[..., tuple[Tensor, ...]]


def trace_gradient(module: nn.Module, x: Tensor, y: Tensor) -> Gradient | None:
    """Return `gradient(x, y, *parameters)` for batches shaped like `x`, `y`, or None for a module that cannot be recorded.

    A module cannot be recorded when its Python code depends on the values it computes.
    """
    from torch.fx import CodeGen
    from torch.fx.experimental.proxy_tensor import make_fx

    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}

    def gradient(x: Tensor, y: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        scores = functional_call(module, dict(zip(trained, parameters, strict=True)), (x,))
        return torch.autograd.grad(functional.cross_entropy(scores, y), parameters)

    leaves = [parameter.detach().clone().requires_grad_() for parameter in trained.values()]
    state = torch.get_rng_state()
    try:
        recorded = make_fx(gradient)(x, y, *leaves)
    except Exception:  # noqa: BLE001 - whatever a learner's own forward raises here, autograd can still run it
        return None
    finally:
        torch.set_rng_state(state)  # recording runs the module once, and its dropout must not shift later draws
    _simplify(recorded.graph)
    recorded.graph.set_codegen(CodeGen())  # a plain argument list: unpacking a nested one costs a tenth of a step
    recorded.recompile()
    return recorded.forward


def _simplify(graph: Graph) -> None:
    """Drop what changes nothing: detaching, and transposing twice in a row."""
    transpose, detach = torch.ops.aten.t.default, torch.ops.aten.detach.default
    for node in graph.nodes:
        source = node.args[0] if node.args else None
        if not isinstance(source, Node):
            continue
        if node.target is detach:
            node.replace_all_uses_with(source)
        elif node.target is transpose and source.target is transpose and isinstance(source.args[0], Node):
            node.replace_all_uses_with(source.args[0])
    graph.eliminate_dead_code()
