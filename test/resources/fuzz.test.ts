import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { buildMesh } from "../../src/model/build-mesh.ts";
import { unsupported } from "../../src/resources/coverage.ts";
import type { Diagnostic } from "../../src/resources/diagnostic.ts";
import { readDocuments } from "../../src/resources/read-documents.ts";
import { readObjects } from "../../src/resources/read-objects.ts";
import { validateObject } from "../../src/resources/validate/validate.ts";
import { namespaceOf, resourceFromJson } from "../../src/resources/wire.ts";

const SEED = 20_260_822;
/** No text of these sizes may take so much processor time, whatever it says. */
const LONGEST_US = 2_000_000;

const MANIFESTS: readonly string[] = [
  readFileSync("test/resources/valid-manifests.yaml", "utf8"),
  readFileSync("../shared/real/bookinfo/bookinfo.yaml", "utf8"),
  ...["006", "021", "050"].map((name) => readFileSync(`../shared/corpus/${name}/mesh.yaml`, "utf8")),
  ...["004", "030"].map((name) => readFileSync(`../shared/corpus-outbound/${name}/mesh.yaml`, "utf8")),
].flatMap((text) => text.split(/^---\n/m));

/** Loads a text as the loader does with a file, and builds the mesh of what is valid. */
async function load(text: string): Promise<readonly Diagnostic[]> {
  const problems: Diagnostic[] = [];
  const report = (problem: Diagnostic): void => void problems.push(problem);
  const resources = [];
  for (const document of readDocuments("fuzz.yaml", text, report)) {
    for (const object of readObjects(document, report)) {
      const namespace = namespaceOf(
        object.apiVersion,
        object.kind,
        object.body.metadata as object as Record<string, unknown>,
      );
      const { body, errors, warnings } = await validateObject(object, namespace);
      problems.push(...errors, ...warnings);
      if (errors.length === 0)
        resources.push(resourceFromJson(body, { file: "fuzz.yaml", createdAt: 0 }, object.locate));
    }
  }
  const mesh = buildMesh(resources);
  assert.equal(new Set(mesh.workloads.map(({ key }) => key)).size, mesh.workloads.length, "keys are unique");
  for (const { key, spiffeId } of mesh.workloads)
    assert.match(spiffeId, /^(spiffe:\/\/[^/]+\/ns\/[^/]+\/sa\/[^/]+)?$/, key);
  return [...problems, ...unsupported(resources)];
}

async function assertBehaves(text: string): Promise<void> {
  const before = process.cpuUsage();
  const lines = text.split(/\r\n|\r|\n/);
  for (const { code, message, span } of await load(text)) {
    assert.match(code, /^BW1\d{3}_/);
    assert.ok(!message.includes("\n"));
    assert.ok(
      span !== undefined && span.line >= 1 && span.line <= lines.length,
      `${code} at line ${span?.line} of ${lines.length}`,
    );
    assert.ok(
      span.column >= 1 && span.column <= (lines[span.line - 1]?.length ?? 0) + 2,
      `${code} at ${span.line}:${span.column}`,
    );
  }
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < LONGEST_US, "it took too long");
}

const token = fc.constantFrom(
  ..."apiVersion: v1|kind: ConfigMap|kind: List|items:|metadata:|name: a|---|...|- |  |\n|\n  |\n    |: |{|}|[|]|,|&a |*a|<<: |!!str |!x |\"|'|\\|||>|%YAML 1.2|#|?|\t|\r|\u0000|\uFEFF|\u2028|~|yes|0x1|\u{1F600}|{{ .x }}".split(
    "|",
  ),
  "|",
);

test("any text, however much like YAML, gives resources or problems with places, soon", async () => {
  const text = fc.oneof(
    fc.array(token, { maxLength: 80 }).map((parts) => parts.join("")),
    fc.string({ unit: "binary", maxLength: 200 }),
    fc
      .array(fc.tuple(fc.nat(8), token), { maxLength: 40 })
      .map((lines) => lines.map(([n, part]) => `${" ".repeat(n)}${part}\n`).join("")),
  );
  await fc.assert(fc.asyncProperty(text, assertBehaves), { seed: SEED, numRuns: 600 });
});

test("manifests with lines changed, dropped, doubled or cut give resources or problems with places, soon", async () => {
  const edit = fc.record({
    at: fc.nat(),
    what: fc.constantFrom("drop", "double", "cut", "insert", "indent", "value"),
    part: token,
  });
  const mutated = fc
    .tuple(fc.constantFrom(...MANIFESTS), fc.array(edit, { minLength: 1, maxLength: 5 }))
    .map(([text, edits]) => {
      let lines = text.split("\n");
      for (const { at, what, part } of edits)
        lines = editLine(lines, at % Math.max(1, lines.length), what, part);
      return lines.join("\n");
    });
  await fc.assert(fc.asyncProperty(mutated, assertBehaves), { seed: SEED, numRuns: 400 });
});

function editLine(lines: readonly string[], at: number, what: string, part: string): string[] {
  const line = lines[at] ?? "";
  const changed =
    what === "drop"
      ? []
      : what === "double"
        ? [line, line]
        : what === "cut"
          ? [line.slice(0, line.length >> 1)]
          : what === "insert"
            ? [line.slice(0, line.length >> 1) + part + line.slice(line.length >> 1)]
            : what === "indent"
              ? [` ${line}`]
              : [line.replace(/:.*$/, `: ${part}`)];
  return lines.toSpliced(at, 1, ...changed);
}

test("manifests with any value in any place give resources or problems, and what passes builds a mesh", async () => {
  const objects = MANIFESTS.flatMap((text) => readDocuments("a.yaml", text, () => {}))
    .map(({ value }) => value)
    .filter((value) => typeof value === "object" && value !== null);
  const value = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      "",
      "*",
      "a",
      0,
      -1,
      1.5,
      65_536,
      true,
      [],
      {},
      [null],
      [{}],
      [[]],
      "a/b",
      "0s",
      "ALLOW",
      { a: null },
    ),
    fc.jsonValue({ maxDepth: 2 }),
  );
  const mutated = fc
    .tuple(fc.constantFrom(...objects), fc.array(fc.tuple(fc.nat(), value), { minLength: 1, maxLength: 3 }))
    .map(([object, edits]) => {
      const copy = structuredClone(object) as object;
      for (const [at, replacement] of edits) replacePlace(copy, at, replacement);
      return JSON.stringify(copy, null, 1);
    });
  await fc.assert(fc.asyncProperty(mutated, assertBehaves), { seed: SEED, numRuns: 800 });
});

/** Puts a value into the nth place of an object, counted over all of its parts. */
function replacePlace(root: object, at: number, value: unknown): void {
  const places: [Record<string, unknown>, string][] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    for (const key of Object.keys(node)) {
      places.push([node as Record<string, unknown>, key]);
      walk((node as Record<string, unknown>)[key]);
    }
  };
  walk(root);
  const place = places[at % Math.max(1, places.length)];
  if (place !== undefined) place[0][place[1]] = structuredClone(value);
}

test("long and deep texts that mean to hang a parser do not", async () => {
  const n = 20_000;
  const texts = [
    "%\n".repeat(n),
    "---\n".repeat(n),
    "#\n".repeat(n),
    `${"a: [\n".repeat(90)}`,
    "- ".repeat(n),
    "{".repeat(n),
    `a: ${"[".repeat(n)}`,
    `a: "${"\\".repeat(n)}`,
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${"a".repeat(n)}}\n`,
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {${"a-".repeat(n)}: "${"a-".repeat(n)}"}}\n`,
    `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\nx: {\n${"]\n".repeat(500)}`,
    `apiVersion: v1\nkind: ${"K".repeat(n)}\nmetadata: {name: a}\n`,
    `a: &a b\nc: [${"*a, ".repeat(n)}]\n`,
  ];
  for (const text of texts) await assertBehaves(text);
});
