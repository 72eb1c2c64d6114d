// A fake of Rust for the page: it returns fixed results for the page's commands and records the calls.
// `install` runs inside of the page, so it must not use anything else of this file.

/** The default view: a machine in use. */
export function view(changes = {}) {
  const now = Date.now();
  const minute = 60_000;
  return {
    icon: "busy",
    headline: "Online — mcpd.example.com (2 published)",
    notices: [],
    server: "https://mcpd.example.com",
    callUrl: "https://mcpd.example.com/v1",
    tokenStorage: "keychain",
    publishing: true,
    models: [
      model("qwen3-8b", { publish: true, tone: "busy", state: "busy 1", canWake: true }),
      model("llama-3.3-70b", { publish: true, tone: "asleep", state: "asleep", canWake: true }),
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
      finished("r1", "tom", "qwen3-8b", now - 2 * minute, 4_200, 312, "answered"),
      finished("r2", "ann", "llama-3.3-70b", now - 5 * minute, 61_000, 1840, "answered"),
      {
        ...finished("r3", "tom", "qwen3-8b", now - 9 * minute, 900, null, "stopped by you"),
        succeeded: false,
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
    problem: null,
    suggestedName: null,
    nameRequests: [],
    sharedWith: [],
    backendModel: name,
    backend: "llamacpp · 127.0.0.1:8080",
    canWake: false,
    ...changes,
  };
}

function finished(taskId, user, model, ended, durationMs, tokens, outcome) {
  const path = "/v1/chat/completions";
  return { taskId, user, model, path, ended, durationMs, tokens, succeeded: true, outcome };
}

/** A machine on which nothing is set up. */
export function fresh(changes = {}) {
  return view({
    icon: "error",
    headline: "Not set up — no server is set",
    server: null,
    callUrl: null,
    tokenStorage: null,
    models: [],
    running: [],
    recent: [],
    traffic: Array.from({ length: 30 }, () => ({ requests: 0, tokens: 0 })),
    ...changes,
  });
}

/** The results of the commands; a test may replace some. `{ throws }` rejects, `{ never }` waits. */
export const RESULTS = {
  model_entry: {
    name: "qwen3-8b",
    type: "llamacpp",
    url: "http://127.0.0.1:8080",
    model: "qwen3-8b-q4",
    publish: true,
    maxConcurrency: 2,
    theirs: { of: "another tool" },
    wake: { type: "command", command: "systemctl", args: ["--user", "start", "llama"] },
    sleep: {
      type: "command",
      command: "systemctl",
      args: ["--user", "stop", "llama"],
      idleSeconds: 900,
    },
  },
  validate_model: [],
  validate_server_url: null,
  list_backend_models: ["qwen3-8b-q4", "qwen3-8b-q8"],
  find_backends: [
    { kind: "ollama", url: "http://127.0.0.1:11434", models: ["gemma-3", "phi-4"] },
    { kind: "llamacpp", url: "http://127.0.0.1:8080", models: ["qwen3-8b-q4"] },
  ],
  autostart: { enabled: true, problem: null },
  set_autostart: { enabled: true, problem: null },
  test_connection: "The server responds and accepts the token.",
  send_test_request: { answer: "Hello there, my good friend!", ms: 840 },
  run_checks: [
    { about: "config.json", verdict: "good", found: "providers: 3, to be published: 2", fix: null },
    { about: "keychain", verdict: "notice", found: "it cannot be used now", fix: "unlock it" },
    { about: "server", verdict: "broken", found: "cannot be reached", fix: "check the network" },
  ],
  preview_bundle: [
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

/** Runs in the page before its own code. `state`: the view, results, and why no view arrives. */
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
    results: state.results,
    /** Pushes another view. */
    show(view) {
      send(fake.updates, { type: "view", value: view });
    },
    /** Requests a page, or a model's. */
    request(page, model = null) {
      send(fake.updates, { type: "show", value: { page, model } });
    },
    /** Sends a step of the wake test. */
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
      if (command === "watch_view") {
        if (state.broken) throw state.broken;
        fake.updates = args.channel;
        if (state.view) fake.show(state.view);
      }
      if (command === "start_wake_test") fake.test = args.channel;
      const result = fake.results[command];
      if (result?.throws !== undefined) throw result.throws;
      if (result?.never) return new Promise(() => {});
      return result === undefined ? null : structuredClone(result);
    },
  };
}
