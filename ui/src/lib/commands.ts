// The commands of Rust that the page calls. All input and output happens in Rust.
// A command that fails rejects with a sentence for people.
import { Channel, invoke } from "@tauri-apps/api/core";
import type { AboutInfo } from "$bindings/AboutInfo";
import type { Autostart } from "$bindings/Autostart";
import type { Entry as BundleEntry } from "$bindings/Entry";
import type { FieldError } from "$bindings/FieldError";
import type { Finding } from "$bindings/Finding";
import type { Found } from "$bindings/Found";
import type { Pause } from "$bindings/Pause";
import type { TestResponse } from "$bindings/TestResponse";
import type { WakeTestStep } from "$bindings/WakeTestStep";
import type { WindowUpdate } from "$bindings/WindowUpdate";

/** A provider of config.json. Keys that this program does not use are kept. */
export type Entry = Record<string, unknown>;

/** Calls `receive` now and after every change, at most once a second. */
export async function watchView(receive: (update: WindowUpdate) => void): Promise<void> {
  await invoke("watch_view", { channel: new Channel<WindowUpdate>(receive) });
}

export const setPublish = (name: string, on: boolean) => invoke<void>("set_publish", { name, on });

/** Pauses publishing, or resumes it with `null`. */
export const pause = (length: Pause | null) => invoke<void>("pause", { pause: length });

export const stopRequest = (task: string) => invoke<void>("stop_request", { task });

export const copyText = (text: string) => invoke<void>("copy_text", { text });

// Models

export const modelEntry = (name: string) => invoke<Entry>("model_entry", { name });

/** Returns the errors of an entry; `currentName` is its name in the file. */
export const validateModel = (entry: Entry, currentName: string | null) =>
  invoke<FieldError[]>("validate_model", { entry, currentName });

/** Changes keys of a model; `null` removes one. Without a name, adds a model. */
export const saveModel = (name: string | null, keys: Entry) =>
  invoke<void>("save_model", { name, keys });

export const removeModel = (name: string) => invoke<void>("remove_model", { name });

export const undoRemoveModel = () => invoke<void>("undo_remove_model");

export const listBackendModels = (entry: Entry) =>
  invoke<string[]>("list_backend_models", { entry });

export const findBackends = () => invoke<Found[]>("find_backends");

/** Runs the wake recipe in the file and calls `receive` for each step. */
export async function startWakeTest(
  name: string,
  receive: (step: WakeTestStep) => void,
): Promise<void> {
  await invoke("start_wake_test", { name, channel: new Channel<WakeTestStep>(receive) });
}

export const stopWakeTest = () => invoke<void>("stop_wake_test");

// Names that two users need

/** Publishes a model under another name; its backend keeps its own id. */
export const publishAs = (name: string, to: string) =>
  invoke<void>("publish_as", { name, new: to });

/** Shares a model's name with a user, `group:…` or `*`, or ends that. */
export const shareName = (name: string, who: string, on: boolean) =>
  invoke<void>("share_name", { name, with: who, on });

/** Hides a user's request for a model's name, or shows it again. */
export const declineName = (name: string, user: string, on: boolean) =>
  invoke<void>("decline_name", { name, user, on });

// Server and token

/** Returns the error of a server's URL, if it has one. */
export const validateServerUrl = (url: string) =>
  invoke<string | null>("validate_server_url", { url });

/** Rejects with a {@link SignInProblem}. */
export const signIn = (url: string, token: string, inFile: boolean) =>
  invoke<void>("sign_in", { url, token, inFile });

/** Signs in with a pairing code. Rejects with a {@link SignInProblem}. */
export const signInWithCode = (url: string, code: string, inFile: boolean) =>
  invoke<void>("sign_in_with_code", { url, code, inFile });

export const signOut = () => invoke<void>("sign_out");

export const moveTokenToKeychain = () => invoke<void>("move_token_to_keychain");

export const testConnection = () => invoke<string>("test_connection");

export const sendTestRequest = (name: string) =>
  invoke<TestResponse>("send_test_request", { name });

// Settings of this machine

export const changeSettings = (keys: Record<string, unknown>) =>
  invoke<void>("change_settings", { keys });

export const autostart = () => invoke<Autostart>("autostart");

export const setAutostart = (enabled: boolean) => invoke<Autostart>("set_autostart", { enabled });

// Diagnostics

export const runChecks = () => invoke<Finding[]>("run_checks");

export const previewBundle = () => invoke<BundleEntry[]>("preview_bundle");

/** Returns the path of the saved bundle; `null` if the person cancels. */
export const saveBundle = () => invoke<string | null>("save_bundle");

export const openLogs = () => invoke<void>("open_logs");

export const about = () => invoke<AboutInfo>("about");
