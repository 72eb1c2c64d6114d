// What a person does on each page, by keyboard and mouse, and which commands the page calls.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { called, calls, start } from "./browser.mjs";
import { fresh, model, view } from "./fake.mjs";
import { STATES, requested, taken } from "./states.mjs";

let app;
before(async () => {
  app = await start();
});
after(() => app.close());

const show = (page, shown) => page.evaluate((view) => window.fake.show(view), shown);

test("a switch moves with the view and not with the click", async () => {
  const page = await app.open({ view: view(), at: "models" });
  const gemma = page.getByRole("switch", { name: "Publish gemma-3" });
  await gemma.click();
  assert.deepEqual(await called(page, "set_publish"), { name: "gemma-3", on: true });
  assert.equal(await gemma.getAttribute("aria-checked"), "false", "the view has not changed yet");
  const models = view().models.map((model) => ({ ...model, publish: true }));
  await show(page, view({ models }));
  await page.locator("[role=switch][aria-checked=true] >> nth=2").waitFor();
});

test("a refused switch shows why and does not move", async () => {
  const results = { set_publish: { throws: "config.json belongs to another user" } };
  const page = await app.open({ view: view(), at: "models", results });
  await page.getByRole("switch", { name: "Publish gemma-3" }).click();
  await page.getByText("config.json belongs to another user").waitFor();
});

test("a running request is stopped with one click", async () => {
  const page = await app.open({ view: view(), at: "overview" });
  await page.getByRole("button", { name: "Stop the request from tom" }).click();
  assert.deepEqual(await called(page, "stop_request"), { task: "t1" });
});

test("publishing is paused and resumed", async () => {
  const page = await app.open({ view: view(), at: "overview" });
  await page.getByRole("button", { name: "For 1 hour" }).click();
  assert.deepEqual(await called(page, "pause"), { pause: "hour" });
  await show(page, view({ publishing: false, headline: "Paused until 15:30" }));
  await page.getByRole("switch", { name: "Publish to mcpd" }).click();
  await page.waitForFunction(() => window.fake.calls.at(-1).args.pause === null);
});

test("only changed keys are saved, and keys without a field are kept", async () => {
  const page = await app.open({ view: view(), at: "models/qwen3-8b" });
  await page.getByLabel("Concurrent requests").fill("3");
  await page
    .getByRole("group", { name: "Wake" })
    .getByLabel("Arguments")
    .fill("--user\nstart\nbig llama");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  const wake = { type: "command", command: "systemctl", args: ["--user", "start", "big llama"] };
  assert.deepEqual(await called(page, "save_model"), {
    name: "qwen3-8b",
    keys: { maxConcurrency: 3, wake },
  });
});

test("a recipe of another kind keeps no keys of the first, and no recipe removes the key", async () => {
  const page = await app.open({ view: view(), at: "models/qwen3-8b" });
  await page.getByRole("group", { name: "Wake" }).getByLabel("Recipe").selectOption("http");
  await page.getByRole("group", { name: "Wake" }).getByLabel("URL").fill("http://nas/wake");
  await page.getByRole("group", { name: "Wake" }).getByLabel("Headers").fill("x-key: ${KEY}");
  await page.getByRole("group", { name: "Sleep" }).getByLabel("Recipe").selectOption("none");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  const { keys } = await called(page, "save_model");
  const wake = { type: "http", url: "http://nas/wake", headers: { "x-key": "${KEY}" } };
  assert.deepEqual(keys, { wake, sleep: null });
});

test("an error is shown beside its field while typing, and prevents saving", async () => {
  const message = '"nas" is not a complete address';
  const results = { validate_model: [{ field: "url", message }] };
  const page = await app.open({ view: view(), at: "models/qwen3-8b", results });
  await page.getByLabel("URL", { exact: true }).fill("nas");
  await page.getByText(message).waitFor();
  // The entry was also checked when the page was opened.
  await page.waitForFunction(() => window.fake.calls.at(-1).args.entry?.url === "nas");
  assert.equal((await calls(page, "validate_model")).at(-1).currentName, "qwen3-8b");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-invalid") === "true");
  assert.deepEqual(await calls(page, "save_model"), []);
});

test("a wake test runs the recipe in the file, so changes are saved first", async () => {
  const page = await app.open({ view: view(), at: "models/qwen3-8b" });
  await page.getByRole("group", { name: "Wake" }).getByLabel("Program").fill("/usr/bin/true");
  await page.getByRole("button", { name: "Save and test wake" }).click();
  assert.deepEqual(await called(page, "start_wake_test").then(({ name }) => name), "qwen3-8b");
  const order = await page.evaluate(() => window.fake.calls.map((call) => call.command));
  assert.ok(order.indexOf("save_model") < order.indexOf("start_wake_test"), order.join(" "));
  await page.evaluate(() => window.fake.step({ atMs: 300, text: "exit code 7", succeeded: false }));
  await page.getByText("exit code 7").waitFor();
  await page.getByRole("button", { name: "Test wake" }).waitFor();
});

test("a removed model comes back with Undo", async () => {
  const page = await app.open({ view: view(), at: "models/qwen3-8b" });
  await page.getByRole("button", { name: "Remove" }).click();
  assert.deepEqual(await called(page, "remove_model"), { name: "qwen3-8b" });
  await page.getByRole("button", { name: "Undo" }).click();
  await called(page, "undo_remove_model");
});

test("a detected model is added without being published", async () => {
  const page = await app.open({ view: view(), at: "models" });
  await page.getByRole("button", { name: "Add phi-4" }).click();
  const url = "http://127.0.0.1:11434";
  const keys = { name: "phi-4", type: "ollama", url, model: "phi-4", publish: false };
  assert.deepEqual(await called(page, "save_model"), { name: null, keys });
});

test("a URL is not checked before its field loses the focus", async () => {
  const message = '"https://m" is not a complete address';
  const page = await app.open({ view: fresh(), results: { validate_server_url: message } });
  const url = page.getByLabel("Server URL");
  await url.pressSequentially("https://m");
  assert.deepEqual(await calls(page, "validate_server_url"), [], "it is being typed");
  await page.getByLabel("Pairing code").focus();
  await page.getByText(message).waitFor();
  assert.equal(await url.getAttribute("aria-invalid"), "true");
  await url.pressSequentially("cpd.example.com");
  await page.getByText(message).waitFor({ state: "detached" });
});

test("the first run leads from a server to a response", async () => {
  const page = await app.open({ view: fresh() });
  await page.getByLabel("Server URL").fill("https://mcpd.example.com");
  await page.getByLabel("Pairing code").check();
  await page.getByPlaceholder("K7QM-3XTP-9RWD").fill("k7qm 3xtp 9rwd");
  await page.getByRole("button", { name: "Sign in" }).click();
  const url = "https://mcpd.example.com";
  assert.deepEqual(await called(page, "sign_in_with_code"), {
    url,
    code: "k7qm 3xtp 9rwd",
    inFile: false,
  });
  await page.getByRole("button", { name: "Publish phi-4" }).click();
  assert.equal((await called(page, "save_model")).keys.publish, true);
  await show(page, view());
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("switch", { name: "Start at login" }).click();
  assert.deepEqual(await called(page, "set_autostart"), { enabled: false });
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("button", { name: "Send a test request" }).click();
  await page.getByText("Hello there, my good friend!").waitFor();
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("navigation").waitFor();
});

test("a token is sent once and then cleared from the page", async () => {
  const page = await app.open({ view: view(), at: "connection" });
  const field = page.locator("input[type=password]");
  await field.fill("mcp_publish_canary");
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.equal((await called(page, "sign_in")).token, "mcp_publish_canary");
  await page.getByText("Signed in", { exact: true }).waitFor();
  assert.equal(await field.inputValue(), "");
});

test("without a keychain the token is stored in a file only if the person chooses it", async () => {
  const results = {
    sign_in: { throws: { message: "this session has no keychain", help: "file" } },
  };
  const page = await app.open({ view: view(), at: "connection", results });
  await page.locator("input[type=password]").fill("x");
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.equal((await called(page, "sign_in")).inFile, false);
  await page.getByRole("button", { name: "Store it in a file" }).click();
  await page.waitForFunction(() => window.fake.calls.at(-1).args.inFile === true);
});

test("a token in a file can be moved to the keychain from any page", async () => {
  const notices = [{ kind: "tokenFile", text: "The token is in a file" }];
  const page = await app.open({ view: view({ notices, tokenStorage: "file" }), at: "general" });
  await page.getByRole("button", { name: "Move it to the keychain" }).click();
  await called(page, "move_token_to_keychain");
});

test("signing out needs a confirmation", async () => {
  const page = await app.open({ view: view(), at: "connection" });
  await page.getByRole("button", { name: "Sign out" }).click();
  assert.deepEqual(await calls(page, "sign_out"), []);
  await page.getByRole("button", { name: "Sign out" }).click();
  await called(page, "sign_out");
});

test("each setting changes its own key", async () => {
  const page = await app.open({ view: view(), at: "general" });
  const last = (expected) =>
    page.waitForFunction((keys) => {
      const changes = window.fake.calls.filter((call) => call.command === "change_settings");
      return JSON.stringify(changes.at(-1)?.args.keys) === JSON.stringify(keys);
    }, expected);
  await page.getByRole("switch", { name: "Only when plugged in" }).click();
  await last({ onlyOnAc: true });
  await page.getByRole("switch", { name: "Quiet hours" }).click();
  await last({ quietHours: null });
  await page.getByLabel("From").fill("23:30");
  await page.getByLabel("From").blur();
  await last({ quietHours: { from: "23:30", to: "07:00" } });
  await page.getByLabel("Keep this machine awake").selectOption("publishing");
  await last({ keepAwake: "publishing" });
  await page.getByRole("switch", { name: "a model could not be woken" }).click();
  await last({ notifications: { signIn: true, connection: true, wake: true, requests: true } });
  await page.getByLabel("Theme").selectOption("dark");
  await last({ theme: "dark" });
});

test("a taken name is replaced with one click, in the list and on the model's page", async () => {
  for (const at of ["models", "models/qwen3-8b"]) {
    const page = await app.open({ view: view({ models: [taken] }), at });
    await page.getByText("belongs to another user").waitFor();
    await page.getByRole("button", { name: "Publish as qwen3-8b-mia" }).click();
    assert.deepEqual(await called(page, "publish_as"), { name: "qwen3-8b", new: "qwen3-8b-mia" });
    await page.getByText("Published as qwen3-8b-mia").waitFor();
    const hash = at === "models" ? "#models" : "#models/qwen3-8b-mia";
    assert.equal(await page.evaluate(() => location.hash), hash);
    await page.context().close();
  }
});

test("the first run replaces a taken name, in the steps for models and for the test request", async () => {
  const setup = STATES.find((state) => state.name === "setup-models-taken");
  const page = await app.open(setup);
  await setup.act(page);
  await page.getByRole("button", { name: "Publish as phi-4-mia" }).click();
  assert.deepEqual(await called(page, "publish_as"), { name: "phi-4", new: "phi-4-mia" });
  await page.getByRole("button", { name: "Publish as qwen3-8b-mia" }).click();
  await show(page, view({ models: [taken] }));
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("button", { name: "Next" }).click();
  const replace = page.getByRole("button", { name: "Publish as qwen3-8b-mia" });
  await replace.waitFor();
  assert.equal(await page.getByRole("button", { name: "Send a test request" }).count(), 0);
  const mine = model("qwen3-8b-mia", { publish: true, tone: "good", state: "ready" });
  await show(page, view({ models: [{ ...mine, backendModel: "qwen3-8b" }] }));
  await page.getByRole("button", { name: "Send a test request" }).click();
  assert.deepEqual(await called(page, "send_test_request"), { name: "qwen3-8b-mia" });
});

test("a model that is published under another name is not offered again", async () => {
  const mine = { ...model("phi-4-mia", { publish: true }), backendModel: "phi-4" };
  const page = await app.open({ view: view({ models: [mine] }), at: "models" });
  await page.getByRole("button", { name: "Add gemma-3" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Add phi-4" }).count(), 0);
});

test("the first run without a backend explains what to do and opens the form for one", async () => {
  const setup = STATES.find((state) => state.name === "setup-models-none");
  const page = await app.open(setup);
  await setup.act(page);
  await page.getByText("Start one of them and search again").waitFor();
  await page.getByRole("button", { name: "Add manually…" }).click();
  await page.getByRole("heading", { name: "New model" }).waitFor();
});

test("a request for a name is allowed, or declined, which can be undone", async () => {
  const page = await app.open({ view: view({ models: [requested] }), at: "models/qwen3-8b" });
  await page.getByText("tom would like to publish qwen3-8b too").waitFor();
  await page.getByRole("button", { name: "Allow tom" }).press("Enter");
  const name = "qwen3-8b";
  assert.deepEqual(await called(page, "share_name"), { name, with: "tom", on: true });
  const headingFocused = () => document.activeElement?.id === "sharing";
  await page.waitForFunction(headingFocused);
  await page.getByRole("button", { name: "Not now, ann" }).press("Enter");
  assert.deepEqual(await called(page, "decline_name"), { name, user: "ann", on: true });
  await page.getByRole("button", { name: "Undo" }).click();
  await page.waitForFunction(() => window.fake.calls.at(-1).args.on === false);
});

test("a name is shared by the form, and an error is shown beside its field", async () => {
  const message = "shareName: a group must have a name";
  const results = { share_name: { throws: message } };
  const page = await app.open({
    view: view({ models: [requested] }),
    at: "models/qwen3-8b",
    results,
  });
  await page.getByLabel("Share this name with").fill("group:");
  await page.getByLabel("Share this name with").press("Enter");
  await page.getByText(message).waitFor();
  assert.equal(await page.getByLabel("Share this name with").getAttribute("aria-invalid"), "true");
  await page.evaluate(() => (window.fake.results.share_name = undefined));
  await page.getByLabel("Share this name with").fill(" group:lab ");
  await page.getByRole("button", { name: "Share", exact: true }).click();
  const last = (with_, on) =>
    page.waitForFunction(
      (expected) => {
        const { args } = window.fake.calls.filter((call) => call.command === "share_name").at(-1);
        return args.with === expected.with && args.on === expected.on;
      },
      { with: with_, on },
    );
  await last("group:lab", true);
  assert.equal(await page.getByLabel("Share this name with").inputValue(), "");
  await page.getByRole("button", { name: "Stop sharing with everyone" }).click();
  await last("*", false);
  await page.getByRole("button", { name: "Undo" }).click();
  await last("*", true);
});

test("the tray opens the model that a user requests", async () => {
  const page = await app.open({ view: view({ models: [requested] }) });
  await page.getByRole("heading", { name: "In use now" }).waitFor();
  await page.evaluate(() => window.fake.request("models", "qwen3-8b"));
  await page.getByRole("heading", { name: "Sharing this name" }).waitFor();
});

test("the support bundle is shown before it can be saved", async () => {
  const page = await app.open({ view: view(), at: "diagnostics" });
  const save = page.getByRole("button", { name: "Save…" });
  assert.equal(await save.count(), 0);
  await page.getByRole("button", { name: "Show its contents" }).click();
  await page.getByText("about.json").click();
  await page.getByText('"version": "0.1.0"').waitFor();
  await save.click();
  await page.getByText("Saved as /home/mia/mcplocal-diagnostics.zip").waitFor();
});

test("the tray opens a page", async () => {
  const page = await app.open({ view: view() });
  await page.getByRole("heading", { name: "In use now" }).waitFor();
  await page.evaluate(() => window.fake.request("activity"));
  await page.getByRole("heading", { name: "Activity" }).waitFor();
});

test("a new view does not shift the layout", async () => {
  const page = await app.open({ view: view(), at: "overview" });
  await page.getByRole("heading", { name: "In use now" }).waitFor();
  const position = () =>
    page.getByRole("heading", { name: "Published", exact: true }).boundingBox();
  const before = await position();
  const models = view().models.map((model) => ({ ...model, tone: "asleep", state: "asleep" }));
  await show(page, view({ models, icon: "online" }));
  await page.getByText("asleep").nth(1).waitFor();
  assert.deepEqual(await position(), before);
});

test("every control of every page is reached by keyboard and shows its focus", async () => {
  const all = STATES.filter((state) => state.view);
  for (const state of all) {
    const page = await app.open(state);
    await page.locator("h1").first().waitFor({ state: "attached" });
    await state.act?.(page);
    await page.evaluate(() => {
      document.activeElement?.blur();
      const controls = "a[href], button, input, select, textarea, summary, [tabindex='0']";
      window.missing = new Set(
        [...document.querySelectorAll(controls)].filter((element) => element.checkVisibility()),
      );
      // Tab reaches one radio button of a group; arrow keys reach the others.
      for (const radio of document.querySelectorAll("input[type=radio]:not(:checked)")) {
        window.missing.delete(radio);
      }
    });
    // A time field has several tab stops.
    const most = await page.evaluate(() => 2 * window.missing.size + 10);
    for (let at = 0; at < most && (await page.evaluate(() => window.missing.size > 0)); at += 1) {
      await page.keyboard.press("Tab");
      const hidden = await page.evaluate(() => {
        const on = document.activeElement;
        window.missing.delete(on);
        return on !== document.body && on?.matches(":focus-visible")
          ? getComputedStyle(on).outlineStyle === "none"
          : false;
      });
      assert.equal(hidden, false, `${state.name}: the focus is not visible`);
    }
    const missing = await page.evaluate(() => [...window.missing].map((m) => m.outerHTML));
    assert.deepEqual(missing, [], state.name);
    await page.context().close();
  }
});
