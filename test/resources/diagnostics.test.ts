import assert from "node:assert/strict";
import { globSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { unsupported } from "../../src/resources/coverage.ts";
import { MAX_FILE_BYTES } from "../../src/resources/list-files.ts";
import { type LoadedResources, loadResources } from "../../src/resources/load.ts";
import { inFolder, loadText, problemsOf } from "./load-fixture.ts";

const documentation = readFileSync("docs/diagnostics.md", "utf8");
const sections = new Map(
  documentation
    .split(/^### /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), section]),
);

/** Codes that no single document can show: what makes them. */
const MADE_BY_FILES: Readonly<Record<string, (folder: string) => Promise<LoadedResources>>> = {
  BW1001_UNREADABLE: (folder) => loadResources([join(folder, "nothing-here")]),
  BW1002_NOT_TEXT: (folder) => {
    writeFileSync(join(folder, "binary.yaml"), new Uint8Array([0x61, 0xff, 0xfe, 0]));
    return loadResources([folder]);
  },
  BW1003_FILE_TOO_LARGE: (folder) => {
    const file = join(folder, "large.yaml");
    writeFileSync(file, "");
    truncateSync(file, MAX_FILE_BYTES + 1);
    return loadResources([folder]);
  },
  BW1016_SYMLINK_LOOP: (folder) => {
    mkdirSync(join(folder, "sub"));
    symlinkSync(folder, join(folder, "sub", "again"));
    return loadResources([folder]);
  },
  BW1017_NO_MANIFESTS: (folder) => loadResources([folder]),
  BW1308_LARGE_BODY: () => {
    const body = "x".repeat(120_000);
    return loadText(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: large}
spec: {hosts: [a], http: [{directResponse: {status: 200, body: {string: "${body}"}}}]}
`);
  },
};

test("docs/diagnostics.md has a section for every code that the loader gives, and for no other", () => {
  const inSource = new Set(
    globSync("src/resources/**/*.ts").flatMap(
      (file) => readFileSync(file, "utf8").match(/\bBW1\d{3}_[A-Z0-9_]+/g) ?? [],
    ),
  );
  assert.ok(inSource.size > 80, `only ${inSource.size} codes were found in the source`);
  assert.deepEqual([...sections.keys()].sort(), [...inSource].sort());
});

test("no two codes share a number", () => {
  const numbers = [...sections.keys()].map((code) => code.slice(0, 6));
  assert.equal(new Set(numbers).size, numbers.length);
});

for (const [code, section] of sections) {
  if (code === "BW1401_NOT_ACTED_ON") continue;
  test(`the example of ${code} gives it, with a place and a way to mend it`, async () => {
    const example = /```yaml\n([\s\S]*?)```/.exec(section)?.[1];
    const make = MADE_BY_FILES[code];
    assert.ok(
      (example === undefined) !== (make === undefined),
      "an example in the docs, or one made of files",
    );
    const loaded = await (make === undefined ? loadText(example ?? "") : inFolder(make));
    const found = problemsOf(loaded).filter((problem) => problem.code === code);
    assert.ok(
      found.length > 0,
      `got ${problemsOf(loaded).map((problem) => `${problem.code} (${problem.message})`)}`,
    );
    for (const problem of found) {
      assert.ok(problem.span !== undefined && problem.span.line >= 1 && problem.span.column >= 1);
      assert.ok(!problem.message.includes("\n"), "a message is one line");
    }
    assert.match(section, /\*\*Mend:\*\* \S/);
  });
}

test("an error rejects the resource, a warning does not", async () => {
  for (const [code, section] of sections) {
    const example = /```yaml\n([\s\S]*?)```/.exec(section)?.[1];
    if (example === undefined || !/^BW1[123]/.test(code)) continue;
    const { rejected, resources } = await loadText(example);
    assert.equal(rejected.length, code.startsWith("BW13") ? 0 : 1, code);
    assert.equal(resources.length, code.startsWith("BW13") ? 1 : 0, code);
  }
});

test("BW1401_NOT_ACTED_ON names each resource and field that has no effect, with its place, and nothing else", async () => {
  const { resources, rejected } = await loadText(`
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: f}
spec: {configPatches: []}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r}
spec:
  host: a
  trafficPolicy:
    loadBalancer:
      simple: ROUND_ROBIN
    outlierDetection: {interval: 5s}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec: {action: DENY, rules: [{}]}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: t}
`);
  assert.deepEqual(rejected, []);
  const found = unsupported(resources);
  assert.deepEqual(
    found.map(
      ({ code, severity, resource, span }) => `${code} ${severity} ${resource} ${span?.line}:${span?.column}`,
    ),
    [
      "BW1401_NOT_ACTED_ON info EnvoyFilter default/f 3:7",
      "BW1401_NOT_ACTED_ON info DestinationRule default/r 15:5",
      "BW1401_NOT_ACTED_ON info Thing default/t 23:7",
    ],
  );
});

const ONE_MISTAKE: readonly (readonly [what: string, text: string, codes: readonly string[]])[] = [
  [
    "a misspelt field does not make its clause empty as well",
    "kind: AuthorizationPolicy\nspec: {rules: [{from: [{source: {principal: [a]}}], to: [{operation: {paths: /a}}]}]}",
    ["BW1101_UNKNOWN_FIELD", "BW1102_WRONG_TYPE"],
  ],
  [
    "an empty clause beside a misspelt field elsewhere is told",
    "kind: AuthorizationPolicy\nspec: {rule: [], rules: [{from: [{source: {}}]}]}",
    ["BW1101_UNKNOWN_FIELD", "BW1209_EMPTY_CLAUSE"],
  ],
];
for (const [what, text, codes] of ONE_MISTAKE)
  test(what, async () => {
    const loaded = await loadText(
      `apiVersion: security.istio.io/v1\nmetadata: {name: p, namespace: default}\n${text}\n`,
    );
    assert.deepEqual(
      problemsOf(loaded).map(({ code }) => code),
      codes,
    );
  });

test("a field that is missing is not said to be empty as well; a wrong type and a bad value are both told", async () => {
  const loaded = await loadText(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: p, namespace: default}
spec: {hosts: [a.b], http: [{timeout: 5, route: [{destination: {subset: x}}]}]}
`);
  assert.deepEqual(
    problemsOf(loaded).map(({ code }) => code),
    ["BW1104_MISSING_FIELD", "BW1102_WRONG_TYPE", "BW1218_BAD_DURATION"],
  );
});
