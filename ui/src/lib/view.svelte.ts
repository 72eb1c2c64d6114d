// The view that Rust pushes: the state of mcplocal.
import type { Route } from "$bindings/Route";
import type { View } from "$bindings/View";
import { watchView } from "./commands";

/** Holds the latest view. */
export class ViewStore {
  /** Absent until the first view arrives. */
  view = $state.raw<View>();
  /** Why no view will arrive. */
  failure = $state<string>();

  /** Starts to receive views. `show` is called when the tray requests a page. */
  async watch(show: (route: Route) => void): Promise<void> {
    try {
      await watchView((update) => {
        if (update.type === "view") this.view = update.value;
        else show(update.value);
      });
    } catch (error) {
      this.failure = String(error);
    }
  }
}
