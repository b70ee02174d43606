"""Files are whole or absent, and JSON says what it is."""

import json

import pytest

from candid.errors import InputError
from candid.files import atomic, fresh_folder, output_folder, read_json, write_json


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as part:
        part.write_text(f"half of {1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_rights_the_umask_gives_not_the_writers_own(tmp_path):
    (tmp_path / "plain").touch()
    with atomic(tmp_path / "out") as part:
        part.chmod(0o600)
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writing_where_a_file_stands_in_for_the_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write in .*file"), atomic(tmp_path / "file" / "out.txt"):
        pass


def test_json_is_refused_when_of_another_kind_or_from_the_future(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1}, kind="candid-x", version=2)
    assert read_json(path, kind="candid-x", version=2)["a"] == 1
    with pytest.raises(InputError, match="expected a candid-y file, got 'candid-x'"):
        read_json(path, kind="candid-y", version=2)
    with pytest.raises(InputError, match="upgrade candid"):
        read_json(path, kind="candid-x", version=1)
    path.write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        read_json(path, kind="candid-x", version=1)


def test_json_without_a_version_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"format": "candid-x"}))
    with pytest.raises(InputError, match="version"):
        read_json(path, kind="candid-x", version=1)


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"a": float("nan")}, kind="candid-x", version=1)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_holds_files_is_refused_unless_told(tmp_path):
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InputError, match="--exist-ok"):
        fresh_folder(tmp_path)
    assert fresh_folder(tmp_path, exist_ok=True) == tmp_path
    with pytest.raises(InputError, match="is a file"):
        fresh_folder(tmp_path / "report.json")


def test_an_output_folder_nothing_was_written_in_is_not_left_behind(tmp_path):
    with pytest.raises(InputError), output_folder(tmp_path / "new"):
        raise InputError("nothing to write")
    assert not (tmp_path / "new").exists()
    with output_folder(tmp_path / "new") as folder:
        (folder / "report.json").write_text("{}")
    assert (tmp_path / "new" / "report.json").exists()
    (tmp_path / "old").mkdir()
    with output_folder(tmp_path / "old"):
        pass
    assert (tmp_path / "old").exists()
