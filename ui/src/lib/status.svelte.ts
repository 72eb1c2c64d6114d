// What the page knows: the view as Rust sees it, and switches that are on their way.
import { setPublish, watchStatus } from "./backend";
import type { View } from "./bindings/View";

export class Status {
  /** Absent until the first view arrives. */
  view = $state.raw<View>();
  /** Why there will be none. */
  failure = $state<string>();
  /** Names of models whose switch was moved and whose edit is not done yet. */
  #moving = $state.raw<ReadonlySet<string>>(new Set());

  async watch(): Promise<void> {
    try {
      await watchStatus((view) => (this.view = view));
    } catch (error) {
      this.failure = String(error);
    }
  }

  isMoving(name: string): boolean {
    return this.#moving.has(name);
  }

  /** A refusal comes back as a notice of the view, for the tray says it too. */
  async publish(name: string, on: boolean): Promise<void> {
    this.#moving = new Set([...this.#moving, name]);
    try {
      await setPublish(name, on);
    } catch {
      // Said by the view's notices.
    } finally {
      this.#moving = new Set([...this.#moving].filter((other) => other !== name));
    }
  }
}
