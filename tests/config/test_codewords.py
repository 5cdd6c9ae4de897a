"""A code word is a name for seven rules, in any order and case."""

import itertools
import random

import pytest

from gmmvi_ext.config.codewords import ROLE_LETTERS, code_word_of, expand_code_word


def test_samtron_is_the_recommended_set():
    assert expand_code_word("SAMTRON") == {
        "ng_estimator": "Stein",
        "num_component_adapter": "adaptive",
        "sample_selector": "component-based",
        "ng_based_updater": "trust-region",
        "component_stepsize_adapter": "improvement-based",
        "weight_updater": "trust-region",
        "weight_stepsize_adapter": "improvement-based",
    }


def test_all_648_words_come_back_from_their_rules_in_any_order_and_case():
    words = ["".join(letters) for letters in itertools.product(*ROLE_LETTERS.values())]
    assert len(words) == 648  # the reference's 432, and selector Q
    shuffle = random.Random(0)
    for word in words:
        letters = [shuffle.choice((c.lower(), c)) for c in word]
        shuffle.shuffle(letters)
        assert code_word_of(expand_code_word("".join(letters))) == word


def test_no_letter_stands_for_two_rules():
    letters = [letter for group in ROLE_LETTERS.values() for letter in group]
    assert len(letters) == len(set(letters))


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("SAMTROB", "unknown letter 'B'"),
        ("SAMTRO", r"lacks a letter for weight_stepsize_adapter \(X/G/N\)"),
        ("SZAMTRON", r"two letters for ng_estimator \(Z/S\)"),
        ("", "lacks a letter"),
        ("SAMTR0N", "Did you mean 'SAMTRON'"),
    ],
)
def test_a_wrong_word_says_which_letters_are_legal(word, part):
    with pytest.raises(ValueError, match=part):
        expand_code_word(word)


def test_rules_without_a_letter_have_no_word():
    types = expand_code_word("SAMTRON") | {"weight_updater": "my-own"}
    assert code_word_of(types) is None


def test_both_spellings_of_a_rule_give_its_letter():
    types = expand_code_word("SAMTRON") | {"weight_stepsize_adapter": "improvement_based"}
    assert code_word_of(types) == "SAMTRON"
