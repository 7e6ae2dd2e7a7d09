import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { IdGaps } from "../../src/analysis/tighten/id-gaps.ts";
import { WorkloadNames } from "../../src/analysis/tighten/workload-names.ts";
import { flowLogs, type ReadUntil, readings } from "../../src/cli/flow-logs.ts";
import { readLines } from "../../src/cli/read-lines.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { FlowStore } from "../../src/telemetry/flow-store.ts";
import { bulwark as bulwarkWith, type Finished } from "./run-bulwark.ts";

const bulwark = (...args: readonly string[]): Promise<Finished> => bulwarkWith(args);

const folder = mkdtempSync(join(tmpdir(), "tighten-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const MESH = "examples/tighten/mesh.yaml";
const FLOWS = "examples/tighten/flows.jsonl";

const RECORD: FlowRecord = {
  id: "shop/orders@1:0",
  time: "2026-11-02T09:00:00Z",
  kind: "request",
  reporter: "shop/orders",
  direction: "inbound",
  verdict: "allow",
  protocol: "http",
  source: { principal: "cluster.local/ns/shop/sa/web" },
  destination: { port: 8080 },
  method: "GET",
  path: "/a",
};

test("a person reads what is granted on what evidence, what would be lost, and what the logs cannot show; nothing is written", async () => {
  const { code, stdout } = await bulwark("tighten", MESH, "--flows", FLOWS);
  assert.equal(code, 0);
  assert.match(stdout, /^132 records, 126 of them evidence, 2026-11-02T07:00 to 2026-11-06T17:00 UTC\n/);
  assert.match(
    stdout,
    /GET \/orders\/\{\*\} at port 8080: 50 requests, 50 different values: 1000, 1007, 1014, …\n/,
  );
  assert.match(stdout, /proven no wider than today\n/);
  assert.match(stdout, /shop\/orders by no identity: 5, such as GET \/metrics/);
  assert.match(stdout, /only 4\.4 days of evidence/);
  assert.match(stdout, /examples\/tighten\/flows\.jsonl:41: it is no flow record\n/);
  assert.match(stdout, /asked again: 126 records, 0 refused/);
  assert.match(stdout, /nothing is written without --out FOLDER\n$/);
});

test("what is written is read behind the mesh as the new mesh: it lets through what was seen, and refuses what was not; a folder that holds something is left alone", async () => {
  const out = join(folder, "out");
  const { code } = await bulwark("tighten", MESH, "--flows", FLOWS, "--out", out);
  assert.equal(code, 0);
  assert.deepEqual(readdirSync(out).toSorted(), ["1-add", "2-replace"]);
  const can = await bulwark(
    "can",
    "--mesh",
    MESH,
    "--mesh",
    join(out, "1-add"),
    "--mesh",
    join(out, "2-replace"),
    "shop/web",
    "GET",
    "http://orders.shop/orders/7",
  );
  assert.equal(can.code, 0, can.stdout + can.stderr);
  const denied = await bulwark(
    "can",
    "--mesh",
    MESH,
    "--mesh",
    join(out, "1-add"),
    "--mesh",
    join(out, "2-replace"),
    "shop/billing",
    "GET",
    "http://orders.shop/orders/7",
  );
  assert.equal(denied.code, 2, denied.stdout + denied.stderr);
  const again = await bulwark("tighten", MESH, "--flows", FLOWS, "--out", out);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /is not empty/);
});

test("the example's README shows what the command prints", async () => {
  const { stdout } = await bulwark("tighten", MESH, "--flows", FLOWS);
  const shown = stdout.replaceAll(/^(?=.)/gm, "    ");
  assert.ok(readFileSync("examples/tighten/README.md", "utf8").includes(shown), shown);
});

test("--egress closes what was not asked for, writes it as files, and says what it leaves open", async () => {
  const namespaced = (name: string): string =>
    `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}, labels: {istio-injection: enabled}}\n---\n` +
    `apiVersion: v1\nkind: Pod\nmetadata: {name: app, namespace: ${name}, labels: {app: app}}\nspec: {serviceAccountName: app, containers: [{name: a, image: b}]}\n---\n`;
  const entry = (name: string, resolution: string): string =>
    `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ${name}, namespace: shop}\n` +
    `spec: {hosts: [${name}.example], location: MESH_EXTERNAL, ports: [{number: 443, name: tls, protocol: TLS}], ${resolution}}\n---\n`;
  const mesh = join(folder, "egress.yaml");
  writeFileSync(
    mesh,
    ["shop", "pay"].map(namespaced).join("") +
      entry("bank", "resolution: STATIC, endpoints: [{address: 192.0.2.9}]") +
      entry("mail", "resolution: DNS"),
  );
  const record = (reporter: string, host: string): object => ({
    ...RECORD,
    id: `${reporter}@1:0`,
    kind: "connection",
    protocol: "tls",
    reporter,
    direction: "outbound",
    source: { workload: reporter },
    destination: { host, port: 443 },
    sni: host,
  });
  const flows = join(folder, "egress.jsonl");
  const records = [record("shop/app", "bank.example"), record("pay/app", "mail.example")];
  writeFileSync(flows, records.map((own) => `${JSON.stringify(own)}\n`).join(""));
  const out = join(folder, "egress-out");
  const { code, stdout, stderr } = await bulwark(
    "tighten",
    mesh,
    "--flows",
    flows,
    "--egress",
    "--network",
    "--out",
    out,
  );
  assert.equal(code, 0, stderr);
  const files = readdirSync(out, { recursive: true }).map(String).toSorted();
  assert.equal(files.filter((file) => /sidecar/i.test(file)).length, 2, files.join());
  assert.equal(files.filter((file) => /networkpolicy/i.test(file)).length, 1, files.join());
  assert.equal(files.filter((file) => /serviceentry/i.test(file)).length, 1, files.join());
  assert.match(stdout, /pay\/app: no egress NetworkPolicy: mail\.example \(port 443\) has no address/);
  const ask = (from: string, host: string) =>
    bulwark(
      "can",
      "--mesh",
      mesh,
      "--mesh",
      join(out, "1-add"),
      "--mesh",
      join(out, "2-replace"),
      from,
      `tls://${host}:443`,
    );
  assert.equal((await ask("shop/app", "bank.example")).code, 0);
  assert.equal((await ask("pay/app", "mail.example")).code, 0);
  assert.equal((await ask("pay/app", "bank.example")).code, 2);
  assert.equal((await ask("pay/app", "other.example")).code, 2);
});

test("JSON holds all of it, and Markdown the resources", async () => {
  const json = await bulwark("tighten", MESH, "--flows", FLOWS, "--format", "json");
  const report = JSON.parse(json.stdout) as {
    replay: { refused: unknown[] };
    servers: unknown[];
    malformed: { at: string }[];
  };
  assert.deepEqual(report.replay.refused, []);
  assert.equal(report.servers.length, 1);
  assert.deepEqual(
    report.malformed.map(({ at }) => at),
    [`${FLOWS}:41`],
  );
  const { stdout } = await bulwark("tighten", MESH, "--flows", FLOWS, "--format", "markdown");
  assert.match(stdout, /^## The access that the traffic needs\n/);
  assert.match(stdout, /```yaml\napiVersion: security\.istio\.io\/v1\nkind: AuthorizationPolicy\n/);
});

test("the flow log of a state folder is read as its lines are", async () => {
  const state = join(folder, "state");
  mkdirSync(state);
  const store = new FlowStore(join(state, "flows.sqlite"), { nowMs: () => Date.parse(RECORD.time) });
  store.insertLines(`${JSON.stringify(RECORD)}\n`);
  store.close();
  const { code, stdout, stderr } = await bulwark("tighten", MESH, "--flows", state);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /GET \/a at port 8080: 1 request\n/);
});

test("logs that show nothing, are not there, or name nobody end with 3 and say why", async () => {
  const empty = join(folder, "empty.jsonl");
  writeFileSync(empty, `{"not": "a record"}\n${JSON.stringify({ ...RECORD, verdict: "deny" })}\n`);
  const nothing = await bulwark("tighten", MESH, "--flows", empty);
  assert.equal(nothing.code, 3);
  assert.match(
    nothing.stderr,
    /show nothing that was let through.*1 records are malformed\n.*empty\.jsonl:1: it is no flow record/s,
  );
  const absent = await bulwark("tighten", MESH, "--envoy", join(folder, "none.log"));
  assert.deepEqual([absent.code, /there is no file/.test(absent.stderr)], [3, true]);
  const nobody = await bulwark("tighten", MESH, "--envoy", `shop/nobody=${empty}`);
  assert.deepEqual([nobody.code, /no workload `shop\/nobody`/.test(nobody.stderr)], [3, true]);
  const none = await bulwark("tighten", MESH);
  assert.deepEqual([none.code, /no log to read/.test(none.stderr)], [3, true]);
  assert.ok(!existsSync(join(folder, "none.log")));
});

test("lines are read in bounded memory: what is too long or no UTF-8 is told with its number, the rest is read", () => {
  const file = join(folder, "odd.jsonl");
  const bad = Buffer.from([0x22, 0xff, 0x22, 0x0a]);
  writeFileSync(file, Buffer.concat([Buffer.from("a\r\n\n"), bad, Buffer.from(`${"x".repeat(3 << 20)}\nb`)]));
  assert.deepEqual(
    [...readLines(file)],
    [
      { number: 1, text: "a" },
      { number: 3, text: undefined },
      { number: 4, text: undefined },
      { number: 5, text: "b" },
    ],
  );
});

test("a pipe, which cannot be read twice, and a packed log are refused, and nothing is written", async () => {
  const out = join(folder, "of-a-pipe");
  const pipe = await bulwark("tighten", MESH, "--flows", "/dev/stdin", "--out", out);
  assert.equal(pipe.code, 3);
  assert.match(pipe.stderr, /is no file but a pipe or a device: logs are read twice/);
  assert.equal(existsSync(out), false);
  const packed = join(folder, "flows.jsonl.gz");
  writeFileSync(packed, gzipSync(readFileSync(FLOWS)));
  const { code, stderr } = await bulwark("tighten", MESH, "--flows", packed);
  assert.equal(code, 3);
  assert.match(stderr, /is packed \(gzip\): unpack it/);
});

test("a log that has become shorter is not taken for asked", () => {
  const path = join(folder, "shrinking.jsonl");
  writeFileSync(path, "{}\n{}\n{}\n");
  const mesh = buildMesh([]);
  const [log] = flowLogs({ flows: [path] }, new WorkloadNames(mesh), new IdGaps());
  assert.ok(log);
  const until: ReadUntil = new Map();
  const read = () => [...readings([log], until, () => {})];
  read();
  assert.equal(until.get(log), 3);
  read();
  writeFileSync(path, "{}\n");
  assert.throws(read, /is shorter than it was/);
});

test("Istio's own ztunnel tells who came to a pod in ambient mode", async () => {
  const log = join(folder, "ztunnel.log");
  const ends =
    'src.addr=10.0.0.9:4000 src.identity="spiffe://cluster.local/ns/partner/sa/feed" dst.addr=10.0.0.2:15008 ' +
    'dst.hbone_addr=10.0.0.2:8080 dst.workload="catalog-7b5db664c-v7b6x" dst.namespace="shop" direction="inbound"';
  writeFileSync(log, `2026-11-02T09:00:00.1Z\tinfo\taccess\tconnection complete\t${ends}\n`);
  const { code, stdout, stderr } = await bulwark("tighten", "examples/ambient", "--ztunnel", log);
  assert.equal(code, 0, stderr);
  assert.match(
    stdout,
    /shop\/catalog-as-seen\n {4}cluster\.local\/ns\/partner\/sa\/feed\n {8}connections to port 8080: 1\n {4}proven/,
  );
});

test("Istio's own access log, which does not say who called, is told how it would; then, or by addresses, it is evidence", async () => {
  const files = join(folder, "own-format");
  mkdirSync(files);
  writeFileSync(
    join(files, "mesh.yaml"),
    ["web", "orders"]
      .map(
        (name, at) =>
          `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, namespace: shop, labels: {app: ${name}, sidecar.istio.io/inject: "true"}}\nspec: {serviceAccountName: ${name}, containers: [{name: c, image: c}]}\nstatus: {podIP: 10.1.0.${7 + at}}\n`,
      )
      .join("---\n"),
  );
  const record = {
    start_time: "2026-11-02T07:00:00.000Z",
    method: "GET",
    path: "/a",
    response_code: 200,
    response_code_details: "via_upstream",
    upstream_cluster: "inbound|8080||",
    downstream_local_address: "10.1.0.8:8080",
    downstream_remote_address: "10.1.0.7:1234",
  };
  const log = join(folder, "own-format.jsonl");
  const run = (...more: readonly string[]) =>
    bulwark("tighten", files, "--envoy", `shop/orders=${log}`, ...more);
  writeFileSync(log, `${JSON.stringify(record)}\n`);
  const nameless = await run();
  assert.equal(nameless.code, 3);
  assert.match(
    nameless.stderr,
    /records that were read: 1\n {2}to shop\/orders at port 8080, by no identity: 1, such as GET \/a/,
  );
  assert.match(nameless.stderr, /`accessLogFormat` in MeshConfig.*`--trust-addresses`/);
  assert.equal((await run("--trust-addresses")).code, 0);
  const named = { ...record, downstream_peer_uri_san: "spiffe://cluster.local/ns/shop/sa/web" };
  writeFileSync(log, `${JSON.stringify(named)}\n`);
  assert.equal((await run()).code, 0);
});
