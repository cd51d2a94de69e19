"""Names as a policy compares them: no spelling of a name slips past its pattern."""

import fnmatch
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encryption_service.policy.names import NamePattern, normal_form

FEW = settings(deadline=None, max_examples=60)
_SAME = {
    "another case": "FINANCE",
    "spaces around": "  Finance\t",
    "full width": "Ｆｉｎａｎｃｅ",
    "a zero-width space": "Fin\u200bance",
    "a soft hyphen": "Fin\u00adance",
    "a turned writing direction": "\u202eFinance\u202c",
    "a variation selector": "Finance\ufe0f",
    "a grapheme joiner": "Fin\u034fance",
    "a tag character": "Finance\U000e0041",
    "mathematical letters": "𝐅𝐢𝐧𝐚𝐧𝐜𝐞",
    "a ligature": "\ufb01nance",
}


@pytest.mark.parametrize("spelling", _SAME.values(), ids=_SAME.keys())
def test_another_spelling_is_the_same_name(spelling: str) -> None:
    """What a person reads as the protected name is protected."""
    assert NamePattern("finance").matches(spelling)
    assert NamePattern(spelling).matches("finance")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("straße", "STRASSE"), ("Café", "Cafe\u0301"), ("A  B", "a\u00a0 b"), ("a b", "a\nb")],
)
def test_case_accents_and_spaces_are_folded_as_unicode_says(pattern: str, name: str) -> None:
    """Full case folding, composition, and one kind of space."""
    assert NamePattern(pattern).matches(name)


@pytest.mark.parametrize("name", ["Finance 2", "Fin", "XFinance", "", "Finanсe"])
def test_another_name_does_not_match(name: str) -> None:
    """A whole name is meant; a letter of another script stays another."""
    assert not NamePattern("finance").matches(name)


def test_only_stars_and_question_marks_are_special() -> None:
    """Brackets, dots and backslashes are what they look like."""
    assert NamePattern("[a-c].*").matches("[A-C].anything")
    assert not NamePattern("[a-c].*").matches("b.anything")
    assert NamePattern("a\\?").matches("a\\b")
    assert NamePattern("?").matches("x")
    assert not NamePattern("?").matches("")
    assert not NamePattern("?").matches("xy")


def test_a_pattern_of_many_stars_is_matched_at_once() -> None:
    """The name is somebody else's to choose: it must not cost more than pattern times name."""
    assert not NamePattern("*a" * 60 + "b").matches("a" * 5_000)


@FEW
@given(st.text())
def test_the_normal_form_is_final(name: str) -> None:
    """Applying it again changes nothing."""
    assert normal_form(normal_form(name)) == normal_form(name)


@FEW
@given(st.text())
def test_neither_case_nor_composition_makes_another_name(name: str) -> None:
    """Whoever spells a name cannot leave its pattern by these."""
    normal = normal_form(name)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normal_form(unicodedata.normalize(form, name)) == normal
    assert normal_form(name.casefold()) == normal
    assert normal_form(f" {name}\u200b ") == normal


@FEW
@given(st.text(alphabet="ab*?", max_size=12), st.text(alphabet="abc", max_size=12))
def test_wildcards_mean_what_they_mean_in_a_shell(pattern: str, name: str) -> None:
    """Compared with the standard library's own matching."""
    assert NamePattern(pattern).matches(name) == fnmatch.fnmatchcase(name, pattern)
