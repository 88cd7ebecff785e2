import pytest

from jaxseg.reporting import files


def test_text_and_bytes_are_written_into_new_folders(tmp_path):
    files.replace(tmp_path / "a" / "b.txt", "Ü")
    files.replace(tmp_path / "a" / "c.bin", b"\x00")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "Ü".encode()
    assert (tmp_path / "a" / "c.bin").read_bytes() == b"\x00"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    files.replace(path, "old")
    monkeypatch.setattr("os.replace", lambda *names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        files.replace(path, "new")
    assert path.read_text() == "old"


def test_a_line_that_broke_off_spoils_no_other(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert files.read_objects(path) == []
    files.append_line(path, '{"a": 1}')
    with open(path, "a") as file:
        file.write('{"a": 2, "b')
    files.append_line(path, '{"a": 3}')
    assert files.read_objects(path) == [{"a": 1}, {"a": 3}]
