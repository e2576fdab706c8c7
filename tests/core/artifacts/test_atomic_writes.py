"""A file is the old one or the new one."""

from afterbase.core.artifacts.atomic_writes import write_atomically


def test_write_atomically_replaces_and_leaves_no_part(tmp_path):
    for content in (b"old and long", b"new"):
        write_atomically(tmp_path / "file", content)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"new")]
