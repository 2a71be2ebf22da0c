"""The gradient without autograd's bookkeeping: record its operations once, then replay them.

At batch 10 a small network spends most of a step in Python, `nn.Module` and autograd rather than in arithmetic. The
operations are the same for every batch of one shape, so they are recorded once and replayed; the results are the same to
the bit. torch's own recorder, `make_fx`, would do, but it first imports torch's compiler: more than a second in every
worker process.
"""

import operator
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import CodeGen, Graph, GraphModule, Node
from torch.fx.node import map_aggregate
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Gradient = Callable[..., tuple[Tensor, ...]]

_REGISTER = 8  # floats that a processor handles at once: fewer channels than that leave most of it empty


def record_gradient(
    module: nn.Module, parameters: Sequence[Tensor], x: Tensor, y: Tensor
) -> tuple[tuple[Tensor, ...], Gradient | None]:
    """Return the gradient of the mean cross-entropy over the batch, and `gradient(x, y, *parameters)` to repeat it.

    The second serves batches shaped like `x`, `y`; it is None for a module that cannot be recorded, because what it does
    depends on the values it computes, or on what torch does not see: numpy, Python's random numbers, what it counts itself.
    """
    recorder = _Recorder([x, y, *parameters], module)
    before = _outside(module)
    with recorder:
        with _Watch(recorder):
            scores = module(x)
        gradient = torch.autograd.grad(functional.cross_entropy(scores, y), parameters, materialize_grads=True)
    recorder.repeatable &= _outside(module) == before
    if not recorder.repeatable:
        return gradient, None
    recorder.graph.output(tuple(recorder.nodes[id(part)] for part in gradient))
    _simplify(recorder.graph)
    _pool_side_by_side(recorder.graph)
    recorder.graph.set_codegen(CodeGen())  # a plain argument list
    return gradient, GraphModule(recorder.constants, recorder.graph).forward


class Recording:
    """A recorded gradient, which is held against the real one again and again: soon after it was made, then ever more rarely."""

    def __init__(self, repeat: Gradient) -> None:
        self.repeat, self._steps = repeat, 0

    def is_due(self) -> bool:
        """Count a step; say whether it is one of those that are proved: 1, 2, 3, 4, 8, 16 and so on."""
        self._steps += 1
        return self._steps & (self._steps - 1) == 0 or self._steps == 3

    def prove(
        self, module: nn.Module, views: Sequence[Tensor], x: Tensor, y: Tensor,
        real: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
    ) -> tuple[tuple[Tensor, ...], bool]:  # fmt: skip
        """Return the real gradient, and whether the repeated one equals it to the bit, random numbers and buffers included."""
        buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        saved, generator = [buffer.clone() for buffer in buffers], torch.get_rng_state()
        with torch.inference_mode():
            repeated = [
                *self.repeat(x.clone(), y, *views),
                *(buffer.clone() for buffer in buffers),
                torch.get_rng_state(),
            ]
        torch.set_rng_state(generator)
        with torch.no_grad():
            for buffer, value in zip(buffers, saved, strict=True):
                buffer.copy_(value)
        gradient = real(x, y)
        expected = [*gradient, *buffers, torch.get_rng_state()]
        return gradient, all(torch.equal(one, other) for one, other in zip(repeated, expected, strict=True))


def _outside(module: nn.Module) -> str:
    """Return what a module's Python code may draw from or count in, as far as it can be seen."""
    plain = [
        (name, key, value) for name, layer in module.named_modules() for key, value in vars(layer).items()
        if isinstance(value, int | float | str | list | tuple)
    ]  # fmt: skip
    return repr((random.getstate(), np.random.get_state()[1:], plain))  # type: ignore[index]


class _Watch(TorchFunctionMode):
    """Notices when a module takes values out of torch, where what becomes of them cannot be recorded."""

    def __init__(self, recorder: "_Recorder") -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(function, "__name__", "") in _LEAVES:
            self._recorder.repeatable = False
        return function(*args, **(kwargs or {}))


_LEAVES = {"tolist", "numpy", "__array__", "__dlpack__", "data_ptr", "storage", "untyped_storage"}


class _Recorder(TorchDispatchMode):
    """Notes each operation that runs while it is active: below autograd, so the backward pass too."""

    def __init__(self, inputs: Sequence[Tensor], module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph, self.constants, self.repeatable = Graph(), nn.Module(), True
        # A tensor is known by its identity, so each must stay alive until the recording ends.
        self.alive = list(inputs)
        held = [value for layer in module.modules() for value in vars(layer).values() if isinstance(value, Tensor)]
        self._known = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers(), *held)}
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
        node.meta["wide"] = tensor.dim() == 4 and tensor.shape[1] >= _REGISTER and tensor.is_contiguous()
        self.alive.append(tensor)
        self.nodes[id(tensor)] = node
        return node

    def _node_of(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) in self.nodes:
            return self.nodes[id(value)]
        # Neither given nor computed: a buffer of the module, or a weight that is not trained. Else it was made outside torch.
        self.repeatable &= id(value) in self._known
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


def _pool_side_by_side(graph: Graph) -> None:
    """Max-pool several channels at once, the same to the bit.

    Channel after channel, torch's kernel branches at each value, and the processor guesses wrong; where channels lie side by side
    it compares a register of them without a branch. Two copies, there and back, are far cheaper.
    """
    clone = torch.ops.aten.clone.default
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.max_pool2d_with_indices.default):
        images, *how = node.args
        if not images.meta["wide"]:
            continue
        with graph.inserting_before(node):
            turned = graph.call_function(clone, (images,), {"memory_format": torch.channels_last})
        node.args = (turned, *how)
        for part in list(node.users):  # the largest values, and where they were
            with graph.inserting_after(part):
                back = graph.call_function(clone, (part,), {"memory_format": torch.contiguous_format})
            part.replace_all_uses_with(back, delete_user_cb=lambda user, own=back: user is not own)
