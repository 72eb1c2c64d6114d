// The properties that every page gets.
import type { View } from "$bindings/View";
import type { Router } from "./router.svelte";

export interface PageProps {
  view: View;
  router: Router;
}
