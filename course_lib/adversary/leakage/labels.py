"""Labels stand in the gradient of the last layer's bias.

For cross-entropy it is, class by class, the mean over the batch of predicted share minus 1 where the label is: below zero only
for classes that are there (Zhao et al. 2020, arXiv 2001.02610, section 3).
"""

from torch import Tensor, nn


def last_bias(module: nn.Module, message: Tensor) -> Tensor:
    """Return the part `(classes,)` of a message `(d,)` that belongs to the last layer's bias. Raises ValueError without one."""
    layers = [layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None]
    bias = getattr(layers[-1], "bias", None)
    if bias is None:
        raise ValueError(f"the last layer is {layers[-1]}: labels are read from its bias, and it has none")
    return message[len(message) - len(bias) :]


def label(bias: Tensor) -> int:
    """Return the one label of a batch of one, from the gradient `(classes,)`: certain, since all other classes are positive.

    Raises ValueError where nothing is below zero: no gradient of cross-entropy is like that.
    """
    if not bool((bias < 0).any()):
        raise ValueError(
            "no entry is below zero: this is no gradient of cross-entropy; Victim.gradient makes one of an update"
        )
    return int(bias.argmin())


def labels(bias: Tensor, batch: int, predicted: Tensor | None = None) -> Tensor:
    """Guess the labels `(batch,)` of a batch, in order, from the gradient `(classes,)`.

    Each image pulls its class down by 1 / batch. So, image by image, the lowest entry is taken for a label and raised by as
    much (Wainakh et al. 2022, arXiv 2105.09369, whose impact is estimated, here known). `predicted`: the mean shares `(classes,)` that
    the model gives, as far as they are known; by default the same for each class, as an untrained model has it.
    Sure only for a batch of one. With more images than classes only the counts matter, and a repeated class can be missed.
    """
    if batch < 1:
        raise ValueError(f"batch={batch} must be at least 1")
    shares = bias.new_full((len(bias),), 1 / len(bias)) if predicted is None else predicted
    left = (bias - shares).double()
    found = []
    for _ in range(batch):
        found.append(int(left.argmin()))
        left[found[-1]] += 1 / batch
    return bias.new_tensor(sorted(found)).long()
