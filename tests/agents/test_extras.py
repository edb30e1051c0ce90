"""Where a package is not installed its face says so in one sentence, with the command that installs it."""

import importlib
import sys

import pytest

from liveface.errors import DeviceError


@pytest.mark.parametrize("name", ["livekit", "pipecat"])
def test_a_missing_package_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    for module in [module for module in sys.modules if module.startswith((f"{name}.", f"liveface.agents.{name}"))]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(DeviceError, match=rf"pip install 'liveface\[{name}\]'"):
        importlib.import_module(f"liveface.agents.{name}")
