#!/usr/bin/env python3
"""Starts the tray app on a desktop without a panel and looks whether it is visible and honest.

usage: smoke.py PROGRAM [PICTURE.png]      (inside a D-Bus session, with a display)
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

DEADLINE = 60
SERVER = "http://127.0.0.1:9"


def until(what, found):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        seen = found()
        if seen:
            return seen
        time.sleep(0.2)
    sys.exit(f"error: not within {DEADLINE} s: {what}")


def configure(home):
    provider = {"name": "qwen3-8b", "type": "llamacpp", "url": SERVER, "publish": True}
    config = {"mcpdUrl": SERVER, "llm": {"providers": [provider]}}
    (home / "config.json").write_text(json.dumps(config))


def status(home):
    try:
        return json.loads((home / "status.json").read_text())
    except (OSError, ValueError):
        return None


def windows():
    search = ["xdotool", "search", "--onlyvisible", "--name", "mcplocal"]
    return subprocess.run(search, capture_output=True, text=True).stdout.split()


def main():
    program = sys.argv[1]
    home = pathlib.Path(tempfile.mkdtemp(prefix="mcplocal-smoke-"))
    configure(home)
    environment = {**os.environ, "MCPCTL_HOME": str(home), "MCPCTL_TOKEN": "nobody"}
    environment |= {"MCPCTL_KEYCHAIN": "off", "GDK_BACKEND": "x11"}
    app = subprocess.Popen([program], env=environment)
    try:
        seen = until("the app says what it does", lambda: status(home))
        print("status.json:", seen["program"], seen["connection"]["state"])
        assert seen["program"] == "mcplocal" and seen["pid"] == app.pid, seen
        until("without a panel its window opens", windows)
        until("it says that the server cannot be reached", lambda: (
            (status(home) or {}).get("connection", {}).get("state") == "reconnecting"))
        time.sleep(2)  # the picture should show the page and not the moment before it
        if len(sys.argv) > 2:
            subprocess.run(["import", "-window", "root", sys.argv[2]], check=True)
        second = subprocess.run([program], env=environment, timeout=DEADLINE)
        assert second.returncode == 0, "a second start shows the window of the first and ends"
        assert app.poll() is None, "the first one is still there"
        app.terminate()
        code = app.wait(DEADLINE)
        assert code == 0, f"it ended with {code}"
        assert not (home / "status.json").exists(), "its status is gone with it"
        print("the tray app started, showed itself, and left nothing")
    finally:
        app.kill()
        app.wait()


if __name__ == "__main__":
    main()
