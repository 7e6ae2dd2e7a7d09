import { globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

/** Texts of all files that fit, such as `../shared/corpus/001/*.yaml`. */
export function seedTexts(...patterns: readonly string[]): string[] {
  return patterns.flatMap((pattern) =>
    globSync(pattern, { cwd: root })
      .toSorted()
      .map((file) => readFileSync(join(root, file), "utf8")),
  );
}

export interface CorpusRequest {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, unknown>>;
}

/** Requests that were sent to real proxies when the corpora were recorded. */
export function corpusRequests(): CorpusRequest[] {
  return seedTexts("../shared/corpus*/*/requests.json").flatMap((text) => {
    const value: unknown = JSON.parse(text);
    const requests = Array.isArray(value) ? value : (value as { requests?: unknown }).requests;
    return Array.isArray(requests) ? (requests as CorpusRequest[]) : [];
  });
}
