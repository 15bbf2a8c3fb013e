"""Whose recordings are, remembered beside them."""

from icey.storage.owners import FILE, Owners, owner_of


def test_an_owner_is_known_by_each_name_of_its_recording(tmp_path):
    """Open, finished and recovered, a recording has one owner; the file has no address."""
    owners = Owners(tmp_path)
    owners.note_blocking("a-20261124T101112.345Z.mp4", owner_of("192.0.2.7"))
    known = owners.read_blocking()
    for ending in (".mp4", ".mp4.part", ".recovered.mp4"):
        name = f"a-20261124T101112.345Z{ending}"
        assert Owners.find(known, name) == owner_of("192.0.2.7")
    assert Owners.find(known, "b-20261124T101112.345Z.mp4") == ""
    assert owner_of("192.0.2.7") != owner_of("192.0.2.8")
    assert "192" not in (tmp_path / FILE).read_text().partition(" ")[2]


def test_recordings_that_are_gone_are_forgotten(tmp_path):
    """Once half of them are gone the list has only those that are there."""
    owners = Owners(tmp_path)
    for number in range(10):
        owners.note_blocking(f"a{number}.mp4", "x")
    owners.keep_blocking([f"a{number}.mp4" for number in range(6)])
    assert len(owners.read_blocking()) == 10
    owners.keep_blocking(["a3.mp4", "a4.mp4.part", "other.txt"])
    assert owners.read_blocking() == {"a3": "x", "a4": "x"}


def test_a_list_that_cannot_be_read(tmp_path, caplog):
    """Without a folder, or with rubbish in the file, nobody owns anything, and nothing breaks."""
    owners = Owners(tmp_path / "gone")
    assert owners.read_blocking() == {}
    owners.note_blocking("a.mp4", "x")
    assert "cannot be remembered" in caplog.text
    (tmp_path / FILE).write_bytes(b"\xff\xfe\x00\n\n a b c\nx y\n")
    assert Owners(tmp_path).read_blocking() == {"x": "y"}
