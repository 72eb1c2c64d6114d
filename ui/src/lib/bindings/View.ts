import type { Mark } from "./Mark"; import type { Model } from "./Model";
export type View = { mark: Mark, headline: string, notices: Array<string>, models: Array<Model> };
