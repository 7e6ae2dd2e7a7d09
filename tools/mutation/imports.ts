import { createHash } from "node:crypto";
import { posix } from "node:path";

const IMPORT = /(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;

/** Which files a file is made of, by what it imports, and fingerprints of them. */
export class ImportGraph {
  readonly #read: (file: string) => string;
  readonly #direct = new Map<string, readonly string[]>();
  readonly #all = new Map<string, ReadonlySet<string>>();

  /** @param read text of a file, relative to the repository. */
  constructor(read: (file: string) => string) {
    this.#read = read;
  }

  /** The file and all that it imports, directly or not, types too. */
  of(file: string): ReadonlySet<string> {
    const known = this.#all.get(file);
    if (known !== undefined) return known;
    const all = new Set([file]);
    for (const reached of all) for (const next of this.#directly(reached)) all.add(next);
    this.#all.set(file, all);
    return all;
  }

  /** Changes with a test file and whatever of the tests it imports; not with what it tests. */
  fingerprint(testFile: string): string {
    const files = [...this.of(testFile)].filter((file) => !file.startsWith("src/")).sort();
    return hashOf(files.map((file) => this.#read(file)).join("\0"));
  }

  #directly(file: string): readonly string[] {
    const known = this.#direct.get(file);
    if (known !== undefined) return known;
    const folder = posix.dirname(file);
    const found = [...this.#read(file).matchAll(IMPORT)]
      .map(([, name]) => posix.join(folder, name ?? ""))
      .filter((name) => name.endsWith(".ts"));
    this.#direct.set(file, found);
    return found;
  }
}

/** Short, for telling versions apart. */
export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 24);
}
