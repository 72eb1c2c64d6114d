// Every page in every state that a person can see, for screenshots and accessibility checks.
import { fresh, model, view } from "./fake.mjs";

const notices = [
  { kind: "config", text: "config.json 4:7: config.json is not valid JSON: a comma is missing" },
  { kind: "tokenFile", text: "The token is stored in a file that all of your programs can read" },
];
const errors = [
  { field: "name", message: "another model has this name" },
  { field: "url", message: '"ftp://x" must start with http:// or https://' },
  { field: "wake.command", message: "it must name a program" },
];

/** A model whose name belongs to another user. */
export const taken = model("qwen3-8b", {
  publish: true,
  tone: "taken",
  state: "name taken",
  problem:
    "the name qwen3-8b belongs to another user, who was requested to share it; qwen3-8b-mia is free",
  suggestedName: "qwen3-8b-mia",
});

/** A model whose name is requested by users and shared with others. */
export const requested = model("qwen3-8b", {
  publish: true,
  tone: "good",
  state: "ready",
  nameRequests: ["tom", "ann"],
  sharedWith: ["bob", "group:research", "*"],
});

/** Waits for the next step: its heading gets the focus. */
const stepShown = (page) => page.waitForFunction(() => document.activeElement?.tagName === "H1");

const toStep = (number) => async (page) => {
  for (let at = 1; at < number; at += 1) {
    await page.getByRole("button", { name: "Next" }).click();
    await stepShown(page);
  }
};

/** Signs in, which leads from the first step to the second. */
async function signIn(page) {
  await page.getByLabel("Server URL").fill("https://mcpd.example.com");
  await page.locator("input[type=password]").fill("mcp_publish_x");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "What do you want to share?" }).waitFor();
  await stepShown(page);
}

export const STATES = [
  { name: "overview", at: "overview", view: view() },
  {
    name: "overview-troubled",
    at: "overview",
    view: view({
      icon: "partial",
      headline: "Reconnecting in 12 s — the server cannot be reached: Connection refused",
      notices,
      running: [],
    }),
  },
  {
    name: "overview-paused",
    at: "overview",
    view: view({ icon: "off", headline: "Paused until 15:30", publishing: false, running: [] }),
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
          problem: "http://127.0.0.1:9090 cannot be reached: Connection refused (os error 111)",
        }),
      ],
    }),
  },
  {
    name: "models-empty",
    at: "models",
    view: fresh({ server: "https://mcpd.example.com" }),
    results: { find_backends: [] },
  },
  {
    name: "models-names",
    at: "models",
    view: view({
      models: [
        { ...taken, name: "phi-4", suggestedName: "phi-4-mia" },
        requested,
        ...view().models.slice(1),
      ],
    }),
  },
  { name: "model", at: "models/qwen3-8b", view: view() },
  { name: "model-taken", at: "models/qwen3-8b", view: view({ models: [taken] }) },
  { name: "model-requested", at: "models/qwen3-8b", view: view({ models: [requested] }) },
  {
    name: "model-share-wrong",
    at: "models/qwen3-8b",
    view: view({ models: [requested] }),
    results: { share_name: { throws: "shareName: a group must have a name" } },
    async act(page) {
      await page.getByLabel("Share this name with").fill("group:");
      await page.getByRole("button", { name: "Share", exact: true }).click();
      await page.getByText("a group must have a name").waitFor();
    },
  },
  {
    name: "model-wrong",
    at: "models/%2B",
    view: view(),
    results: { validate_model: errors },
    async act(page) {
      await page.getByRole("group", { name: "Wake" }).getByLabel("Recipe").selectOption("command");
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
          atMs: 0,
          text: "running: command systemctl --user start llama",
          succeeded: null,
        });
        window.fake.step({
          atMs: 1200,
          text: "not ready yet: /health answered 503",
          succeeded: null,
        });
        window.fake.step({ atMs: 2400, text: "awake", succeeded: true });
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
    view: view({ icon: "error", headline: "Stopped — the server refused the token (401)" }),
    results: { sign_in: { throws: { message: "this session has no keychain", help: "file" } } },
    async act(page) {
      await page.locator("input[type=password]").fill("mcp_publish_x");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("button", { name: "Store it in a file" }).waitFor();
    },
  },
  { name: "general", at: "general", view: view() },
  {
    name: "diagnostics",
    at: "diagnostics",
    view: view(),
    async act(page) {
      await page.getByRole("button", { name: "Show its contents" }).click();
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
      const phi = { ...taken, name: "phi-4", backendModel: "phi-4", suggestedName: "phi-4-mia" };
      const models = [
        phi,
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
    results: { find_backends: [] },
    async act(page) {
      await signIn(page);
      await page.getByText("No backend responds").waitFor();
    },
  },
  {
    name: "setup-try-nothing",
    at: "",
    view: fresh(),
    async act(page) {
      await signIn(page);
      await toStep(3)(page);
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
      await toStep(3)(page);
      await page.getByRole("button", { name: "Publish as qwen3-8b-mia" }).waitFor();
    },
  },
  {
    name: "setup-start",
    at: "",
    view: fresh(),
    async act(page) {
      await signIn(page);
      await toStep(2)(page);
    },
  },
  {
    name: "setup-try",
    at: "",
    view: fresh(),
    async act(page) {
      await signIn(page);
      await page.evaluate((shown) => window.fake.show(shown), view());
      await toStep(3)(page);
      await page.getByRole("button", { name: "Send a test request" }).click();
      await page.getByText("Hello there").waitFor();
    },
  },
  { name: "loading", at: "", view: undefined },
  { name: "broken", at: "", view: undefined, broken: "watch_view is not allowed" },
];
