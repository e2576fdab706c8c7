"""Whether a wheel holds what it should: every file of the package, the recipes of `afterbase demo`, the licence.

python tools/check_wheel.py dist/afterbase-0.1.0-py3-none-any.whl
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECIPES = ("quickstart", "smoke")


def wanted(root: Path) -> set[str]:
    """The names that the checkout in `root` asks for, the package's own metadata apart."""
    package = root / "src/afterbase"
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {
        *(path.relative_to(root / "src").as_posix() for path in files),
        *(f"afterbase/recipes/{name}.toml" for name in RECIPES),
    }


def differences(wheel: Path, root: Path) -> list[str]:
    """One line for each file that is missing, strange, or not as in the checkout."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        asked = wanted(root)
        found = [f"missing: {name}" for name in sorted(asked - held)]
        found += [f"not of the package: {name}" for name in sorted(held - asked)]
        found += [] if licences else ["missing: LICENSE"]
        found += [f"other bytes: {name}" for name in sorted(asked & held) if archive.read(name) != _source(root, name)]
    return found


def _source(root: Path, name: str) -> bytes:
    inner = name.removeprefix("afterbase/")
    return (root / (inner if inner.startswith("recipes/") else f"src/{name}")).read_bytes()


if __name__ == "__main__":
    lines = differences(Path(sys.argv[1]), ROOT)
    print("\n".join(lines) or f"{sys.argv[1]}: {len(wanted(ROOT))} files, as in the checkout")
    sys.exit(bool(lines))
