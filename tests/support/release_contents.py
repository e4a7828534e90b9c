"""Check what is inside the wheels and the sdist: every file of the package, and nothing else.

    python tests/support/release_contents.py dist/dualstreambench-*

What belongs there is what git tracks. `tests/release` calls this after a build.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from children import run

ROOT = Path(__file__).parents[2]
#: The model that ships is 3.2 MB.
MAX_BYTES = 8 * 2**20
#: Tracked files that an sdist may leave out: what is no source of the package.
NOT_IN_SDIST = (
    ".ci/*",
    ".git*",
    ".pre-commit-config.yaml",
    "benches/*",
    "docs/*",
    "examples/*",
    "rust/fuzz/*",
    "tests/*",
    "*.md",
    "*.toml",
    "*.lock",
    "constraints.txt",
)


def tracked(*options: str) -> set[str]:
    """Paths that git tracks, and those below tracked links to folders.

    `options` of `git ls-files` name further ones.
    """
    command = ["git", "ls-files", "-z", *options]
    listed = run(command, cwd=ROOT, text=True, check=True)
    paths = {path for path in listed.stdout.split("\0") if path and (ROOT / path).exists()}
    for link in [path for path in paths if (ROOT / path).is_dir()]:
        paths.remove(link)
        target = (ROOT / link).resolve().relative_to(ROOT)
        paths |= {
            str(PurePosixPath(link) / Path(path).relative_to(target))
            for path in paths
            if Path(path).is_relative_to(target)
        }
    return paths


def in_wheel(names: set[str], paths: set[str]) -> list[str]:
    """What is wrong with the files of a wheel."""
    info = next(name for name in names if name.endswith(".dist-info/WHEEL")).split("/")[0]
    about = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    wanted = {path.removeprefix("python/") for path in paths if path.startswith("python/dsb/")}
    wanted |= {f"{info}/{name}" for name in about}
    cores = {name for name in names if fnmatchcase(name, "dsb/_core.*.so")}
    problems = [f"missing: {name}" for name in sorted(wanted - names)]
    problems += [f"stray: {name}" for name in sorted(names - wanted - cores)]
    if len(cores) != 1:
        problems.append(f"one compiled core expected: {sorted(cores)}")
    return problems


def in_sdist(names: set[str], paths: set[str]) -> list[str]:
    """What is wrong with the files of an sdist."""
    wanted = {path for path in paths if not any(fnmatchcase(path, p) for p in NOT_IN_SDIST)}
    wanted |= {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "rust/dsb-py/Cargo.toml"}
    problems = [f"missing: {name}" for name in sorted(wanted - names)]
    return problems + [f"stray: {name}" for name in sorted(names - paths - {"PKG-INFO"})]


def about_machine(files: Mapping[str, bytes]) -> list[str]:
    """Files that name a folder of the machine that built them."""
    folders = [str(ROOT).encode(), str(Path.home()).encode() + b"/"]
    return [
        f"names a folder of this machine: {name}"
        for name, data in files.items()
        if any(folder in data for folder in folders)
    ]


def check(archive: Path, paths: set[str]) -> list[str]:
    """What is wrong with one archive."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            files = {name: wheel.read(name) for name in wheel.namelist()}
        problems = in_wheel(set(files), paths)
    else:
        with tarfile.open(archive) as sdist:
            members = [member for member in sdist.getmembers() if member.isfile()]
            files = {m.name.split("/", 1)[1]: sdist.extractfile(m).read() for m in members}
        problems = in_sdist(set(files), paths)
    size = archive.stat().st_size
    if size > MAX_BYTES:
        problems.append(f"{size} bytes are more than {MAX_BYTES}")
    print(f"{archive.name}: {len(files)} files, {size / 2**20:.1f} MiB")
    return [f"{archive.name}: {problem}" for problem in problems + about_machine(files)]


def main() -> None:
    """Check every archive that the command line names."""
    paths = tracked()
    problems = [problem for name in sys.argv[1:] for problem in check(Path(name), paths)]
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
