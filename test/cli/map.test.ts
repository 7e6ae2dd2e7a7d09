import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bulwark, type Finished } from "./run-bulwark.ts";

const EXAMPLE = "examples/network";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "bulwark-map-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function map(...args: readonly string[]): Promise<Finished> {
  return bulwark(["map", ...args, "--network-only"]);
}

test("map --network-only prints who can connect to whom", async () => {
  const { code, stdout } = await map(EXAMPLE);
  assert.equal(code, 0);
  assert.deepEqual(stdout.trimEnd().split("\n"), [
    "0.0.0.0-255.255.255.255 => ops/monitor[Deployment] : All Connections",
    "0.0.0.0-255.255.255.255 => shop/frontend[Deployment] : TCP 8080",
    "ops/monitor[Deployment] => shop/frontend[Deployment] : TCP 8080",
    "ops/monitor[Deployment] => shop/orders[Deployment] : TCP 9090",
    "ops/monitor[Deployment] => 0.0.0.0-192.0.1.255 : All Connections",
    "ops/monitor[Deployment] => 192.0.2.0-192.0.2.255 : All Connections",
    "ops/monitor[Deployment] => 192.0.3.0-255.255.255.255 : All Connections",
    "shop/frontend[Deployment] => shop/orders[Deployment] : TCP 8080",
    "shop/orders[Deployment] => shop/database[StatefulSet] : TCP 5432",
    "shop/orders[Deployment] => 192.0.2.0-192.0.2.255 : TCP 443",
    "{ingress-controller} => shop/frontend[Deployment] : TCP 8080",
  ]);
});

test("map --format json is an array of from, to and connections", async () => {
  const { stdout } = await map(EXAMPLE, "--format", "json");
  const entries = JSON.parse(stdout) as unknown[];
  assert.equal(entries.length, 11);
  assert.deepEqual(entries.at(-1), {
    from: "{ingress-controller}",
    to: "shop/frontend[Deployment]",
    connections: "TCP 8080",
    requests: null,
  });
});

test("map --format csv quotes lists of ports, and has a heading", async () => {
  const file = join(folder, "ports.yaml");
  writeFileSync(file, `${POD}\n---\n${policy("{ports: [{port: 80}, {port: 8080, endPort: 8090}]}")}`);
  const { stdout } = await map(file, "--format", "csv");
  assert.equal(
    stdout,
    'from,to,connections\n0.0.0.0-255.255.255.255,default/p[Pod],"TCP 80,8080-8090"\ndefault/p[Pod],0.0.0.0-255.255.255.255,All Connections\n',
  );
});

for (const [format, start] of [
  ["dot", "digraph connections {"],
  ["mermaid", "flowchart LR"],
  ["svg", "<svg "],
] as const)
  test(`map --format ${format} names every end`, async () => {
    const { code, stdout } = await map(EXAMPLE, "--format", format);
    assert.equal(code, 0);
    assert.ok(stdout.startsWith(start), stdout.slice(0, 80));
    for (const name of ["monitor", "frontend", "orders", "database", "ingress-controller", "192.0.2.0"])
      assert.ok(stdout.includes(name), name);
  });

test("map's filters narrow it, and refuse names that there are not", async () => {
  const lines = async (...args: readonly string[]): Promise<number> =>
    (await map(EXAMPLE, ...args)).stdout.trimEnd().split("\n").length;
  assert.equal(await lines("--from", "shop/orders"), 2);
  assert.equal(await lines("--to", "orders"), 2);
  assert.equal(await lines("--focus", "database"), 1);
  assert.equal(await lines("--exposure"), 7);
  assert.equal(await lines("--from", "outside", "--namespace", "shop"), 2);
  const wrong = await map(EXAMPLE, "--focus", "shop/order");
  assert.equal(wrong.code, 3);
  assert.match(wrong.stderr, /no workload is `shop\/order`.*shop\/orders/);
});

test("map refuses policies that are not valid, with their place, rather than show a map without them", async () => {
  const file = join(folder, "bad.yaml");
  writeFileSync(file, `${POD}\n---\n${policy("{ports: [{port: 90, endPort: 80}]}")}`);
  const { code, stdout, stderr } = await map(file);
  assert.equal(code, 3);
  assert.equal(stdout, "");
  assert.match(stderr, /bad\.yaml:\d+:\d+: error BW1249_NETWORK_POLICY/);
});

test("map refuses two admin policies of one priority", async () => {
  const file = join(folder, "same.yaml");
  const admin = (name: string): string =>
    `---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: ${name}}\nspec: {priority: 5, subject: {namespaces: {}}}\n`;
  writeFileSync(file, `${POD}\n${admin("a")}${admin("b")}`);
  const { code, stderr } = await map(file);
  assert.equal(code, 3);
  assert.match(stderr, /BW1520_SAME_PRIORITY/);
});

test("map without --network-only shows what the mesh lets through, and says what it leaves out", async () => {
  const { code, stdout, stderr } = await bulwark(["map", EXAMPLE]);
  assert.equal(code, 0);
  assert.match(stderr, /TCP alone; UDP and SCTP go past proxies/);
  assert.match(stdout, /^ops\/monitor\[Deployment\] => shop\/frontend\[Deployment\] : TCP 8080 : any HTTP$/m);
});

const PAYROLL = "examples/payroll";
const AUDITOR = "finance/account-auditor[Deployment]";

test("map tells requests: in text, JSON, CSV and pictures, and filters hold there, too", async () => {
  const shown = async (format: string): Promise<string> => {
    const args = ["map", PAYROLL, "--to", "finance/payroll", "--format", format];
    const { code, stdout, stderr } = await bulwark(args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const requests = "methods GET; paths /accounts/*";
  assert.equal(
    await shown("text"),
    `${AUDITOR} => finance/payroll[Deployment] : TCP any port but 9000 : ${requests}\n`,
  );
  assert.deepEqual(JSON.parse(await shown("json")), [
    {
      from: AUDITOR,
      to: "finance/payroll[Deployment]",
      connections: "TCP 1-8999,9001-65535",
      requests: [
        {
          connections: "TCP any port but 9000",
          outcome: "allowed",
          method: "GET",
          path: "/accounts/*",
          text: requests,
        },
      ],
    },
  ]);
  assert.equal(
    await shown("csv"),
    `from,to,connections,outcome,requests\n${AUDITOR},finance/payroll[Deployment],TCP any port but 9000,allowed,${requests}\n`,
  );
  for (const format of ["dot", "mermaid", "svg"])
    assert.ok((await shown(format)).includes("paths /accounts/*"), format);
});

const POD = `apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec: {containers: [{name: c, image: i}]}`;

function policy(rule: string): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: limits}
spec:
  podSelector: {matchLabels: {app: p}}
  ingress: [${rule}]
`;
}

const AMBIENT = ["examples/map", "--to", "stock/catalog"];

test("map tells what goes by a waypoint in every format, and finds it by the waypoint's name", async () => {
  const shown = async (...more: readonly string[]): Promise<string> =>
    (await bulwark(["map", ...AMBIENT, "--from", "prices", ...more])).stdout;
  const WAY = "stock/prices[Deployment] by stock/waypoint[Deployment]";
  const WORDS = "methods GET; paths /items/*";
  assert.match(
    await shown(),
    /^stock\/prices\[Deployment\] by .* : TCP 8080 : methods GET; paths \/items\/\* \(for /,
  );
  const [entry, ...others] = JSON.parse(await shown("--format", "json")) as Record<string, unknown>[];
  assert.deepEqual(others, []);
  assert.deepEqual([entry?.from, entry?.connections], [WAY, "TCP 8080"]);
  assert.deepEqual(entry?.via, {
    hosts: ["catalog.stock.svc.cluster.local"],
    routes: ["Service stock/catalog"],
  });
  assert.ok(
    (await shown("--format", "csv"))
      .split("\n")[1]
      ?.startsWith(`${WAY},stock/catalog[Deployment],TCP 8080,allowed,`),
  );
  for (const format of ["dot", "mermaid"]) {
    const graph = await shown("--format", format);
    assert.ok(graph.includes(`by stock/waypoint[Deployment]: TCP 8080: ${WORDS}`), graph);
    assert.match(graph, /"prices\[Deployment\]"/);
  }
  assert.match(await shown("--format", "svg"), /prices\[Deployment\]/);
  const focused = await bulwark(["map", "examples/map", "--focus", "stock/waypoint"]);
  assert.ok(focused.stdout.includes(`${WAY} => stock/catalog`), focused.stdout);
  const { stderr } = await bulwark(["map", ...AMBIENT]);
  assert.match(stderr, /note: stock\/waypoint is in no file, and taken to be there/);
});

test("map of files without a resource is no map", async (t) => {
  const empty = mkdtempSync(join(tmpdir(), "map-"));
  t.after(() => rmSync(empty, { recursive: true, force: true }));
  for (const more of [[], ["--network-only"]]) {
    const { code, stdout, stderr } = await bulwark(["map", empty, ...more]);
    assert.deepEqual([code, stdout], [3, ""]);
    assert.match(stderr, /BW0901_NOTHING_READ/);
  }
});

test("map counts lines that are not analysed, and fails for them where it is asked to", async () => {
  const told = await bulwark(["map", "examples/map"]);
  const lines = told.stdout.split("\n").filter((line) => line.includes(" : not analysed: ")).length;
  assert.ok(lines > 1);
  assert.equal(told.code, 0);
  assert.match(told.stderr, new RegExp(`^note: ${lines} lines are not analysed`, "m"));
  assert.equal((await bulwark(["map", "examples/map", "--fail-on", "not-analysed"])).code, 2);
  const clear = await bulwark(["map", "examples/payroll", "--fail-on", "not-analysed"]);
  assert.equal(clear.code, 0);
  assert.doesNotMatch(clear.stderr, /not analysed/);
});

test("map names objects whose pods no file has, and --fail-on not-analysed counts them; a Rollout has its line", async () => {
  const mesh = join(folder, "made.yaml");
  const pods = (kind: string, apiVersion: string, name: string): string =>
    `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: ${name}, namespace: shop}\nspec: {template: {metadata: {labels: {app: ${name}}}, spec: {containers: [{name: c, image: i}]}}}\n`;
  const both = (kind: string, apiVersion: string): string =>
    [pods(kind, apiVersion, "one"), pods("Deployment", "apps/v1", "two")].join("---\n");
  writeFileSync(mesh, both("Thing", "example.com/v1"));
  const ask = (): Promise<Finished> =>
    bulwark(["map", mesh, "--from", "two", "--to", "one", "--to", "two", "--fail-on", "not-analysed"]);
  const unread = await bulwark(["map", mesh, "--fail-on", "not-analysed"]);
  assert.equal(unread.code, 2);
  assert.match(unread.stderr, /BW1515_PODS_NOT_READ: Thing shop\/one: makes pods that are in no file/);
  assert.doesNotMatch(unread.stdout, /shop\/one/);
  assert.equal((await bulwark(["map", mesh])).code, 0);
  writeFileSync(mesh, both("Rollout", "argoproj.io/v1alpha1"));
  const { code, stdout, stderr } = await ask();
  assert.equal(code, 0);
  assert.match(stdout, /^shop\/two\[Deployment\] => shop\/one\[Rollout\] : /m);
  assert.doesNotMatch(stderr, /BW1515/);
});
