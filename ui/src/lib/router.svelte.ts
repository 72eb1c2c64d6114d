// The current page: the part of the address behind `#`, as `#models/qwen3-8b`.
import type { Key } from "./i18n";

/** A page's id. Each page has its title in the catalogue, under `page.<id>`. */
export type PageId = IdOf<Key>;
type IdOf<K> = K extends `page.${infer Id}` ? Id : never;

/** The page that opens first, and in place of one that does not exist. */
const FIRST: PageId = "overview";

export class Router {
  page = $state<PageId>(FIRST);
  /** A part of the page, such as a model's name. */
  part = $state<string>();
  readonly #pages: readonly PageId[];

  /** `pages`: the ids that the address may name. */
  constructor(pages: readonly PageId[]) {
    this.#pages = pages;
    this.#read();
    window.addEventListener("hashchange", () => this.#read());
  }

  go(page: PageId, part?: string): void {
    location.hash = href(page, part);
  }

  #read(): void {
    const [page, part] = location.hash.slice(1).split("/", 2);
    this.page = this.#pages.find((id) => id === page) ?? FIRST;
    this.part = part ? decodeURIComponent(part) : undefined;
  }
}

/** The link to a page, or to a part of it. */
export function href(page: PageId, part?: string): string {
  return part === undefined ? `#${page}` : `#${page}/${encodeURIComponent(part)}`;
}
