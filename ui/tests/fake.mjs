// A backend for the page alone: it answers the page's commands from one state, as Rust would, and
// remembers what it was asked. It runs inside of the page, so it must not use anything of this file.

/** What the page shows when nothing else is said: a machine in use. */
export function view(changes = {}) {
  const now = Date.now();
  const minute = 60_000;
  return {
    mark: "busy",
    headline: "Online — mcpd.example.com (2 published)",
    notices: [],
    server: "https://mcpd.example.com",
    callUrl: "https://mcpd.example.com/v1",
    token: "keychain",
    publishing: true,
    models: [
      model("qwen3-8b", { publish: true, tone: "busy", state: "busy 1", wakes: true }),
      model("llama-3.3-70b", { publish: true, tone: "asleep", state: "asleep", wakes: true }),
      model("gemma-3", { tone: "off", state: "", backend: "ollama · 127.0.0.1:11434" }),
    ],
    running: [
      {
        taskId: "t1",
        user: "tom",
        model: "qwen3-8b",
        path: "/v1/chat/completions",
        started: now - 12_000,
      },
    ],
    recent: [
      ended("r1", "tom", "qwen3-8b", now - 2 * minute, 4_200, 312, "answered"),
      ended("r2", "ann", "llama-3.3-70b", now - 5 * minute, 61_000, 1840, "answered"),
      {
        ...ended("r3", "tom", "qwen3-8b", now - 9 * minute, 900, null, "stopped by you"),
        good: false,
      },
    ],
    traffic: Array.from({ length: 30 }, (_, at) => ({
      requests: [0, 1, 3, 2, 0, 5][at % 6],
      tokens: [0, 300, 900, 700, 0, 1500][at % 6],
    })),
    settings: {
      pausedUntil: null,
      onlyOnAc: false,
      quietHours: { from: "22:00", to: "07:00" },
      keepAwake: "answering",
      startHidden: false,
      notifications: { signIn: true, connection: true, wake: false, requests: true },
      theme: "system",
      logLevel: "info",
    },
    ...changes,
  };
}

export function model(name, changes = {}) {
  return {
    name,
    publish: false,
    tone: "off",
    state: "",
    trouble: null,
    suggestion: null,
    requests: [],
    sharedWith: [],
    asks: name,
    backend: "llamacpp · 127.0.0.1:8080",
    wakes: false,
    ...changes,
  };
}

function ended(taskId, user, name, at, took, tokens, outcome) {
  const path = "/v1/chat/completions";
  return { taskId, user, model: name, path, ended: at, took, tokens, good: true, outcome };
}

/** A machine on which nothing is set up. */
export function fresh(changes = {}) {
  return view({
    mark: "error",
    headline: "Not set up — no server is set",
    server: null,
    callUrl: null,
    token: null,
    models: [],
    running: [],
    recent: [],
    traffic: Array.from({ length: 30 }, () => ({ requests: 0, tokens: 0 })),
    ...changes,
  });
}

/** The answers to the page's commands; each test may replace some. A text is thrown, as by Rust. */
export const ANSWERS = {
  model_entry: {
    name: "qwen3-8b",
    type: "llamacpp",
    url: "http://127.0.0.1:8080",
    model: "qwen3-8b-q4",
    publish: true,
    maxConcurrency: 2,
    mine: { of: "another tool" },
    wake: { type: "command", command: "systemctl", args: ["--user", "start", "llama"] },
    sleep: {
      type: "command",
      command: "systemctl",
      args: ["--user", "stop", "llama"],
      idleSeconds: 900,
    },
  },
  check_model: [],
  check_server: null,
  offered_models: ["qwen3-8b-q4", "qwen3-8b-q8"],
  find_backends: [
    { kind: "ollama", url: "http://127.0.0.1:11434", models: ["gemma-3", "phi-4"] },
    { kind: "llamacpp", url: "http://127.0.0.1:8080", models: ["qwen3-8b-q4"] },
  ],
  starts_at_login: { on: true, problem: null },
  start_at_login: { on: true, problem: null },
  test_connection: "The server answers and takes the token.",
  try_model: { answer: "Hello there, my good friend!", ms: 840 },
  examine: [
    { about: "config.json", verdict: "good", found: "providers: 3, to be published: 2", fix: null },
    { about: "keychain", verdict: "notice", found: "it cannot be used now", fix: "unlock it" },
    { about: "server", verdict: "broken", found: "cannot be reached", fix: "check the network" },
  ],
  bundle: [
    { name: "about.json", text: '{\n  "version": "0.1.0"\n}' },
    { name: "doctor.json", text: "[]" },
  ],
  save_bundle: "/home/mia/mcplocal-diagnostics.zip",
  about: {
    version: "0.1.0",
    config: "/home/mia/.mcpctl/config.json",
    logs: "/home/mia/.mcpctl/logs",
  },
};

/** Put into the page before its own code. `state`: view, answers, whether news come at all. */
export function install(state) {
  const callbacks = new Map();
  const channels = new Map();
  let next = 1;
  const send = (channel, message) => {
    const at = channels.get(channel.id) ?? 0;
    channels.set(channel.id, at + 1);
    callbacks.get(channel.id)?.({ index: at, message });
  };
  const fake = {
    /** Every call, in order. */
    calls: [],
    answers: state.answers,
    /** Shows another view. */
    show(view) {
      send(fake.status, { what: "view", it: view });
    },
    /** Wants a page, or one model's. */
    want(page, model = null) {
      send(fake.status, { what: "show", it: { page, model } });
    },
    /** Tells a step of the wake test. */
    step(line) {
      send(fake.test, line);
    },
  };
  window.fake = fake;
  window.__TAURI_INTERNALS__ = {
    transformCallback(callback) {
      callbacks.set(next, callback);
      return next++;
    },
    unregisterCallback: (id) => callbacks.delete(id),
    async invoke(command, args) {
      fake.calls.push({ command, args: JSON.parse(JSON.stringify(args ?? {})) });
      if (command === "watch_status") {
        if (state.broken) throw state.broken;
        fake.status = args.channel;
        if (state.view) fake.show(state.view);
      }
      if (command === "test_wake") fake.test = args.channel;
      const answer = fake.answers[command];
      if (answer?.throws !== undefined) throw answer.throws;
      if (answer?.never) return new Promise(() => {});
      return answer === undefined ? null : structuredClone(answer);
    },
  };
}
