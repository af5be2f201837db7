"""Expression files: what is written is read again, and what hands broke is explained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from magicface_core.aus import AUDelta
from magicface_core.errors import AUError, OutputError
from magicface_core.expressions.files import MAX_BYTES, read_expression, write_expression

SMILE, FROWN = AUDelta(AU6=2, AU12=4.5), AUDelta(AU1=3, AU4=-1.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.json"


def test_one_change_is_a_plain_delta_with_a_note(path: Path) -> None:
    write_expression(path, [SMILE], note='wide "smile"\nof my own, 笑顔')
    assert read_expression(path) == (SMILE,)
    text = path.read_text(encoding="utf-8")
    assert AUDelta.from_json(text) == SMILE
    assert "笑顔" in text
    assert json.loads(text) == {
        "format": "magicface-aus",
        "version": 1,
        "kind": "delta",
        "note": 'wide "smile"\nof my own, 笑顔',
        "aus": {"AU6": 2.0, "AU12": 4.5},
    }


def test_what_the_library_writes_as_json_can_be_loaded(path: Path) -> None:
    path.write_text(SMILE.to_json(), encoding="utf-8")
    assert read_expression(path) == (SMILE,)


def test_animation_has_one_frame_a_line(path: Path) -> None:
    write_expression(path, [SMILE, AUDelta(), FROWN])
    assert read_expression(path) == (SMILE, AUDelta(), FROWN)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[6:9] == [
        '    {"AU6": 2.0, "AU12": 4.5},',
        "    {},",
        '    {"AU1": 3.0, "AU4": -1.25}',
    ]


def test_writing_is_whole_or_not_at_all(path: Path) -> None:
    write_expression(path, [SMILE])
    with pytest.raises(AUError, match="no frames"):
        write_expression(path, [])
    many = [AUDelta(**{f"AU{unit}": 1.2345 for unit in (1, 2, 4, 5, 6, 9)})] * 20_000
    with pytest.raises(AUError, match="shorter pieces"):
        write_expression(path, many)
    assert read_expression(path) == (SMILE,)
    with pytest.raises(OutputError):
        write_expression(path.parent / "absent" / "mine.json", [SMILE])
    assert list(path.parent.iterdir()) == [path]


def test_notes_that_are_no_text_are_still_written(path: Path) -> None:
    write_expression(path, [SMILE], note="half a \ud83d face")
    assert read_expression(path) == (SMILE,)


# --- edited by hand ---------------------------------------------------------------------------


def edited(path: Path, **changes: object) -> Path:
    content = json.loads(SMILE.to_json()) | changes
    content = {name: value for name, value in content.items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_small_liberties_are_taken_kindly(path: Path, encoding: str) -> None:
    text = SMILE.to_json().replace("AU12", " au12 ").replace("2.0", "2").replace("\n", "\r\n")
    path.write_bytes(text.encode(encoding))
    assert read_expression(path) == (SMILE,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, '"format": "magicface-aus"'),
        ({"version": 2}, "version is 2, and this program reads version 1"),
        ({"version": True}, "version is true"),
        ({"version": None}, "version is null or missing"),
        ({"kind": "intensity"}, 'kind is "intensity": "delta".*"animation"'),
        ({"kind": ["x"] * 900}, "kind is a list:"),
        ({"kind": None}, "kind is null or missing"),
        ({"aus": None}, 'has no "aus"'),
        ({"aus": [1, 2]}, '"aus" is a list and should be like {"AU6": 2, "AU12": 4}'),
        ({"aus": {"AU7": 1}}, '"aus": AU7 is not one of the twelve'),
        ({"aus": {"AU12": "4"}}, '"aus": AU12 is "4"; write a number'),
        ({"aus": {"AU12": True}}, "AU12 is true; write a number"),
        ({"aus": {"AU12": None}}, "AU12 is null or missing; write a number"),
        ({"aus": {"AU12": {}}}, "AU12 is an object; write a number"),
        ({"aus": {"AU12": 40}}, "AU12=40 is outside.*-10 to 10"),
        ({"aus": {"AU12": 10**400}}, "AU12 cannot be read as one number"),
        ({"aus": {"AU12": 1, "au12": 2}}, "gives AU12 twice"),
        ({"aus": {"self": 1}}, "SELF is not one of the twelve"),
        ({"kind": "animation"}, 'needs a list "frames"'),
        ({"kind": "animation", "frames": []}, "at least one"),
        ({"kind": "animation", "frames": {"AU12": 1}}, 'needs a list "frames"'),
        ({"kind": "animation", "frames": [{}, 3]}, "frame 1 .* is 3 and should be"),
        ({"kind": "animation", "frames": [{}, {"AU12": -11}]}, "frame 1 .*AU12=-11"),
    ],
)
def test_edits_gone_wrong_name_the_file_and_the_place(
    path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(AUError, match=f'^Expression file ".*mine.json": .*{message}'):
        read_expression(edited(path, **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1 is not JSON"),
        ('{\n  "aus": {"AU12": 4,}\n}', r"line 2, column \d+ is not JSON.*none after the last"),
        ("{'aus': 1}", "double quotes"),
        ("[]", "no expression"),
        ("null", "no expression"),
        ("[" * 200_000, "not JSON that this program reads"),
        ('{"aus": {"AU12": NaN}}', "NaN, which is not a finite number"),
        ('{"aus": {"AU12": -Infinity}}', "-Infinity, which is not"),
        ('{"aus": {"AU12": 1, "AU12": 2}}', '"AU12" is given twice'),
        ('{"x": ' + "9" * 5000 + "}", "not JSON that this program reads"),
    ],
)
def test_what_is_no_expression_file(path: Path, text: str, message: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AUError, match=message) as raised:
        read_expression(path)
    assert len(str(raised.value)) < 600 + len(str(path))


def test_values_too_large_for_a_number_are_out_of_range(path: Path) -> None:
    text = SMILE.to_json().replace("4.5", "1e999")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AUError, match="AU12=inf is not a finite number"):
        read_expression(path)


def test_long_and_broken_names_make_short_printable_messages(path: Path) -> None:
    edited(path, aus={"\ud83d" * 100_000: 1})
    with pytest.raises(AUError) as raised:
        read_expression(path)
    assert len(str(raised.value)) < 600 + len(str(path))
    assert str(raised.value).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe{\x00", "UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "UTF-8"),
        (b" " * (MAX_BYTES + 1), "larger than 1,000,000 bytes"),
    ],
)
def test_files_of_another_kind(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(AUError, match=message):
        read_expression(path)


def test_absent_files_and_folders(path: Path) -> None:
    for place in (path, path.parent, Path("a\0b.json")):
        with pytest.raises(AUError, match=r"no such file.*save an expression first"):
            read_expression(place)
