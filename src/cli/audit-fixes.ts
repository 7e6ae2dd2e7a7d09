/** What the findings' edits make of the files: each is tried on a copy in memory, read again, and refused where more has changed than it should. */
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { createTwoFilesPatch } from "diff";
import { dump } from "js-yaml";
import type { Edit } from "../analysis/audit/finding.ts";
import { editText } from "../resources/edit-text.ts";
import { readDocuments } from "../resources/read-documents.ts";
import type { FieldPath } from "../resources/resource.ts";

/** The files that edits touch, as they are on disk, and as they become. */
export class EditedFiles {
  readonly #texts = new Map<string, { readonly before: string; after: string }>();

  /** Changes the files in memory. @returns whether it could be done; if not, nothing has changed. */
  apply(edits: readonly Edit[]): boolean {
    const texts = new Map<string, string>();
    for (const edit of edits) {
      const { file } = edit.edit === "add" ? edit.beside : edit.resource;
      if (file === undefined) return false;
      const text = texts.get(file) ?? this.#text(file);
      const edited = text === undefined ? undefined : editedText(text, edit);
      if (edited === undefined) return false;
      texts.set(file, edited);
    }
    for (const [file, after] of texts) {
      const known = this.#texts.get(file);
      if (known !== undefined) known.after = after;
    }
    return true;
  }

  /** One unified diff over all files. */
  patch(): string {
    return this.changed()
      .map(({ file, before, after }) => createTwoFilesPatch(`a/${file}`, `b/${file}`, before, after, "", ""))
      .map((patch) => patch.replace(/^=+\n/, ""))
      .join("");
  }

  changed(): readonly { readonly file: string; readonly before: string; readonly after: string }[] {
    return [...this.#texts]
      .filter(([, { before, after }]) => before !== after)
      .map(([file, texts]) => ({ file, ...texts }));
  }

  #text(file: string): string | undefined {
    const known = this.#texts.get(file);
    if (known !== undefined) return known.after;
    const text = readFileSync(file, "utf8");
    this.#texts.set(file, { before: text, after: text });
    return text;
  }
}

/** The patch of one finding by itself; undefined where there is none that is safe. */
export function patchOf(edits: readonly Edit[]): string | undefined {
  if (edits.length === 0) return undefined;
  const files = new EditedFiles();
  return files.apply(edits) ? files.patch() : undefined;
}

function editedText(text: string, edit: Edit): string | undefined {
  if (edit.edit === "add") {
    const end = text.endsWith("\n") || text === "" ? "" : "\n";
    return `${text}${end}---\n${dump(edit.object, { lineWidth: -1, noRefs: true })}`;
  }
  const after = editText(text, edit.resource, edit);
  return after !== undefined && isAsMeant(text, after, edit) ? after : undefined;
}

/** Whether a parser reads one object otherwise than before, and that as the edit says. */
function isAsMeant(before: string, after: string, edit: Exclude<Edit, { edit: "add" }>): boolean {
  const [old, now] = [objectsOf(before), objectsOf(after)];
  if (old === undefined || now === undefined || old.length !== now.length) return false;
  const different = old.flatMap((object, index) =>
    isDeepStrictEqual(object, now[index]) ? [] : [{ object, after: now[index] }],
  );
  const [only, ...more] = different;
  if (only === undefined) return true;
  return more.length === 0 && isDeepStrictEqual(changed(only.object, edit), only.after);
}

/** Undefined where not all of it can be read. */
function objectsOf(text: string): readonly unknown[] | undefined {
  let isBroken = false;
  const documents = readDocuments("", text, ({ severity }) => {
    if (severity === "error") isBroken = true;
  });
  if (isBroken) return undefined;
  return documents.flatMap(({ value }) => {
    const items = (value as { readonly kind?: unknown; readonly items?: unknown } | null)?.items;
    return Array.isArray(items) ? items : [value];
  });
}

type Node = Record<string | number, unknown>;

function changed(object: unknown, edit: Exclude<Edit, { edit: "add" }>): unknown {
  const copy = structuredClone(object) as Node;
  const parent = parentOf(copy, edit.path, edit.edit === "set");
  const last = edit.path.at(-1);
  if (parent === undefined || last === undefined) return copy;
  if (edit.edit === "set") parent[last] = edit.value;
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return copy;
}

function parentOf(root: Node, path: FieldPath, isToBeMade: boolean): Node | undefined {
  let node: Node | undefined = root;
  for (const [index, step] of path.slice(0, -1).entries()) {
    if (node === undefined) return undefined;
    if (isToBeMade) node[step] ??= typeof path[index + 1] === "number" ? [] : {};
    node = node[step] as Node | undefined;
  }
  return node;
}
