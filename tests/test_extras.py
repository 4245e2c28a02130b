"""Optional packages: one that is missing is named with the extra that brings it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from voiceframe.errors import MissingExtra
from voiceframe.extras import optional


def test_a_package_that_is_there() -> None:
    assert optional("json", extra="json", what="Reading").__name__ == "json"


def test_one_that_is_missing_is_named_with_its_extra() -> None:
    with pytest.raises(MissingExtra) as caught:
        optional("no_such_package.inner", extra="speech", what="Hearing")
    assert caught.value.code == "extra.missing"
    assert caught.value.message == "Hearing needs the package no_such_package.inner, which is not installed."
    assert "pip install 'voiceframe[speech]'" in caught.value.fix


def test_an_error_inside_of_a_package_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_package.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        optional("half_a_package", extra="speech", what="Hearing")


def test_threads_import_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    monkeypatch.setattr(sys, "import_steps", steps, raising=False)
    code = "import sys, time; sys.import_steps.append(__name__); time.sleep(.05); sys.import_steps.append(__name__)"
    for name in ("slow_one", "slow_other"):
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda name: optional(name, extra="x", what="it"), ("slow_one", "slow_other")))
    assert steps in (["slow_one"] * 2 + ["slow_other"] * 2, ["slow_other"] * 2 + ["slow_one"] * 2)


def test_a_thread_of_a_call_finds_numpy_imported() -> None:
    script = """
import asyncio, sys
from voiceframe import App, Call, Pipeline, Processor
from voiceframe.transports.text import TextTransport

class Asks(Processor):
    async def setup(self):
        print("numpy" in sys.modules, await self.offload(lambda: "numpy" in sys.modules))

def bot(call: Call) -> Pipeline:
    return Pipeline([call.transport.input(), Asks(), call.transport.output()])

async def main():
    call = await App(bot, store=None).take(TextTransport())
    await asyncio.sleep(.01)
    call.cancel()
    await call.wait_ended()

asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"], result.stderr
