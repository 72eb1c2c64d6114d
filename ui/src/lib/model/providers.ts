// The kinds of backends that a model can have, with their labels.
import type { Key } from "../i18n";

export const PROVIDER_KINDS: [string, Key][] = [
  ["llamacpp", "provider.llamacpp"],
  ["ollama", "provider.ollama"],
  ["vllm", "provider.vllm"],
  ["lmstudio", "provider.lmstudio"],
  ["openai", "provider.openai"],
];
