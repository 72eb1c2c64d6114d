// Every page in every state: drawn in light and dark at three sizes, kept as pictures, without a
// violation of accessibility, an error in the console, or a line that is wider than the window.
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

async function look(page, name) {
  await page.screenshot({ path: `${PICTURES}/${name}.png` });
  const { violations } = await new AxeBuilder({ page }).analyze();
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html).join(" ")}`);
  assert.deepEqual(told, [], name);
  const wider = await page.evaluate(() =>
    [document.documentElement, document.querySelector("main")].some(
      (element) => element && element.scrollWidth > element.clientWidth,
    ),
  );
  assert.equal(wider, false, `${name}: something is wider than the window`);
}

describe("each state of each page is readable for everybody", { concurrency: 2 }, () => {
  for (const state of STATES) {
    test(state.name, async () => {
      const page = await app.open(state);
      await page.locator("h1").first().waitFor({ state: "attached" });
      await state.act?.(page);
      // What is asked of Rust has been answered: no state of waiting is left but the wanted one.
      const waiting = () => !document.querySelector("main [aria-busy=true]");
      if (state.view) await page.waitForFunction(waiting);
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        for (const size of SIZES) {
          await page.setViewportSize(size);
          await look(page, `${state.name}-${colorScheme}-${size.name}`);
        }
      }
      assert.deepEqual(page.problems, []);
      await page.context().close();
    });
  }
});
