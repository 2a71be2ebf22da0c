"""The gradient without autograd's bookkeeping: record its operations once, then replay them.

At batch 10 a small network spends most of a step in Python, `nn.Module` and autograd rather than in arithmetic. The
operations are the same for every batch of one shape, so they are recorded once and replayed; the results are the same to
the bit. torch's own recorder, `make_fx`, would do, but it first imports torch's compiler: more than a second in every
worker process.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import CodeGen, Graph, GraphModule, Node
from torch.fx.node import map_aggregate
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

Gradient = Callable[..., tuple[Tensor, ...]]


def record_gradient(
    module: nn.Module, parameters: Sequence[Tensor], x: Tensor, y: Tensor
) -> tuple[tuple[Tensor, ...], Gradient | None]:
    """Return the gradient of the mean cross-entropy over the batch, and `gradient(x, y, *parameters)` to repeat it.

    The second serves batches shaped like `x`, `y`; it is None for a module that cannot be recorded, because what it does
    depends on the values it computes.
    """
    recorder = _Recorder([x, y, *parameters])
    with recorder:
        gradient = torch.autograd.grad(functional.cross_entropy(module(x), y), parameters)
    if not recorder.repeatable:
        return gradient, None
    recorder.graph.output(tuple(recorder.nodes[id(part)] for part in gradient))
    _simplify(recorder.graph)
    recorder.graph.set_codegen(CodeGen())  # a plain argument list
    return gradient, GraphModule(recorder.constants, recorder.graph).forward


class _Recorder(TorchDispatchMode):
    """Notes each operation that runs while it is active: below autograd, so the backward pass too."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph, self.constants, self.repeatable = Graph(), nn.Module(), True
        # A tensor is known by its identity, so each must stay alive until the recording ends.
        self.alive = list(inputs)
        self.nodes = {id(tensor): self.graph.placeholder(f"input_{n}") for n, tensor in enumerate(inputs)}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that nothing here needs hiding from torch's compiler; hiding it would import the compiler."""
        return False

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # The module's Python code may act on such a result, or on its shape, and would not be asked again.
        if {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(function.tags):
            self.repeatable = False
        arguments: Any = map_aggregate((args, kwargs or {}), self._node_of)
        node = self.graph.call_function(function, *arguments)
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self._remember(result, node)
        elif isinstance(result, tuple | list):
            for position, part in enumerate(result):
                if isinstance(part, Tensor):
                    self._remember(part, self.graph.call_function(operator.getitem, (node, position)))
        return result

    def _remember(self, tensor: Tensor, node: Node) -> Node:
        self.alive.append(tensor)
        self.nodes[id(tensor)] = node
        return node

    def _node_of(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in self.nodes:
            return self.nodes[id(value)]
        # Neither given nor computed: a buffer of the module, or a weight that is not trained.
        name = f"constant_{len(self.alive)}"
        self.constants.register_buffer(name, value)
        return self._remember(value, self.graph.get_attr(name))


def _simplify(graph: Graph) -> None:
    """Drop what changes nothing: detaching, transposing twice in a row, and results that nobody uses."""
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
