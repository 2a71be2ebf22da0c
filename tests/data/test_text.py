import numpy as np
import pytest

from course_lib.data import Dataset, text


def typed(example: Dataset, index: int) -> tuple[str, str]:
    window = "".join(text.ALPHABET[int(number)] for number in example.x[index])
    return window, text.ALPHABET[int(example.y[index])]


def test_text_is_folded_to_what_a_small_keyboard_can_type() -> None:
    assert text.fold("  Don't\n\tpanic_42 -- É (yes)!  ") == "don't panic -- (yes)!"
    assert text.fold("12 345 ") == ""


def test_every_character_is_the_label_of_the_window_before_it() -> None:
    passage = "the quick brown fox jumps."
    examples = text.next_characters([passage], 1, "fox")
    assert len(examples) == len(passage) and examples.shape == (text.WINDOW,)
    assert typed(examples, 0) == (" " * 16, "t")
    assert typed(examples, 3) == (" " * 13 + "the", " ")
    assert typed(examples, 25) == (passage[9:25], ".")
    assert "".join(examples.classes) == text.ALPHABET


def test_a_stride_keeps_every_so_many_characters_of_each_text_and_windows_never_cross_texts() -> None:
    examples = text.next_characters(["abcdefgh", "xyz"], 3, "short")
    assert [typed(examples, index) for index in range(len(examples))] == [
        (" " * 14 + "ab", "c"), (" " * 11 + "abcde", "f"), (" " * 14 + "xy", "z"),
    ]  # fmt: skip


def split(texts: list[str], test_fraction: float = 0.25, seed: int = 0) -> tuple[list[str], list[str]]:
    """The letters that are learnt, and those that are tested, of texts that each repeat one letter."""
    train, test = text.split(texts, 1, "letters", test_fraction, np.random.default_rng(seed))
    first, second = ([typed(part, index)[1] for index in range(len(part))] for part in (train, test))
    return first, second


def test_a_text_is_learnt_or_tested_never_both_and_equal_texts_count_once() -> None:
    texts = [letter * 5 for letter in "abcdefgh"]
    train, test = split([*texts, "AAAAA", "bbbbb "])
    assert len(train) == 30 and len(test) == 10
    assert set(train) | set(test) == set("abcdefgh") and not set(train) & set(test)


def test_the_generator_draws_which_texts_are_tested() -> None:
    texts = [letter * 5 for letter in "abcdefgh"]
    assert split(texts) == split(texts)
    assert len({tuple(split(texts, seed=seed)[1]) for seed in range(10)}) > 3


@pytest.mark.parametrize("test_fraction", [0.001, 0.999])
def test_at_least_one_text_is_on_either_side(test_fraction: float) -> None:
    train, test = split(["aaa", "bbb", "ccc"], test_fraction)
    assert len(set(train)) >= 1 and len(set(test)) >= 1


def test_too_few_texts_are_refused_with_their_number() -> None:
    with pytest.raises(ValueError, match="letters: 1 texts"):
        split(["aaa", "AAA", "12"])
