"""Personal data in texts that people read, also where a text was cut in the middle of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.answers.personal_data import CUT_OFF, masked

WHOLE = (
    "4111 1111 1111 1111",
    "+49 (170) 123-45678",
    "jane.roe@example.com",
    "DE89 3704 0044 0532 0130 00",
    "GB29 NWBK 6016 1331 9268 19",
    "2001:db8:85a3::8a2e:370:7334",
    "sk-proj-Zx81Qm2Lp0Yt7Rw5Kc3Vb9Nd4Hf6Js",
)


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize("before", ["It is ", "はい、", "(", "“Call "])
def test_what_is_cut_in_the_middle_is_masked(whole: str, before: str) -> None:
    """However much of it is there, so little is left that it means nothing."""
    for end in range(len(whole) // 2, len(whole)):
        shown = masked(f"{before}{whole[:end]}… and “more”")
        assert whole[: len(whole) // 2] not in shown
        assert shown.startswith(before.rstrip("("))
        assert shown.endswith("… and “more”")


@pytest.mark.parametrize(
    "text", ["It takes 30…", "Within 12 months…", "No, but …", "…", "a" * 4_000 + "…", "one… two…"]
)
def test_other_cut_texts_stay(text: str) -> None:
    """Words and small numbers."""
    assert masked(text) == text


def test_what_can_be_grouped_in_many_ways_is_looked_at_once() -> None:
    """An expression that tried each way would never end."""
    text = "DE89" + "A1B2" * 20 + "_…"
    assert masked(text).endswith("…")


@given(st.lists(st.sampled_from([*WHOLE, "…", " ", "words", "1", "@", ":"]), max_size=40))
def test_each_cut_is_looked_at(pieces: list[str]) -> None:
    """Several in a text; the number of cuts stays."""
    text = "".join(pieces)
    assert masked(text).count("…") == text.count("…")
    assert len(masked(text)) <= len(text) + (text.count("…") + text.count("1")) * len(CUT_OFF) + 10 * len(pieces)
