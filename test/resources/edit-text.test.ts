import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dump, load } from "js-yaml";
import { editText, type FieldEdit } from "../../src/resources/edit-text.ts";
import type { FieldPath } from "../../src/resources/resource.ts";

const OF = { apiVersion: "v1", kind: "ConfigMap", namespace: "a", name: "b" };
const HEAD = `apiVersion: v1
kind: ConfigMap
metadata:
  name: b # the name
  namespace: a
`;

/** `text` as a whole with the change made, and what a parser then reads under `spec`. */
function edited(text: string, change: FieldEdit): string {
  const result = editText(text, OF, change);
  assert.ok(result !== undefined, text);
  return result;
}

test("a scalar is replaced and every other byte stays", () => {
  const text = `# kept\n${HEAD}spec:\n    mode:   STRICT   # why\n    list: [1,   2]\n---\nkind: Other\n`;
  assert.equal(
    edited(text, { edit: "set", path: ["spec", "mode"], value: "DISABLE" }),
    text.replace("STRICT", "DISABLE"),
  );
});

test("a field is added to block and to flow mappings, in their own style", () => {
  assert.equal(
    edited(`${HEAD}spec:\n  a: 1\n# end\n`, { edit: "set", path: ["spec", "tls", "mode"], value: "MUTUAL" }),
    `${HEAD}spec:\n  a: 1\n  tls:\n    mode: MUTUAL\n# end\n`,
  );
  assert.equal(
    edited(`${HEAD}spec: {a: 1}\n`, { edit: "set", path: ["spec", "b"], value: ["x, y"] }),
    `${HEAD}spec: {a: 1, b: ["x, y"]}\n`,
  );
});

test("a field goes with its lines, and its comment on the line", () => {
  const text = `${HEAD}spec:\n  a:\n    - x: 1\n      y: 2 # two\n    - z\n  b: 2\n`;
  assert.equal(edited(text, { edit: "delete", path: ["spec", "a"] }), `${HEAD}spec:\n  b: 2\n`);
  assert.equal(
    edited(text, { edit: "delete", path: ["spec", "a", 0, "x"] }),
    `${HEAD}spec:\n  a:\n    - y: 2 # two\n    - z\n  b: 2\n`,
  );
  assert.equal(
    edited(text, { edit: "delete", path: ["spec", "a", 0] }),
    `${HEAD}spec:\n  a:\n    - z\n  b: 2\n`,
  );
});

test("of several documents, and the items of a List, the one that is meant is changed", () => {
  const other = HEAD.replace("name: b", "name: c");
  const two = `${other}spec: {a: 1}\n---\n${HEAD}spec: {a: 1}\n`;
  assert.equal(
    edited(two, { edit: "set", path: ["spec", "a"], value: 2 }),
    `${other}spec: {a: 1}\n---\n${HEAD}spec: {a: 2}\n`,
  );
  const items = [load(`${other}spec: {a: 1}`), load(`${HEAD}spec: {a: 1}`)];
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items });
  const after = JSON.parse(edited(list, { edit: "set", path: ["spec", "b"], value: "x" }));
  assert.deepEqual(
    after.items.map(({ spec }: { spec: unknown }) => spec),
    [{ a: 1 }, { a: 1, b: "x" }],
  );
});

test("nothing is changed where it is not certain what is meant", () => {
  const change = { edit: "set", path: ["spec", "a"], value: 2 } as const;
  assert.equal(editText(`${HEAD}---\n${HEAD}`, OF, change), undefined);
  assert.equal(editText("kind: ConfigMap\n", OF, change), undefined);
  const alias = `x-all: &all {a: 1}\n${HEAD}spec: *all\n`;
  assert.equal(editText(alias, OF, change), undefined);
  const lessIndented = `${HEAD}data:\n  board: '{\n  "a": 1\n  }'\n`;
  assert.equal(editText(lessIndented, OF, change), undefined);
});

const scalar = fc.oneof(
  fc.constantFrom(
    "plain",
    "a b",
    "1",
    "true",
    "",
    "- x",
    "a: b",
    "#",
    "*",
    "über",
    "it's",
    "null",
    "[",
    "a,b",
  ),
  fc.integer(),
  fc.boolean(),
);
const key = fc.constantFrom("a", "b", "c-d", "app.kubernetes.io/name", "1", "x y", "true");
const tree = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3 },
    scalar,
    fc.dictionary(key, tie("node"), { maxKeys: 3, noNullPrototype: true }),
    fc.array(tie("node"), { maxLength: 3 }),
  ),
})).node;

/** All paths into a value. */
function pathsOf(value: unknown, at: FieldPath = []): readonly FieldPath[] {
  if (typeof value !== "object" || value === null) return [at];
  const entries: readonly (readonly [string | number, unknown])[] = Array.isArray(value)
    ? value.map((item, index) => [index, item] as const)
    : Object.entries(value);
  return [at, ...entries.flatMap(([step, inner]) => pathsOf(inner, [...at, step]))];
}

/** What the change makes of the value itself. */
function changed(value: unknown, { path, ...change }: FieldEdit): unknown {
  const copy = structuredClone({ spec: value }) as Record<string | number, unknown>;
  const parent = path
    .slice(1, -1)
    .reduce((node, step) => node[step] as typeof copy, path.length > 1 ? (copy.spec as typeof copy) : copy);
  const last = path.at(-1) ?? "spec";
  if (change.edit === "set") parent[last] = change.value;
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return copy.spec;
}

test("whatever is set or deleted, a parser reads what was meant, and all else as before", () => {
  fc.assert(
    fc.property(
      fc.dictionary(key, tree, { minKeys: 1, maxKeys: 4, noNullPrototype: true }),
      fc.nat(),
      fc.option(tree, { nil: undefined }),
      fc.constantFrom("", "new"),
      fc.constantFrom(-1, 1, 2, 3),
      (spec, which, value, added, flowLevel) => {
        const paths = pathsOf(spec).map((path) => ["spec", ...path]);
        const path = paths[which % paths.length] ?? ["spec"];
        const node = path
          .slice(1)
          .reduce<unknown>((inner, step) => (inner as Record<string, unknown>)[step], spec);
        const isMapping = typeof node === "object" && node !== null && !Array.isArray(node);
        const at = added === "" || !isMapping ? path : [...path, added];
        if (value === undefined && at.length < 2) return;
        const change: FieldEdit =
          value === undefined ? { edit: "delete", path } : { edit: "set", path: at, value };
        if (change.edit === "delete" && path.length < 2) return;
        const text = `${HEAD}${dump({ spec, status: { a: [1] } }, { flowLevel, lineWidth: -1 })}---\nkind: Other\n`;
        const after = edited(text, change);
        assert.ok(after.startsWith(HEAD) && after.endsWith("---\nkind: Other\n"), after);
        const read = load(after.slice(0, -"---\nkind: Other\n".length)) as Record<string, unknown>;
        assert.deepEqual(
          read,
          { ...(load(HEAD) as object), spec: changed(spec, change), status: { a: [1] } },
          after,
        );
      },
    ),
    { numRuns: 2000 },
  );
});
