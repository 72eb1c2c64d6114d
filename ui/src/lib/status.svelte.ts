// What the page knows without asking: the view as Rust sees it.
import { watchStatus } from "./backend";
import type { Place } from "$bindings/Place";
import type { View } from "$bindings/View";

export class Status {
  /** Absent until the first view arrives. */
  view = $state.raw<View>();
  /** Why there will be none. */
  failure = $state<string>();

  /** Follows; `show` is called when somebody outside of the window wants a place of it. */
  async watch(show: (place: Place) => void): Promise<void> {
    try {
      await watchStatus((news) => {
        if (news.what === "view") this.view = news.it;
        else show(news.it);
      });
    } catch (error) {
      this.failure = String(error);
    }
  }
}
