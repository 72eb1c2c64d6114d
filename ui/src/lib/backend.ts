// Everything that the page asks of Rust. All input and output is Rust's; this only carries it.
import { Channel, invoke } from "@tauri-apps/api/core";
import type { View } from "./bindings/View";

/** Calls `show` with the view now and whenever it changes, at most once a second. */
export async function watchStatus(show: (view: View) => void): Promise<void> {
  await invoke("watch_status", { channel: new Channel<View>(show) });
}

/** Sets the publish switch of a model in config.json; rejects with a sentence for people. */
export async function setPublish(name: string, on: boolean): Promise<void> {
  await invoke("set_publish", { name, on });
}
