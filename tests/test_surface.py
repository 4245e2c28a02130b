"""The public surface is frozen: a name or a signature changes only together with `docs/surface.txt` and a reason."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other Pythons write some annotations differently")
def test_the_public_surface_is_as_frozen() -> None:
    spec = importlib.util.spec_from_file_location("public_surface", ROOT / "scripts/public_surface.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    frozen = (ROOT / "docs/surface.txt").read_text(encoding="utf-8")
    now = module.surface()
    assert now == frozen, "uv run scripts/public_surface.py --write, and say why in CHANGELOG.md"
