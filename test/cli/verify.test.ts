import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { bulwark as bulwarkWith, type Finished } from "./run-bulwark.ts";

const bulwark = (...args: readonly string[]): Promise<Finished> => bulwarkWith(args);

const folder = mkdtempSync(join(tmpdir(), "verify-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const EXAMPLE = "examples/verify";

interface Told {
  readonly results: readonly {
    readonly invariant: string;
    readonly outcome: string;
    readonly findings: readonly {
      readonly witness?: { readonly request: unknown; readonly allowed: boolean };
    }[];
  }[];
}

function fileOf(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
  return path;
}

function invariant(spec: string, kind = "AccessInvariant", apiVersion = "bulwark.dev/v1"): string {
  return `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: own, namespace: shop}\nspec:\n${spec}`;
}

test("a person reads what is proven for how many, and what is violated, by which rule and by what request", async () => {
  const { code, stdout } = await bulwark("verify", EXAMPLE);
  assert.equal(code, 2);
  assert.match(
    stdout,
    /^proven +AccessInvariant shop\/no-plaintext \(.*:8\), never let through for 3 workloads\n/,
  );
  assert.match(stdout, /VIOLATED +AccessInvariant shop\/orders-from-web-or-health/);
  assert.match(stdout, /let through: AuthorizationPolicy shop\/orders, rule 1/);
  assert.match(stdout, /3 invariants: 2 proven, 1 violated, 0 not proven; 4 proofs/);
});

test("the witness is one that can answers as told, and the mesh's own invariants trouble no other command", async () => {
  const { stdout } = await bulwark("verify", EXAMPLE, "--format", "json");
  const witness = (JSON.parse(stdout) as Told).results.flatMap(({ findings }) => findings)[0]?.witness;
  const requests = fileOf("requests.json", JSON.stringify([witness?.request]));
  const answer = await bulwark("can", "--mesh", EXAMPLE, "--requests", requests, "--format", "json");
  const { decisions } = JSON.parse(answer.stdout) as { decisions: { allowed: boolean }[] };
  assert.deepEqual(
    decisions.map(({ allowed }) => allowed),
    [witness?.allowed],
  );
  assert.equal(answer.stderr, "");
  const changed = join(folder, "without");
  cpSync(EXAMPLE, changed, { recursive: true });
  rmSync(join(changed, "invariants.yaml"));
  const diff = await bulwark("diff", EXAMPLE, changed, "--fail-on", "changed");
  assert.deepEqual([diff.code, diff.stderr], [0, ""]);
});

test("a pull request gets Markdown that names what is violated first", async () => {
  const { code, stdout } = await bulwark("verify", EXAMPLE, "--builtin", "all", "--format", "markdown");
  assert.equal(code, 2);
  assert.ok(stdout.indexOf("### Violated") < stdout.indexOf("### Proven"));
  assert.match(stdout, /for example: `\{"from"/);
  assert.match(stdout, /built-in no-plaintext, never let through for 3 workloads/);
});

test("all that is asked is proven: 0", async () => {
  const mesh = join(EXAMPLE, "mesh.yaml");
  assert.equal((await bulwark("verify", mesh, "--builtin", "no-plaintext")).code, 0);
  const own = fileOf(
    "own.yaml",
    invariant(
      "  selector: {matchLabels: {app: orders}}\n  only:\n    - from: [{source: {namespaces: [shop]}}]\n",
    ),
  );
  assert.equal((await bulwark("verify", mesh, "--invariants", own)).code, 0);
  const slip = fileOf(
    "slip.yaml",
    invariant(
      "  selector: {matchLabels: {app: oders}}\n  only:\n    - from: [{source: {namespaces: [shop]}}]\n",
    ),
  );
  const { code, stdout } = await bulwark("verify", mesh, "--invariants", slip);
  assert.equal(code, 2);
  assert.match(stdout, /NOT PROVEN.*\n.*it selects no workload/);
});

test("a namespace labelled sensitive is reached from itself and those that it lists alone", async () => {
  const caller =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled, bulwark.dev/sensitive: 'true'}";
  const mesh = join(folder, "sensitive");
  cpSync(EXAMPLE, mesh, { recursive: true });
  rmSync(join(mesh, "invariants.yaml"));
  writeFileSync(join(mesh, "z.yaml"), `${caller}}\n`);
  const open = await bulwark("verify", mesh, "--builtin", "sensitive");
  assert.equal(open.code, 2);
  assert.match(open.stdout, /VIOLATED +built-in sensitive \(shop\).*nothing else let through/);
});

for (const [what, text, message] of [
  [
    "a kind that is misspelt",
    invariant("  never: [{}]\n", "AccessInvarient"),
    /:2:7: error BW1108.*\n.*did you mean/,
  ],
  [
    "a group that is misspelt",
    invariant("  never: [{}]\n", "AccessInvariant", "bulwark.io/v1"),
    /BW1108.*\n.*bulwark\.dev\/v1/,
  ],
  [
    "two claims",
    invariant("  never: [{}]\n  only: [{}]\n"),
    /:6:3: error BW1107.*only one of `never`, `only`/,
  ],
  ["no claim", invariant("  selector: {matchLabels: {app: a}}\n"), /BW1107.*needs one of/],
  ["no rules", invariant("  never: []\n"), /BW1206/],
  [
    "a field that is misspelt",
    invariant("  never:\n    - to: [{operation: {method: [GET]}}]\n"),
    /:6:\d+: error BW1101.*\n.*did you mean `methods`/,
  ],
  [
    "an address block that is none",
    invariant("  never:\n    - from: [{source: {ipBlocks: [10.0.0.0/99]}}]\n"),
    /:6:\d+: error BW12/,
  ],
  [
    "a condition that is none",
    invariant("  never:\n    - when: [{key: source.principle, values: [a]}]\n"),
    /:6:\d+: error BW1214/,
  ],
  [
    "another kind",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
    /BW0902.*hold AccessInvariants alone/,
  ],
] as const) {
  test(`${what} is refused with its place, and nothing is verified`, async () => {
    const path = fileOf(`${what.replaceAll(" ", "-")}.yaml`, text);
    const { code, stdout, stderr } = await bulwark(
      "verify",
      join(EXAMPLE, "mesh.yaml"),
      "--invariants",
      path,
      "--builtin",
      "all",
    );
    assert.deepEqual([code, stdout], [3, ""]);
    assert.match(stderr, message);
  });
}

test("nothing to verify, and an unknown built-in invariant, are no success", async () => {
  const mesh = join(EXAMPLE, "mesh.yaml");
  const nothing = await bulwark("verify", mesh);
  assert.equal(nothing.code, 3);
  assert.match(nothing.stderr, /nothing to verify/);
  assert.match((await bulwark("verify", mesh, "--builtin", "sensitiv")).stderr, /did you mean `sensitive`/);
});

test("what is too complex is not proven, and no difference is not no change: 2 for whoever asks, and a flag for programs", async () => {
  const conditions = Array.from({ length: 60 }, (_, at) => `n*${at}*m${at}`);
  const policy = (method: string): string =>
    `---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: dear, namespace: shop}\nspec:\n  rules:\n  - from: [{source: {namespaces: ${JSON.stringify(conditions)}}}]\n    to: [{operation: {methods: [${method}]}}]\n`;
  const [before, changed] = ["GET", "PUT"].map((method) => {
    cpSync(EXAMPLE, join(folder, `dear-${method}`), { recursive: true });
    fileOf(`dear-${method}/dear.yaml`, policy(method));
    return join(folder, `dear-${method}`);
  }) as [string, string];
  const verified = await bulwark("verify", before, "--format", "json");
  assert.equal(verified.code, 2);
  assert.match(verified.stdout, /"isTooComplex": true/);
  assert.match(verified.stdout, /not analysed: too complex: .*, mostly of AuthorizationPolicy shop\/dear/);
  const { code, stdout } = await bulwark("diff", before, changed, "--fail-on", "weakened");
  assert.equal(code, 2);
  assert.match(stdout, /not analysed: shop\/.*too complex: .*AuthorizationPolicy shop\/dear/);
  assert.doesNotMatch(stdout, /no change/i);
});
