"""The verb `live`: options, refusals, and a base install that knows nothing of servers."""

import importlib.util
import os
import signal
import subprocess
import sys

import pytest

from liveface import cli
from liveface.errors import DeviceError, SignalError
from liveface.live import run


@pytest.mark.parametrize(
    "values",
    [{"port": 70_000}, {"sessions": 0}, {"token": "short"}, {"key": "key.pem"}],
)
def test_options_that_cannot_be_are_refused(values):
    with pytest.raises(SignalError, match="expected"):
        run.LiveOptions(**values)


def test_without_the_extra_one_sentence_and_exit_code_2(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "fastapi" else found(name))
    assert cli.main(["live"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "liveface[live]" in said


def test_other_verbs_import_no_server():
    code = (
        "import sys, liveface.cli; liveface.cli.main(['doctor']); "
        "sys.exit(bool({'fastapi', 'uvicorn', 'websockets', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_a_taken_port_and_a_bad_subject_are_named(tmp_path, capsys):
    with run.bound("127.0.0.1", 0) as place:
        with pytest.raises(DeviceError, match="--port 0"):
            run.bound("127.0.0.1", place.getsockname()[1])
    (tmp_path / "notes.txt").write_text("no face")
    assert cli.main(["live", str(tmp_path / "notes.txt"), "--port", "0", "--no-browser"]) == 2
    assert "notes.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "token", "expected"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8/"),
        ("::1", None, "http://[::1]:8/"),
        ("studio.lan", "secret", "http://studio.lan:8/#token=secret"),
    ],
)
def test_the_address_keeps_the_token_from_the_server(host, token, expected):
    assert run.where(run.LiveOptions(host=host), 8, token) == expected


def test_it_serves_until_asked_to_end():
    command = [sys.executable, "-m", "liveface.cli", "live", "--port", "0", "--no-browser"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert "http://127.0.0.1:" in server.stderr.readline()
    server.send_signal(signal.SIGINT)
    assert server.wait(30) == 0
    assert server.stderr.read() == ""
