"""Findings about files."""

import pathlib

import pytest

from jaxseg.data.inspection.finding import MAX_FILES, Finding, about

FILES = [pathlib.Path(f"{i}.png") for i in range(MAX_FILES + 3)]


def test_files_are_counted_and_the_first_are_named():
    (found,) = about("cmyk", "warning", FILES, "pictures are for print", "save anew")
    assert found.count == MAX_FILES + 3 and len(found.files) == MAX_FILES
    assert found.text == f"{MAX_FILES + 3} files: pictures are for print"


def test_no_files_are_no_finding():
    assert about("cmyk", "warning", [], "pictures are for print", "save anew") == []


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="level is one of .*'fatal'"):
        Finding("cmyk", "fatal", 1, "", "")
