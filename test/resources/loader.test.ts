import assert from "node:assert/strict";
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadResources } from "../../src/resources/load.ts";
import { ReadFiles } from "../../src/resources/read-files.ts";
import { resourceName } from "../../src/resources/resource.ts";
import { inFolder, loadText, loadTexts, placesOf, problemsOf } from "./load-fixture.ts";

const configMap = (name: string, more = ""): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n${more}`;

const names = (loaded: {
  resources: readonly { kind: string; namespace: string; name: string }[];
}): string[] => loaded.resources.map(resourceName);

test("documents are read in order, empty ones and comments passed over", async () => {
  const loaded = await loadText(
    `# first\n---\n${configMap("a")}---\n# nothing\n---\n\n---\n${configMap("b")}...\n`,
  );
  assert.deepEqual(names(loaded), ["ConfigMap default/a", "ConfigMap default/b"]);
  assert.deepEqual(problemsOf(loaded), []);
});

test("a byte order mark, CRLF and directives change nothing, places included", async () => {
  const text = `\uFEFF${configMap("a")}nonsense: 1\n---\n%YAML 1.2\n---\n${configMap("b", "nonsense: 2\n")}`;
  for (const variant of [text, text.replaceAll("\n", "\r\n")]) {
    const loaded = await loadText(variant);
    assert.deepEqual(placesOf(loaded), ["BW1101_UNKNOWN_FIELD 5:1", "BW1101_UNKNOWN_FIELD 13:1"]);
  }
});

test("a blank line at the beginning, before comments and a marker, is nothing", async () => {
  for (const start of ["\n", "\n\n", "\r\n", "\n# comment\n", "\n%YAML 1.2\n"]) {
    const loaded = await loadText(`${start}---\n${configMap("a")}`);
    assert.deepEqual(names(loaded), ["ConfigMap default/a"], JSON.stringify(start));
  }
});

test("only YAML's own line breaks begin a line: a carriage return does, U+2028 does not", async () => {
  const loaded = await loadText(
    `${configMap("a").replaceAll("\n", "\r")}data:\r  x: "b\u2028---\u2028c"\rextra: 1\r---\r${configMap("b")}`,
  );
  assert.deepEqual(placesOf(loaded), ["BW1101_UNKNOWN_FIELD 7:1"]);
  assert.deepEqual(names(loaded), ["ConfigMap default/b"]);
});

test("a broken document does not take its neighbours with it", async () => {
  const loaded = await loadText(`${configMap("a")}---\na: b: c\n---\n${configMap("b")}`);
  assert.deepEqual(names(loaded), ["ConfigMap default/a", "ConfigMap default/b"]);
  assert.deepEqual(placesOf(loaded), ["BW1005_SYNTAX 6:5"]);
});

test("a document marker inside of a block scalar is text when it is indented", async () => {
  const loaded = await loadText(configMap("a", "data:\n  x: |\n    ---\n    y\n"));
  assert.deepEqual(loaded.resources[0]?.body.data, { x: "---\ny\n" });
});

test("JSON is read like YAML, with tabs and from files named .json", async () => {
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: { x: "é\n" } };
  const loaded = await loadTexts({ "a.json": JSON.stringify(object, null, "\t") });
  assert.deepEqual(loaded.resources[0]?.body, object);
});

test("lists are taken apart, nested and typed ones too, and places stay exact", async () => {
  const loaded = await loadText(`
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMapList
  items:
  - metadata: {name: inner}
  - metadata: {name: bad, label: {}}
- apiVersion: v1
  kind: Namespace
  metadata: {name: ns}
- 7
`);
  assert.deepEqual(names(loaded), ["Namespace ns", "ConfigMap default/inner"]);
  assert.deepEqual(placesOf(loaded), ["BW1009_NOT_AN_OBJECT 13:3", "BW1101_UNKNOWN_FIELD 9:27"]);
});

test("anchors, aliases and merge keys are written out; their places are those of the text they repeat", async () => {
  const loaded = await loadText(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec:
  rules:
  - from: [{source: &s {ipBlocks: [10.0.0.0/99]}}]
  - from: [{source: *s}]
  - from: [{source: {<<: *s, namespaces: [a]}}]
`);
  assert.deepEqual(placesOf(loaded), [
    "BW1203_BAD_CIDR 7:36",
    "BW1203_BAD_CIDR 7:36",
    "BW1203_BAD_CIDR 7:36",
  ]);
});

test("a change to one use of an anchor does not show in another", async () => {
  const loaded = await loadText(configMap("a", "data: &d {x: aaaa}\nbinaryData: *d\n"));
  const body = loaded.resources[0]?.body;
  assert.notEqual(body?.data, body?.binaryData);
  assert.deepEqual(body?.data, body?.binaryData);
});

test("scalars mean what they mean to Kubernetes", async () => {
  const loaded = await loadText(
    `apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec: [yes, Off, 0777, 1_000, 12:30:45, 2024-01-01, 1e3, 0x1F, "8080", ~, .5, 010, nan]\n`,
  );
  assert.deepEqual(loaded.resources[0]?.spec, [
    true,
    false,
    511,
    1000,
    "12:30:45",
    "2024-01-01",
    1000,
    31,
    "8080",
    null,
    0.5,
    8,
    "nan",
  ]);
});

test("fields that are null are as good as absent, but unknown ones are still unknown", async () => {
  const loaded = await loadText(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, creationTimestamp: null}
spec: {selector: null, action: null, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: q}
spec: {rulez: null}
`);
  assert.deepEqual(
    loaded.resources.map(({ spec }) => spec),
    [{ rules: [{}] }],
  );
  assert.deepEqual(placesOf(loaded), ["BW1101_UNKNOWN_FIELD 10:8"]);
});

test("closing brackets that stand too far left are taken, as Kubernetes takes them, with their places", async () => {
  const loaded = await loadText(configMap("a", "data: {\n  x: a\n}\nother: [\n1\n]\n"));
  assert.deepEqual(placesOf(loaded), ["BW1101_UNKNOWN_FIELD 8:1"]);
});

test("namespaces default to `default`; cluster-scoped kinds have none, whatever they say", async () => {
  const loaded = await loadText(
    `${configMap("a", "  namespace: ns\n")}---\n${configMap("b")}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ns, namespace: x}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: "system:r"}\nrules: []\n`,
  );
  assert.deepEqual(names(loaded), [
    "ConfigMap ns/a",
    "ConfigMap default/b",
    "Namespace ns",
    "ClusterRole system:r",
  ]);
});

test("the later of two documents stands, in any version of the group, with the age and place of the first", async () => {
  const policy = (version: string, action: string, name = "p"): string =>
    `apiVersion: security.istio.io/${version}\nkind: AuthorizationPolicy\nmetadata: {name: ${name}}\nspec: {action: ${action}, rules: [{}]}\n`;
  const loaded = await loadText(
    `${policy("v1", "ALLOW")}---\n${policy("v1", "ALLOW", "q")}---\n${policy("v1beta1", "DENY")}`,
  );
  assert.deepEqual(names(loaded), ["AuthorizationPolicy default/p", "AuthorizationPolicy default/q"]);
  const [first, second] = loaded.resources;
  assert.deepEqual(first?.spec, { action: "DENY", rules: [{}] });
  assert.ok((first?.createdAt ?? 0) < (second?.createdAt ?? 0));
  const [warning] = loaded.diagnostics;
  assert.equal(warning?.code, "BW1014_REPEATED_RESOURCE");
  assert.equal(warning?.severity, "warning");
  assert.match(warning?.message ?? "", /mesh\.yaml:3:18, again here/);
  assert.equal(warning?.span?.line, 13);
});

test("an equal copy of a document is only noted", async () => {
  const { diagnostics } = await loadText(`${configMap("a")}---\n${configMap("a")}`);
  assert.deepEqual(
    diagnostics.map(({ code, severity }) => `${code} ${severity}`),
    ["BW1014_REPEATED_RESOURCE info"],
  );
});

test("a rejected document does not replace the good one before it", async () => {
  const loaded = await loadText(
    `${configMap("a", "data: {x: good}\n")}---\n${configMap("a", "data: {x: 1}\n")}`,
  );
  assert.deepEqual(loaded.resources[0]?.body.data, { x: "good" });
  assert.deepEqual(loaded.rejected.map(resourceName), ["ConfigMap default/a"]);
});

test("creationTimestamp orders before documents without one, which keep their order", async () => {
  const dated = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, creationTimestamp: "2024-01-01T00:00:00Z"}\n`;
  const { resources } = await loadText(`${configMap("a")}---\n${configMap("b")}---\n${dated}`);
  const byAge = [...resources].sort((a, b) => a.createdAt - b.createdAt).map(({ name }) => name);
  assert.deepEqual(byAge, ["c", "a", "b"]);
  assert.equal(resources[2]?.createdAt, Date.UTC(2024, 0, 1));
});

test("locate() gives the value of scalars, the key of collections, and the nearest parent of what is not there", async () => {
  const { resources } = await loadText(`
apiVersion: v1
kind: Service
metadata:
  name: a
spec:
  ports:
  - name: http
    port: 80
  - {name: "x", port: 81}
`);
  const [service] = resources;
  const at = (...path: (string | number)[]): string => {
    const span = service?.locate(path);
    return `${span?.line}:${span?.column}-${span?.endLine}:${span?.endColumn}`;
  };
  assert.equal(at("metadata", "name"), "5:9-5:10");
  assert.equal(at("spec", "ports"), "7:3-7:8");
  assert.equal(at("spec", "ports", 0), "8:5-8:9");
  assert.equal(at("spec", "ports", 1, "port"), "10:23-10:25");
  assert.equal(at("spec", "ports", 1, "nodePort"), "10:5-10:10");
  assert.equal(at("spec", "nothing", "here"), "6:1-6:5");
  assert.equal(at(), "2:1-2:11");
});

test("problems inside data.mesh have their places in the file", async () => {
  const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    # comment\n    outboundTrafficPolicy:\n      mode: REGISTRY\n`;
  assert.deepEqual(placesOf(await loadText(text)), ["BW1103_NOT_ONE_OF 8:13"]);
});

test("folders are read in order of names, hidden files passed over, links followed once", async () => {
  await inFolder(async (folder) => {
    mkdirSync(join(folder, "b"));
    mkdirSync(join(folder, "..data"));
    writeFileSync(join(folder, "c.yml"), configMap("c"));
    writeFileSync(join(folder, "b", "z.yaml"), configMap("b-z"));
    writeFileSync(join(folder, "..data", "real.yaml"), configMap("mounted"));
    writeFileSync(join(folder, ".hidden.yaml"), configMap("hidden"));
    writeFileSync(join(folder, "notes.txt"), "no manifest");
    symlinkSync("..data/real.yaml", join(folder, "a.yaml"));
    symlinkSync("..", join(folder, "b", "up"));
    const loaded = await loadResources([folder]);
    assert.deepEqual(
      loaded.resources.map(({ name }) => name),
      ["mounted", "b-z", "c"],
    );
    assert.deepEqual(
      loaded.diagnostics.map(({ code }) => code),
      ["BW1016_SYMLINK_LOOP"],
    );
    assert.equal(loaded.files.length, 3);
  });
});

test("paths are read in the order given, a file named twice once", async () => {
  await inFolder(async (folder) => {
    const [a, b] = [join(folder, "a.yaml"), join(folder, "b.txt")];
    writeFileSync(a, configMap("a"));
    writeFileSync(b, configMap("b"));
    const loaded = await loadResources([b, folder, a]);
    assert.deepEqual(
      loaded.resources.map(({ name }) => name),
      ["b", "a"],
    );
  });
});

test("a file that may not be read is a problem of that file alone", async () => {
  await inFolder(async (folder) => {
    writeFileSync(join(folder, "a.yaml"), configMap("a"));
    writeFileSync(join(folder, "b.yaml"), configMap("b"));
    chmodSync(join(folder, "a.yaml"), 0);
    chmodSync(folder, 0o755);
    const loaded = await withoutRoot(() => loadResources([folder]));
    assert.deepEqual(names(loaded), ["ConfigMap default/b"]);
    assert.deepEqual(
      loaded.diagnostics.map(({ code }) => code),
      ["BW1001_UNREADABLE"],
    );
  });
});

/** Root may read everything: as somebody else for a while (no test of a file runs beside another). */
async function withoutRoot<T>(work: () => Promise<T>): Promise<T> {
  const NOBODY = 65_534;
  if (process.geteuid?.() !== 0) return await work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

test("aliases that multiply are refused before they take memory", async () => {
  const lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
  for (const [index, letter] of [..."bcdefghij"].entries()) {
    const before = "abcdefghij".charAt(index);
    lines.push(`${letter}: &${letter} [${Array(10).fill(`*${before}`).join(", ")}]`);
  }
  const startedAt = process.memoryUsage().heapUsed;
  const loaded = await loadText(`${configMap("a")}spec:\n${lines.map((line) => `  ${line}`).join("\n")}\n`);
  assert.deepEqual(
    problemsOf(loaded).map(({ code }) => code),
    ["BW1008_ALIAS_EXPANSION"],
  );
  assert.ok(process.memoryUsage().heapUsed - startedAt < 256 * 1024 * 1024);
});

test("keys named like JavaScript's own are keys", async () => {
  const loaded = await loadText(configMap("a", "data:\n  __proto__: x\n  constructor: b\n  toString: z\n"));
  assert.deepEqual(problemsOf(loaded), []);
  assert.deepEqual(Object.entries(loaded.resources[0]?.body.data ?? {}), [
    ["__proto__", "x"],
    ["constructor", "b"],
    ["toString", "z"],
  ]);
});

test("what was read before is read again only where a text has changed, and is then the same resource", async () => {
  const document = (name: string, data: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: a}\ndata: {key: "${data}"}\n`;
  await inFolder(async (folder) => {
    const known = new ReadFiles();
    const load = () => loadResources([folder], { known });
    writeFileSync(join(folder, "one.yaml"), document("one", "1"));
    writeFileSync(join(folder, "two.yaml"), document("two", "1"));
    const [one, two] = (await load()).resources;
    writeFileSync(join(folder, "two.yaml"), document("two", "2"));
    const [oneAgain, twoAgain] = (await load()).resources;
    assert.equal(oneAgain, one);
    assert.notEqual(twoAgain, two);
    assert.deepEqual(twoAgain?.body.data, { key: "2" });
    rmSync(join(folder, "one.yaml"));
    assert.deepEqual(names(await load()), ["ConfigMap a/two"]);
    writeFileSync(join(folder, "one.yaml"), "a: [");
    const broken = problemsOf(await load());
    assert.ok(broken.some(({ severity }) => severity === "error"));
    assert.deepEqual(problemsOf(await load()), broken, "what is wrong is told each time");
  });
});

test("configuration of one program has no name by its type: it is called as its file, and each file's is one of its own", async () => {
  const kubelet = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
  const loaded = await inFolder((folder) => {
    for (const node of ["n1", "n2"]) {
      mkdirSync(join(folder, node));
      writeFileSync(join(folder, node, "Kubelet_config.yaml"), `${kubelet}---\n${kubelet}`);
    }
    return loadResources([folder]);
  });
  assert.deepEqual(problemsOf(loaded), []);
  assert.deepEqual(names(loaded), Array(4).fill("KubeletConfiguration kubelet-config"));
  assert.deepEqual(
    names(await loadText(`${kubelet}metadata: {name: mine}\n`)),
    ["KubeletConfiguration mine"],
    "a name that is written is kept",
  );
  const nameless = "apiVersion: kubelet.example.com/v1\nkind: KubeletConfiguration\n";
  assert.deepEqual(placesOf(await loadText(nameless)), ["BW1011_MISSING_NAME 1:1"]);
});

test("a list of what could be no manifest belongs to another tool; one with a manifest in it is an error", async () => {
  const severities = async (text: string): Promise<unknown> =>
    problemsOf(await loadText(text)).map(({ code, severity }) => `${code} ${severity}`);
  assert.deepEqual(await severities("- {op: add, path: /spec/replicas, value: 2}\n"), [
    "BW1009_NOT_AN_OBJECT warning",
  ]);
  assert.deepEqual(await severities("- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n"), [
    "BW1009_NOT_AN_OBJECT error",
  ]);
  assert.deepEqual(await severities("- just\n- a list\n"), ["BW1009_NOT_AN_OBJECT error"]);
});
