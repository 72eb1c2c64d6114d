// Names of models in the catalogue, for models that a backend offers.
import type { Model } from "$bindings/Model";

/** Stands for a new model in the address; no model can have this name. */
export const NEW_MODEL = "+";

/** Makes a name for the catalogue from a backend's model id. */
export function catalogueName(backendModel: string): string {
  const base = backendModel.split("/").pop() ?? backendModel;
  const bare = base.toLowerCase().replace(/\.gguf$/, "");
  const name = bare.replaceAll(/[^a-z0-9._:-]+/g, "-").replace(/^[^a-z0-9]+/, "");
  return name.slice(0, 63) || "model";
}

/** Finds the entry of a backend's model, which may be published under another name. */
export function findEntry(models: Model[], backendModel: string): Model | undefined {
  const name = catalogueName(backendModel);
  return models.find((model) => model.name === name || model.backendModel === backendModel);
}
