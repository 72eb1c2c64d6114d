#!/usr/bin/env python3
"""The whole road once: a sleeping model is published, called through mcpd, woken, and answers.

usage: demo.py FOLDER_WITH_BINARIES      (ONCE=1 in the environment: end by itself)
"""

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
QUESTION = "Why is the sky blue? Answer in two sentences."
MAX_TOKENS = 80
FIGURES = re.compile(r"first token after (?P<first>[\d.]+) s, \d+ tokens, (?P<speed>[\d.]+) tokens/s")
DEADLINE = 60


def say(text):
    print(f"\033[1m==> {text}\033[0m", flush=True)


def shown(command, **options):
    """Runs a command as a person would, with the command shown."""
    print("$ " + shlex.join([pathlib.Path(command[0]).name, *command[1:]]))
    return subprocess.run(command, check=True, **options)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url):
    with urllib.request.urlopen(url, timeout=2) as answer:
        return json.load(answer)


def running_backend():
    """Ollama or a llama.cpp server that already answers here: (type, url, model)."""
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        models = fetch("http://127.0.0.1:11434/api/tags")["models"]
        return "ollama", "http://127.0.0.1:11434", models[0]["name"]
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        models = fetch("http://127.0.0.1:8080/v1/models")["data"]
        return "llamacpp", "http://127.0.0.1:8080", models[0]["id"]
    return None


def until(what, found):
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if found():
            return
        time.sleep(0.2)
    sys.exit(f"error: {what} did not happen within {DEADLINE} s")


def alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


class Demo:
    def __init__(self, binaries, folder, stack):
        self.binaries = binaries
        self.folder = folder
        self.stack = stack
        self.backend_pid = folder / "backend.pid"
        self.environment = {**os.environ, "MCPCTL_HOME": str(folder / "mcpctl")}
        self.environment |= {"MCPCTL_KEYCHAIN": "off", "MCPCTL_HOME": str(folder / "mcpctl")}

    def program(self, name):
        return str(self.binaries / name)

    def start(self, command, log, **options):
        """A process that ends with the demo."""
        output = options.pop("stdout", None) or self.stack.enter_context(open(log, "w"))
        process = subprocess.Popen(
            command, env=self.environment, stdout=output,
            stderr=self.stack.enter_context(open(f"{log}.err", "w")), **options,
        )
        self.stack.callback(stop, process)
        return process

    def server(self):
        say("mcpd, the team's server, on loopback with an embedded database")
        data = str(self.folder / "mcpd")
        mcpd = self.start(
            [self.program("mcpd"), "--data-dir", data, "--listen", "127.0.0.1:0"],
            self.folder / "mcpd.log", stdout=subprocess.PIPE, text=True,
        )
        lines = iter(mcpd.stdout.readline, "")
        line = next((line for line in lines if "listening on" in line), None)
        if line is None:
            sys.exit("error: mcpd did not start: " + (self.folder / "mcpd.log.err").read_text())
        self.url = line.split()[-1]
        print(line.strip())
        self.publisher = self.token(data, "mia", "publish")
        self.caller = self.token(data, "tom", "infer")
        self.environment |= {"MCPCTL_URL": self.url}

    def token(self, data, user, scope):
        command = ["mcpd", "token", "create", "--user", user, "--scope", scope]
        print("$ " + " ".join(command))
        command = [self.program("mcpd"), "--data-dir", data, *command[1:], "--json"]
        made = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(made.stdout)["token"]

    def provider(self):
        found = running_backend()
        if found:
            kind, self.backend, self.model = found
            say(f"using the {kind} server that already runs here, with {self.model}")
            return {"name": "demo", "type": kind, "url": self.backend, "model": self.model}
        folder = subprocess.run(
            [str(ROOT / "scripts/backend.sh"), "demo"], check=True, stdout=subprocess.PIPE, text=True,
        ).stdout.strip()
        port = free_port()
        self.backend, self.model = f"http://127.0.0.1:{port}", "smollm2-135m"
        say("the model is SmolLM2-135M at llama.cpp, and it sleeps: nothing runs yet")
        serve = (
            f"{folder}/venv/bin/python {ROOT}/tests/backend/serve_llama.py "
            f"{folder}/text.gguf {port} {self.model} > {self.folder}/backend.log 2>&1 & "
            f"echo $! > {self.backend_pid}"
        )
        return {
            "name": "demo", "type": "llamacpp", "url": self.backend, "model": self.model,
            "wake": {"type": "command", "command": "sh", "args": ["-c", serve]},
        }

    def publish(self):
        provider = {**self.provider(), "publish": True}
        home = pathlib.Path(self.environment["MCPCTL_HOME"])
        home.mkdir(mode=0o700)
        config = {"mcpdUrl": self.url, "llm": {"providers": [provider]}}
        (home / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        say("mcplocal-agent publishes it; nothing listens on this machine for that")
        with_token = {**self.environment, "MCPCTL_TOKEN": self.publisher}
        self.environment, plain = with_token, self.environment
        self.agent = self.start([self.program("mcplocal-agent"), "run"], self.folder / "agent.log")
        self.environment = {**plain, "MCPCTL_TOKEN": self.caller}
        until("publishing", lambda: self.catalogue())
        shown([self.program("mcpctl"), "get", "llm"], env=self.environment)

    def catalogue(self):
        if self.agent.poll() is not None:
            sys.exit("error: the agent ended: " + (self.folder / "agent.log.err").read_text())
        asked = subprocess.run(
            [self.program("mcpctl"), "get", "llm", "-o", "json"],
            env=self.environment, capture_output=True, text=True,
        )
        return asked.returncode == 0 and json.loads(asked.stdout)

    def call(self):
        say("a caller asks; the model is woken, the answer streams back through mcpd")
        asleep, _ = self.chat()
        woken = (self.catalogue()[0].get("wakeMs") or 0) / 1000
        say("and once more, now that it is awake; then the same directly, without mcpd")
        awake, speed = self.chat()
        direct_first, direct_speed = self.directly()
        say("in figures")
        print(
            f"wake {woken:.2f} s | first token {asleep:.2f} s asleep, {awake:.2f} s awake, "
            f"{direct_first:.2f} s directly | {speed:.0f} tokens/s, {direct_speed:.0f} directly"
        )
        shown([self.program("mcpctl"), "get", "llm"], env=self.environment)

    def chat(self):
        """Asks as a person would; (seconds to the first token, tokens per second)."""
        chat = ["chat", "demo", "--stats", "--max-tokens", str(MAX_TOKENS)]
        chat += ["--temperature", "0", "--seed", "1", QUESTION]
        print("$ " + shlex.join(["mcpctl", *chat]))
        command = [self.program("mcpctl"), *chat]
        asked = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)
        figures = None
        for line in asked.stderr:
            print(line, end="")
            figures = FIGURES.match(line) or figures
        if asked.wait() != 0 or figures is None:
            sys.exit("error: the chat failed")
        return float(figures["first"]), float(figures["speed"])

    def directly(self):
        """The same from the backend itself."""
        body = {
            "model": self.model, "stream": True, "max_tokens": MAX_TOKENS, "temperature": 0,
            "seed": 1, "messages": [{"role": "user", "content": QUESTION}],
        }
        request = urllib.request.Request(
            f"{self.backend}/v1/chat/completions", json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        began, first, tokens = time.monotonic(), None, 0
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            for line in answer:
                if b'"content":"' in line:
                    first = first or time.monotonic()
                    tokens += 1
        ended = time.monotonic()
        first = first or ended
        speed = (tokens - 1) / max(ended - first, 1e-3)
        print(f"directly: first token after {first - began:.2f} s, {tokens} tokens, {speed:.1f} tokens/s")
        return first - began, speed

    def tray(self):
        program = self.binaries / "mcplocal"
        display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if display and program.exists():
            say("the tray app, on the same folder: look at your panel")
            self.start([str(program)], self.folder / "tray.log")

    def hand_over(self):
        say("go on by hand in another terminal")
        print(f"export MCPCTL_HOME={self.environment['MCPCTL_HOME']} MCPCTL_KEYCHAIN=off")
        print(f"export MCPCTL_URL={self.url} MCPCTL_TOKEN={self.caller}")
        print(f"export PATH={self.binaries}:$PATH")
        print("mcpctl chat demo 'Tell me a joke'")
        print("mcplocal-agent status; mcplocal-agent unpublish demo; mcpctl get llm")
        print(f"curl -N {self.url}/v1/chat/completions -H \"authorization: Bearer $MCPCTL_TOKEN\" \\")
        print("  -H 'content-type: application/json' -d '{\"model\": \"demo\", \"stream\": true,")
        print("  \"max_tokens\": 50, \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'")
        if os.environ.get("ONCE"):
            return
        print("Ctrl-C ends everything.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            self.agent.wait()

    def stop_backend(self):
        """The recipe left a daemon behind, as recipes do; this one is ours to end."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.backend_pid.read_text())
            os.kill(pid, signal.SIGTERM)
            until("the backend's end", lambda: not alive(pid))


def stop(process):
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main():
    sys.stdout.reconfigure(line_buffering=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mcplocal-demo-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        demo = Demo(pathlib.Path(sys.argv[1]), folder, stack)
        stack.callback(demo.stop_backend)
        demo.server()
        demo.publish()
        demo.call()
        demo.tray()
        demo.hand_over()
    say("done; nothing is left running")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as failed:
        sys.exit(f"error: {failed}")
