// Takes a screenshot of every page in every state, in light and dark and in three sizes. Fails on an
// accessibility violation, an error in the console, or content that is wider than the window.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import { SIZES, start } from "./browser.mjs";
import { STATES } from "./states.mjs";

const PICTURES = process.env.PICTURES ?? "/tmp/mcplocal-pictures";
let app;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  app = await start();
});
after(() => app.close());

async function checkPage(page, name) {
  await page.screenshot({ path: `${PICTURES}/${name}.png` });
  const { violations } = await new AxeBuilder({ page }).analyze();
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html).join(" ")}`);
  assert.deepEqual(found, [], name);
  const overflows = await page.evaluate(() =>
    [document.documentElement, document.querySelector("main")].some(
      (element) => element && element.scrollWidth > element.clientWidth,
    ),
  );
  assert.equal(overflows, false, `${name}: the content is wider than the window`);
}

describe("every state of every page is accessible", { concurrency: 2 }, () => {
  for (const state of STATES) {
    test(state.name, async () => {
      const page = await app.open(state);
      await page.locator("h1").first().waitFor({ state: "attached" });
      await state.act?.(page);
      // Waits for pending commands, except in the state that shows them.
      const idle = () => !document.querySelector("main [aria-busy=true]");
      if (state.view) await page.waitForFunction(idle);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        for (const size of SIZES) {
          await page.setViewportSize(size);
          await checkPage(page, `${state.name}-${colorScheme}-${size.name}`);
        }
      }
      assert.deepEqual(page.problems, []);
      await page.context().close();
    });
  }
});
