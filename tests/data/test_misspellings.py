"""Lists of misspellings in the forms in which they are found."""

from __future__ import annotations

import pytest

from narrows.data.misspellings import read_misspellings
from narrows.errors import InvalidData, UnreadableFile

PAIRS = [("bostin", "boston"), ("bosten", "boston"), ("wether", "weather")]


@pytest.mark.parametrize(
    "text",
    [
        "Boston: bostin, bosten*3\nweather: wether, weather\n",
        "$Boston\nbostin\nbosten\n$weather\nwether\n",
        "bostin,boston\nbosten -> boston\nwether\tweather\nbostin,boston\n",
    ],
    ids=["colons", "dollars", "pairs"],
)
def test_every_form_is_read(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    assert read_misspellings(path) == PAIRS


def test_what_holds_none_is_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("just text\n\n")
    with pytest.raises(InvalidData, match="boston: bostin"):
        read_misspellings(path)
    with pytest.raises(UnreadableFile, match="no file"):
        read_misspellings(tmp_path / "none.txt")
