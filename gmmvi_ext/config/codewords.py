"""Code words: one letter for each of the seven design choices, `SAMTRON` for example.

Letters may come in any order and case. A code word is only a name for seven `XXX_type` entries; the
settings of the chosen rules are their own defaults.
"""

from collections.abc import Mapping

from gmmvi_ext.registry import did_you_mean, normalized_name

__all__ = ["AUTO", "DEFAULT_CODE_WORD", "ROLE_LETTERS", "code_word_of", "expand_code_word"]

DEFAULT_CODE_WORD = "SAMTRON"
AUTO = "auto"  # leaves the choice to the target, once it is known

# Role (prefix of its keys) -> letter -> name of the rule; the order is that of the code word.
ROLE_LETTERS: dict[str, dict[str, str]] = {
    "ng_estimator": {"Z": "MORE", "S": "Stein"},
    "num_component_adapter": {"E": "fixed", "A": "adaptive"},
    "sample_selector": {"P": "mixture-based", "M": "component-based", "Q": "fixed-count"},
    "ng_based_updater": {"I": "direct", "Y": "iBLR", "T": "trust-region"},
    "component_stepsize_adapter": {"F": "fixed", "D": "decaying", "R": "improvement-based"},
    "weight_updater": {"U": "direct", "O": "trust-region"},
    "weight_stepsize_adapter": {"X": "fixed", "G": "decaying", "N": "improvement-based"},
}


def expand_code_word(word: str) -> dict[str, str]:
    """Names of the seven rules, `{"ng_estimator": "Stein", ...}`.

    Raises:
      ValueError: a letter is unknown, a role is named twice or not at all; lists the letters.

    Example:
        >>> from gmmvi_ext.config import expand_code_word
        >>> for role, rule in expand_code_word("SAMTRON").items():
        ...     print(role, rule)
        ng_estimator Stein
        num_component_adapter adaptive
        sample_selector component-based
        ng_based_updater trust-region
        component_stepsize_adapter improvement-based
        weight_updater trust-region
        weight_stepsize_adapter improvement-based
    """
    role_of = {letter: role for role, letters in ROLE_LETTERS.items() for letter in letters}
    chosen: dict[str, str] = {}
    for letter in str(word).upper():
        role = role_of.get(letter)
        if role is None:
            nearest = did_you_mean(str(word).upper(), ("SAMTRON", "ZAMTRUX", "SEPYFUX", "SEPIFUX"))
            raise ValueError(
                f"unknown letter {letter!r} in code word {word!r}; a code word has one letter of "
                f"each group: {_groups()}.{nearest}"
            )
        if role in chosen:
            legal = "/".join(ROLE_LETTERS[role])
            raise ValueError(
                f"code word {word!r} has two letters for {role} ({legal}); keep one. Code words "
                "are such as SAMTRON (with gradients) and ZAMTRON (without)."
            )
        chosen[role] = letter
    missing = [role for role in ROLE_LETTERS if role not in chosen]
    if missing:
        needs = ", ".join(f"{role} ({'/'.join(ROLE_LETTERS[role])})" for role in missing)
        raise ValueError(f"code word {word!r} lacks a letter for {needs}.")
    return {role: ROLE_LETTERS[role][chosen[role]] for role in ROLE_LETTERS}


def code_word_of(types: Mapping[str, str]) -> str | None:
    """The code word for seven rule names; None where a rule has no letter.

    Example:
        >>> from gmmvi_ext.config import code_word_of, expand_code_word
        >>> code_word_of(expand_code_word("SAMTRON"))
        'SAMTRON'
    """
    word = ""
    for role, letters in ROLE_LETTERS.items():
        wanted = normalized_name(types.get(role, ""))
        found = [letter for letter, name in letters.items() if normalized_name(name) == wanted]
        if not found:
            return None
        word += found[0]
    return word


def _groups() -> str:
    return " ".join("/".join(letters) for letters in ROLE_LETTERS.values())
