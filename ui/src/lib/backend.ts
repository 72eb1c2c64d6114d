// Everything that the page asks of Rust. All input and output is Rust's; this only carries it.
// Whatever can fail rejects with a sentence for people.
import { Channel, invoke } from "@tauri-apps/api/core";
import type { AboutUs } from "$bindings/AboutUs";
import type { Entry as BundleEntry } from "$bindings/Entry";
import type { Finding } from "$bindings/Finding";
import type { Found } from "$bindings/Found";
import type { Login } from "$bindings/Login";
import type { News } from "$bindings/News";
import type { Pause } from "$bindings/Pause";
import type { TestResponse } from "$bindings/TestResponse";
import type { WakeLine } from "$bindings/WakeLine";
import type { FieldError } from "$bindings/FieldError";

/** A provider as it stands in config.json: keys that we do not know stay in it. */
export type Entry = Record<string, unknown>;

/** Calls `hear` now and whenever something is new, at most once a second. */
export async function watchStatus(hear: (news: News) => void): Promise<void> {
  await invoke("watch_status", { channel: new Channel<News>(hear) });
}

export const setPublish = (name: string, on: boolean) => invoke<void>("set_publish", { name, on });

/** Pauses publishing; without a length it goes on. */
export const pause = (length: Pause | null) => invoke<void>("pause", { pause: length });

export const stopRequest = (task: string) => invoke<void>("stop_request", { task });

export const copyText = (text: string) => invoke<void>("copy_text", { text });

// Models

export const modelEntry = (name: string) => invoke<Entry>("model_entry", { name });

/** What is wrong with an entry; `own` is the name that it has now. */
export const checkModel = (entry: Entry, own: string | null) =>
  invoke<FieldError[]>("check_model", { entry, own });

/** Changes keys of a model, `null` takes one away; without a name it is a new one. */
export const saveModel = (name: string | null, keys: Entry) =>
  invoke<void>("save_model", { name, keys });

export const removeModel = (name: string) => invoke<void>("remove_model", { name });

export const undoRemoval = () => invoke<void>("undo_removal");

export const offeredModels = (entry: Entry) => invoke<string[]>("offered_models", { entry });

export const findBackends = () => invoke<Found[]>("find_backends");

/** Runs the wake recipe that stands in the file, and tells each step. */
export async function testWake(name: string, hear: (line: WakeLine) => void): Promise<void> {
  await invoke("test_wake", { name, channel: new Channel<WakeLine>(hear) });
}

export const stopTest = () => invoke<void>("stop_test");

// Names that two users want

/** Publishes a model under another name; its backend is asked as before. */
export const publishAs = (name: string, to: string) =>
  invoke<void>("publish_as", { name, new: to });

/** Shares a model's name with a user, `group:…` or `*`, or takes that back. */
export const shareName = (name: string, who: string, on: boolean) =>
  invoke<void>("share_name", { name, with: who, on });

/** Hides a user's request for a model's name, or shows it again. */
export const declineName = (name: string, user: string, on: boolean) =>
  invoke<void>("decline_name", { name, user, on });

// Server and token

/** What is wrong with a server's URL, if anything is. */
export const checkServer = (url: string) => invoke<string | null>("check_server", { url });

/** Rejects with a {@link SignInProblem}. */
export const signIn = (url: string, token: string, inFile: boolean) =>
  invoke<void>("sign_in", { url, token, inFile });

/** Rejects with a {@link SignInProblem}. */
export const pair = (url: string, code: string, inFile: boolean) =>
  invoke<void>("pair", { url, code, inFile });

export const signOut = () => invoke<void>("sign_out");

export const moveToKeychain = () => invoke<void>("move_to_keychain");

export const testConnection = () => invoke<string>("test_connection");

export const tryModel = (name: string) => invoke<TestResponse>("try_model", { name });

// This machine

export const changeSettings = (keys: Record<string, unknown>) =>
  invoke<void>("change_settings", { keys });

export const startsAtLogin = () => invoke<Login>("starts_at_login");

export const startAtLogin = (on: boolean) => invoke<Login>("start_at_login", { on });

// Diagnostics

export const examine = () => invoke<Finding[]>("examine");

export const bundle = () => invoke<BundleEntry[]>("bundle");

/** Where it was saved; nothing when the person decided against it. */
export const saveBundle = () => invoke<string | null>("save_bundle");

export const openLogs = () => invoke<void>("open_logs");

export const about = () => invoke<AboutUs>("about");
