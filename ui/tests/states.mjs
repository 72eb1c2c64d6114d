// Every page in every state that a person can meet, for pictures and for the accessibility checks.
import { fresh, model, view } from "./fake.mjs";

const notices = [
  { about: "config", text: "config.json 4:7: config.json is not valid JSON: a comma is missing" },
  { about: "tokenFile", text: "The token is in a file that every program of yours can read" },
];
const wrong = [
  { field: "name", message: "another model has this name" },
  { field: "url", message: '"ftp://x" must start with http:// or https://' },
  { field: "wake.command", message: "it must name a program" },
];

/** A model whose name is another user's. */
export const taken = model("qwen3-8b", {
  publish: true,
  tone: "taken",
  state: "name taken",
  trouble:
    "the name qwen3-8b belongs to another user, who was asked to share it; qwen3-8b-mia is free",
  suggestion: "qwen3-8b-mia",
});

/** A model whose name others would like to have too, and some have. */
export const asked = model("qwen3-8b", {
  publish: true,
  tone: "good",
  state: "ready",
  requests: ["tom", "ann"],
  sharedWith: ["bob", "group:research", "*"],
});

/** A step has come when its heading has the keyboard: it is read from there on. */
const comes = (page) => page.waitForFunction(() => document.activeElement?.tagName === "H1");

const step = (number) => async (page) => {
  for (let at = 1; at < number; at += 1) {
    await page.getByRole("button", { name: "Next" }).click();
    await comes(page);
  }
};

/** Signing in leads from the first step to the second. */
async function signIn(page) {
  await page.getByLabel("Server URL").fill("https://mcpd.example.com");
  await page.locator("input[type=password]").fill("mcp_publish_x");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "What do you want to share?" }).waitFor();
  await comes(page);
}

export const STATES = [
  { name: "overview", at: "overview", view: view() },
  {
    name: "overview-troubled",
    at: "overview",
    view: view({
      mark: "partial",
      headline: "Reconnecting in 12 s — the server cannot be reached: Connection refused",
      notices,
      running: [],
    }),
  },
  {
    name: "overview-paused",
    at: "overview",
    view: view({ mark: "off", headline: "Paused until 15:30", publishing: false, running: [] }),
  },
  { name: "overview-empty", at: "overview", view: fresh({ server: "https://mcpd.example.com" }) },
  {
    name: "models",
    at: "models",
    view: view({
      models: [
        ...view().models,
        model("a-very-long-name-of-a-model-that-goes-on-and-on:latest", {
          publish: true,
          tone: "bad",
          state: "down",
          trouble: "http://127.0.0.1:9090 cannot be reached: Connection refused (os error 111)",
        }),
      ],
    }),
  },
  {
    name: "models-empty",
    at: "models",
    view: fresh({ server: "https://mcpd.example.com" }),
    answers: { find_backends: [] },
  },
  {
    name: "models-names",
    at: "models",
    view: view({
      models: [
        { ...taken, name: "phi-4", suggestion: "phi-4-mia" },
        asked,
        ...view().models.slice(1),
      ],
    }),
  },
  { name: "model", at: "models/qwen3-8b", view: view() },
  { name: "model-taken", at: "models/qwen3-8b", view: view({ models: [taken] }) },
  { name: "model-asked", at: "models/qwen3-8b", view: view({ models: [asked] }) },
  {
    name: "model-share-wrong",
    at: "models/qwen3-8b",
    view: view({ models: [asked] }),
    answers: { share_name: { throws: "shareName: a group must have a name" } },
    async act(page) {
      await page.getByLabel("Share it with").fill("group:");
      await page.getByRole("button", { name: "Share", exact: true }).click();
      await page.getByText("a group must have a name").waitFor();
    },
  },
  {
    name: "model-wrong",
    at: "models/%2B",
    view: view(),
    answers: { check_model: wrong },
    async act(page) {
      await page.getByRole("group", { name: "Wake" }).getByLabel("How").selectOption("command");
      await page.getByRole("button", { name: "Save", exact: true }).click();
      await page.getByText("another model has this name").waitFor();
    },
  },
  {
    name: "model-waking",
    at: "models/qwen3-8b",
    view: view(),
    async act(page) {
      await page.getByRole("button", { name: "Test wake" }).click();
      await page.waitForFunction(() => window.fake.test);
      await page.evaluate(() => {
        window.fake.step({
          at: 0,
          text: "running: command systemctl --user start llama",
          ended: null,
        });
        window.fake.step({ at: 1200, text: "not ready yet: /health answered 503", ended: null });
        window.fake.step({ at: 2400, text: "awake", ended: true });
      });
      await page.getByText("awake", { exact: true }).waitFor();
    },
  },
  { name: "activity", at: "activity", view: view() },
  { name: "activity-empty", at: "activity", view: view({ recent: [] }) },
  { name: "connection", at: "connection", view: view() },
  {
    name: "connection-refused",
    at: "connection",
    view: view({ mark: "error", headline: "Stopped — the server refused the token (401)" }),
    answers: { sign_in: { throws: { message: "this session has no keychain", help: "file" } } },
    async act(page) {
      await page.locator("input[type=password]").fill("mcp_publish_x");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("button", { name: "Keep it in a file" }).waitFor();
    },
  },
  { name: "general", at: "general", view: view() },
  {
    name: "diagnostics",
    at: "diagnostics",
    view: view(),
    async act(page) {
      await page.getByRole("button", { name: "See what is in it" }).click();
      await page.getByText("doctor.json").waitFor();
    },
  },
  { name: "about", at: "about", view: view() },
  { name: "setup-server", at: "", view: fresh() },
  { name: "setup-models", at: "", view: fresh(), act: signIn },
  {
    name: "setup-models-taken",
    at: "",
    view: fresh(),
    async act(page) {
      await signIn(page);
      const found = { ...taken, name: "phi-4", asks: "phi-4", suggestion: "phi-4-mia" };
      const models = [
        found,
        taken,
        model("gemma-3", { publish: true, tone: "good", state: "ready" }),
      ];
      await page.evaluate((shown) => window.fake.show(shown), view({ models }));
      await page.getByRole("button", { name: "Publish as phi-4-mia" }).waitFor();
    },
  },
  {
    name: "setup-models-none",
    at: "",
    view: fresh(),
    answers: { find_backends: [] },
    async act(page) {
      await signIn(page);
      await page.getByText("No backend answers").waitFor();
    },
  },
  {
    name: "setup-try-nothing",
    at: "",
    view: fresh(),
    async act(page) {
      await signIn(page);
      await step(3)(page);
      await page.getByText("Nothing is published yet.").waitFor();
    },
  },
  {
    name: "setup-try-taken",
    at: "",
    view: fresh(),
    async act(page) {
      await signIn(page);
      await page.evaluate((shown) => window.fake.show(shown), view({ models: [taken] }));
      await step(3)(page);
      await page.getByRole("button", { name: "Publish as qwen3-8b-mia" }).waitFor();
    },
  },
  {
    name: "setup-start",
    at: "",
    view: fresh(),
    async act(page) {
      await signIn(page);
      await step(2)(page);
    },
  },
  {
    name: "setup-try",
    at: "",
    view: fresh(),
    async act(page) {
      await signIn(page);
      await page.evaluate((shown) => window.fake.show(shown), view());
      await step(3)(page);
      await page.getByRole("button", { name: "Ask it now" }).click();
      await page.getByText("Hello there").waitFor();
    },
  },
  { name: "loading", at: "", view: undefined },
  { name: "broken", at: "", view: undefined, broken: "watch_status is not allowed" },
];
