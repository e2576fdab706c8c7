"""Digests tell what is in files and folders, and nothing else."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.artifacts.digests import folder_digest

NAMES = st.sampled_from(["a", "b", "a.txt", "sub/a", "sub/b", "sub/deeper/a"])
TREES = st.dictionaries(NAMES, st.binary(max_size=5), max_size=4)


def _plant(folder: Path, tree: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@given(TREES, TREES)
def test_folder_digests_are_equal_exactly_where_names_and_contents_are(tmp_path_factory, one, other):
    folder = tmp_path_factory.mktemp("trees")
    digests = [folder_digest(_plant(folder / name, tree)) for name, tree in (("one", one), ("other", other))]
    assert (digests[0] == digests[1]) == (one == other)
