"""Build the wheel and the sdist, install each in a clean environment, and compare what arrives with the source tree.

    uv run scripts/check_wheel.py

Exits with 1 and says what is missing or too much. Needs uv and, for the build backend, a package index.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        # A module of an optional part may refuse to load here, if it says which extra it wants; and a plugin of pytest
        # is loaded by pytest alone.
        if getattr(error, "code", None) != "extra.missing" and getattr(error, "name", None) != "pytest":
            raise
        print(f"    {name} wants an extra: {error}")
    else:
        assert module.__file__.startswith(sys.prefix), f"{name} came from {module.__file__}"
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What the command prints. `PYTHON*` variables stay out, so that only what is installed can be imported."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def source_files() -> set[str]:
    files = (path for path in (ROOT / "voiceframe").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"}


def compare(what: str, found: set[str], expected: set[str]) -> None:
    missing, surplus = sorted(expected - found), sorted(found - expected)
    if missing or surplus:
        sys.exit(f"{what}: missing {missing}, not in the source tree {surplus}")


def check_wheel(wheel: Path, expected: set[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entries = archive.infolist()
    links = [entry.filename for entry in entries if stat.S_ISLNK(entry.external_attr >> 16)]
    if links:
        sys.exit(f"{wheel.name} holds links: {links}")
    compare(wheel.name, {entry.filename for entry in entries if ".dist-info/" not in entry.filename}, expected)


def check_sdist(sdist: Path, expected: set[str]) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    odd = [member.name for member in members if not (member.isfile() or member.isdir())]
    if odd:
        sys.exit(f"{sdist.name} holds links: {odd}")
    inner = {member.name.partition("/")[2] for member in members if member.isfile()}
    compare(sdist.name, {name for name in inner if "/" in name}, expected)


def check_installed(wheel: Path, modules: list[str], where: Path) -> None:
    where.mkdir()
    run(UV, "venv", "--no-project", "--python", sys.executable, where / "venv", cwd=where)
    programs = where / "venv" / ("Scripts" if os.name == "nt" else "bin")
    run(UV, "pip", "install", "--python", programs / "python", wheel, cwd=where)
    print(run(programs / "python", "-c", IMPORT_ALL, *modules, cwd=where), end="")
    if "usage: voiceframe" not in run(programs / "voiceframe", "--help", cwd=where):
        sys.exit(f"{wheel.name}: `voiceframe --help` shows no usage")


def main() -> None:
    expected = source_files()
    paths = sorted(Path(name).with_suffix("") for name in expected if name.endswith(".py"))
    modules = [".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__"]

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        run(UV, "build", "--sdist", "--out-dir", out / "sdist", ROOT, cwd=out)
        (sdist,) = (out / "sdist").glob("*.tar.gz")
        run(UV, "build", "--wheel", "--out-dir", out / "direct", ROOT, cwd=out)
        run(UV, "build", "--wheel", "--out-dir", out / "from-sdist", sdist, cwd=out)

        check_sdist(sdist, expected)
        for kind in ("direct", "from-sdist"):
            (wheel,) = (out / kind).glob("*.whl")
            check_wheel(wheel, expected)
            check_installed(wheel, modules, out / f"env-{kind}")
            print(f"{wheel.name} ({kind}): {len(expected)} files, {len(modules)} modules import, the command runs")


if __name__ == "__main__":
    main()
