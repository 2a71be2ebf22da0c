"""Lesson 11, "What updates give away": PSNR, the labels of a batch, the cheapest setting that stops the attack; and the quiz."""

from collections.abc import Callable, Mapping
from math import isclose, log10
from typing import Any

from course_lib.classroom import answers
from course_lib.classroom.exercises import Exercise, Wrong
from course_lib.classroom.quizzes import Choice, Question


def _check_psnr(psnr: Callable[[Any, Any], float]) -> str:
    import torch

    truth = torch.tensor([[0.0, 0.5], [1.0, 0.25]])
    image = truth + torch.tensor([[0.1, -0.1], [-0.2, 0.2]])
    given = float(answers.number(psnr(image.clone(), truth.clone())))
    mse = 0.025
    for mistake, explanation in {
        -10 * log10(mse) / 2: "You took the root of the error. PSNR goes by the mean square itself.",
        -20 * log10(mse): "20 x log10 belongs to the root of the error; with the mean square it is 10.",
        10 * log10(mse): "The sign is wrong: a smaller error is more decibels. Take 1 / mse.",
        3.6888794541139363: "This is the natural logarithm, without the 10. Take 10 x log10.",
        36.888794541139363: "This is the natural logarithm. Take `torch.log10`.",
        -log10(mse): "These are bels. A decibel is a tenth of one: multiply by 10.",
        -10 * log10(4 * mse): "You added the squared errors up. Take their mean.",
        -10 * log10(0.15): "You took absolute errors. Square them before you take the mean.",
    }.items():
        if isclose(given, mistake, rel_tol=1e-4):
            raise Wrong(explanation)
    if not isclose(given, -10 * log10(mse), rel_tol=1e-4):
        raise Wrong(
            f"Errors of 0.1, 0.1, 0.2 and 0.2 have the mean square 0.025: {-10 * log10(mse):.2f} dB, you return {given:.2f}."
        )
    return "Half the squared error is 3 dB more, whatever it was before."


q1 = Exercise(
    "How good is the copy",
    _check_psnr,
    hints=[
        "`(image - truth) ** 2` are the squared errors, and `.mean()` is their mean.",
        "`torch.log10` is the logarithm to base 10. The peak is 1, so its square is, too.",
    ],
    solution="    mse = ((image - truth) ** 2).mean()\n    return float(10 * torch.log10(1 / mse))",
)


def _check_counts(counts: Callable[[Any, int], Any]) -> str:
    import torch

    true = [0, 3, 1, 0, 4]
    bias = torch.full((5,), 0.2) - torch.tensor([float(count) for count in true]) / 8
    given = [float(value) for value in counts(bias.clone(), 8)]
    for mistake, explanation in [
        (
            [round(-8 * value) for value in bias.tolist()],
            "You left out the predicted share: take the number off the share, 1 / classes.",
        ),
        (
            [int(value < 0) for value in bias.tolist()],
            "These are the classes that are there. How many images has each?",
        ),
        ([count / 8 for count in true], "These are shares of the batch. Multiply by the number of images."),
        ([-count for count in true], "The sign is wrong: an image pulls its class down."),
        (
            [round(8 * (0.1 - value)) for value in bias.tolist()],
            "There are five classes here, not ten: the share is 1 / len(bias).",
        ),
    ]:
        if len(given) == 5 and all(isclose(a, b, abs_tol=1e-6) for a, b in zip(given, mistake, strict=True)):
            raise Wrong(explanation)
    if len(given) != 5 or not all(isclose(a, b, abs_tol=1e-3) for a, b in zip(given, true, strict=True)):
        raise Wrong(
            f"Eight images, bias gradient {[round(value, 3) for value in bias.tolist()]}: the counts are {true}, you return {given}."
        )
    noisy = bias + torch.tensor([0.02, -0.03, 0.01, -0.02, 0.02])
    if [float(value) for value in counts(noisy, 8)] != true:
        raise Wrong(
            "Right for exact shares. A model's shares are never quite equal: `round` to the nearest whole number."
        )
    return "A list of labels without names: but a server that knows who sent it knows whose they are."


q2 = Exercise(
    "The labels of a batch",
    _check_counts,
    hints=[
        "Each number of `bias` is share - count / n. Solve it for the count.",
        "`share = 1 / len(bias)`, then `round(n * (share - value))` for each value.",
    ],
    solution=(
        "    share = 1 / len(bias)\n    return [round(n * (share - value)) for value in bias.tolist()]"
    ),
)  # fmt: skip

_ROWS = {
    "none": (1.0, 0.13, 0.93, 800), "8 bits": (0.98, 0.13, 0.93, 200), "a little noise": (0.6, 0.13, 0.91, 800),
    "much noise": (0.1, 0.13, 0.40, 800), "masks": (0.02, 0.13, 0.93, 810), "masks and 16 bits": (0.03, 0.13, 0.93, 410),
    "no training": (0.01, 0.13, 0.10, 0),
}  # fmt: skip


def _check_cheapest(cheapest: Callable[[Mapping[str, Any]], Any]) -> str:
    given = cheapest(dict(_ROWS))
    for mistake, explanation in {
        "none": "That is the most accurate of all, and it stops nothing. Keep only those at most 0.1 above the guess first.",
        "8 bits": "8 bits leave 0.98, far above the guess of 0.13. Keep only settings that stop the attack.",
        "no training": "That has the fewest bytes. Accuracy comes first; bytes decide only among equals.",
        "masks": "Masks are as accurate as another setting that stops it, with more bytes. Among equals, the fewest bytes.",
        "much noise": "It stops the attack, but there are more accurate ones that do.",
        "a little noise": "It leaves 0.6, more than 0.1 above the guess.",
    }.items():
        if given == mistake:
            raise Wrong(explanation)
    if isinstance(given, list | tuple | set):
        raise Wrong(f"You return several: {given}. Return the name of one.")
    if given != "masks and 16 bits":
        raise Wrong(f"Of {', '.join(_ROWS)} it is 'masks and 16 bits'; you return {given!r}.")
    edge = {"just": (0.29, 0.2, 0.9, 5), "not quite": (0.31, 0.2, 0.95, 5), "far": (0.1, 0.2, 0.5, 5)}
    if cheapest(edge) != "just":
        raise Wrong("At most 0.1 above the guess: 0.29 against 0.2 still counts as stopped, 0.31 does not.")
    return "By these two attacks. What a better attack would read, the table does not say."


q3 = Exercise(
    "The cheapest setting that stops it",
    _check_cheapest,
    hints=[
        "First the names that stop it: `[name for name, (ssim, guess, _, _) in rows.items() if ssim <= guess + 0.1]`.",
        "`max(names, key=...)`. A pair as key compares accuracy first, then minus the bytes.",
    ],
    solution=(
        "    stops = [name for name, (ssim, guess, _, _) in rows.items() if ssim <= guess + 0.1]\n"
        "    return max(stops, key=lambda name: (rows[name][2], -rows[name][3]))"
    ),
)  # fmt: skip

quiz = [
    Question(
        "Why does one row of the first layer's gradient hold the whole image?",
        [
            Choice("It is the image, times the gradient of that row's bias", True, "That is the chain rule for W x + b."),
            Choice("The network has memorised the image", False, "It is untrained. The image stands in the gradient, not in the weights."),
            Choice("The client sent the image along", False, "No raw data was sent: the recorded messages show it."),
        ],
    ),
    Question(
        "A client takes 50 local steps on one image and sends the update. What does division find?",
        [
            Choice("The image", True, "Each step adds a multiple of it to the row, and the same multiple of 1 to the bias."),
            Choice("A blurred image", False, "A sum of multiples of one image is a multiple of that image."),
            Choice("Nothing, since the server knows only the end", False, "The difference to the start is all that it takes."),
        ],
    ),
    Question(
        "Ten restarts of a search give ten images. Which one may the attacker report?",
        [
            Choice("The one whose message is nearest to the captured one", True, "That needs no truth."),
            Choice("The one with the highest PSNR", False, "PSNR needs the true image. An attacker who had it would need no attack."),
            Choice("The mean of all", False, "A mean over failures and successes is neither."),
        ],
    ),
    Question(
        "Secure aggregation among two clients with one image each. What can the server read?",
        [
            Choice("Often both images, but not which is whose", True, "It learns the sum: the gradient of a batch of two."),
            Choice("Nothing", False, "It learns the sum, or it could not train; and a batch of two is readable."),
            Choice("Both images and their owners", False, "The sum does not say who added what."),
        ],
    ),
    Question(
        "Against a new compression both of your attacks fail. What follows?",
        [
            Choice("This attack fails there", True, "A better one may not. Only a proof covers attacks nobody has thought of."),
            Choice("With this compression the data is private", False, "You have shown that one attack fails, not that all do."),
            Choice("Gradients cannot be inverted", False, "Without that compression you inverted one."),
        ],
    ),
]  # fmt: skip
