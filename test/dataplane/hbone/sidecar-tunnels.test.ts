/** A running sidecar that takes HBONE does with what comes through a tunnel what `can` says of its hop. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type UpstreamTarget, upstreamTarget } from "../../../src/dataplane/upstream-target.ts";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { decide } from "../../../src/policy/decide.ts";
import type { Decision } from "../../../src/policy/path/decision.ts";
import type { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import {
  authorizationText,
  meshConfigText,
  namespaceText,
  peerText,
  podText,
  resourceText,
} from "../../policy/path/journey-text.ts";
import { AMBIENT, ambientPodText } from "../../policy/waypoint/waypoint-mesh.ts";
import { requestOverTls } from "../client.ts";
import { type RunningMesh, startMesh } from "../mesh-fixture.ts";
import { clientOf, open, partyOf, type TestClient, until } from "./hbone-fixture.ts";

const NET = 186;
const TAKES = { "networking.istio.io/tunnel": "http" };
const PORTS = [
  { name: "http-web", port: 8080 },
  { name: "any", port: 7000 },
  { name: "tcp-echo", port: 9000 },
];
const SERVICE = resourceText("v1", "Service", "n", "s", {
  clusterIP: "10.96.0.1",
  selector: { app: "s" },
  ports: PORTS,
});

function meshText(more = "", labels: Readonly<Record<string, string>> = TAKES): string {
  return [
    namespaceText("m", AMBIENT),
    podText("n", "s", { labels, ports: [8080, 7000, 9000] }),
    ambientPodText("m", "c", "10.1.0.1"),
    ambientPodText("m", "d", "10.1.0.2"),
    SERVICE,
    more,
  ].join("");
}

function ofCaller(account: string, to?: object): object {
  const from = [{ source: { principals: [`cluster.local/ns/m/sa/${account}`] } }];
  return { rules: [to === undefined ? { from } : { from, to: [{ operation: to }] }] };
}

const POLICIES: Readonly<Record<string, string>> = {
  none: "",
  "one caller": authorizationText("n", "p", ofCaller("c")),
  "one path": authorizationText("n", "p", ofCaller("c", { paths: ["/a"] })),
  "one port": authorizationText("n", "p", ofCaller("c", { ports: ["9000"] })),
  deny: authorizationText("n", "p", { action: "DENY", ...ofCaller("d") }),
  nobody: authorizationText("n", "p", {}),
  "strict transport": peerText("n", "t", { mtls: { mode: "STRICT" } }),
  "no transport":
    peerText("n", "t", { mtls: { mode: "DISABLE" } }) + authorizationText("n", "p", ofCaller("c")),
  custom:
    authorizationText("n", "p", { action: "CUSTOM", provider: { name: "x" }, rules: [{}] }) +
    meshConfigText({
      extensionProviders: [
        { name: "x", envoyExtAuthzGrpc: { service: "s.n.svc.cluster.local", port: 9000 } },
      ],
    }),
};

interface Question {
  readonly caller: "c" | "d";
  readonly port: number;
  readonly protocol: "http" | "tcp";
  readonly path: string;
}

const QUESTIONS: readonly Question[] = (["c", "d"] as const).flatMap((caller) =>
  [8080, 7000, 9000].flatMap((port) => [
    { caller, port, protocol: "http", path: "/a" } as const,
    { caller, port, protocol: "http", path: "/b" } as const,
    ...(port === 8080 ? [] : [{ caller, port, protocol: "tcp", path: "/" } as const]),
  ]),
);

test("what comes to a sidecar through HBONE fares as can says", async (context) => {
  const mesh = await startMesh(context, meshText(), { net: NET });
  const clients = { c: await callerOf(context, mesh, "c"), d: await callerOf(context, mesh, "d") };
  const seen = new Set<string>();
  for (const [name, policy] of Object.entries(POLICIES)) {
    await mesh.apply(meshText(policy));
    for (const question of QUESTIONS) {
      const hop = await saidBy(mesh, question);
      const flow = await doneBy(mesh, clients[question.caller], question);
      const what = `${name}: ${JSON.stringify(question)}`;
      const said = {
        allowed: hop.allowed,
        cause: hop.cause,
        layer: hop.layer,
        policy: hop.policy,
        rule: hop.rule,
      };
      const { verdict, reason, layer, policy: by = null, rule = null } = flow;
      const done = { allowed: verdict === "allow", cause: reason, layer, policy: by, rule };
      assert.deepEqual(done, said, what);
      assert.equal(flow.source?.principal, `cluster.local/ns/m/sa/${question.caller}`, what);
      if (flow.kind === "request") assert.equal(flow.status, hop.code, what);
      seen.add(hop.cause);
    }
  }
  for (const cause of [
    "no-allow-policies",
    "allow-matched",
    "deny-matched",
    "no-allow-matched",
    "ambient-to-sidecar",
  ])
    assert.ok(seen.has(cause), `${cause} never came up: ${[...seen]}`);
});

test("a tunnel to another address than the pod's, or to the tunnels' port itself, is refused with 404 and told", async (context) => {
  const mesh = await startMesh(context, meshText(), { net: NET + 1 });
  const client = await callerOf(context, mesh, "c");
  const { address } = mesh.pod("n/s").pod;
  const other = mesh.pod("m/d").pod.address;
  for (const authority of [`${other}:8080`, `${address}:15008`, "127.0.0.1:8080"]) {
    const asked = open(client, targetFor(mesh, authority));
    await assert.rejects(asked, (error: BulwarkError) => {
      assert.deepEqual([error.code, error.detail.status], ["BW_TUNNEL_REFUSED", 404], authority);
      return true;
    });
  }
  const refused = mesh.pod("n/s").flows.filter(({ reason }) => reason === "not-served");
  assert.equal(refused.length, 3);
});

test("a pod that takes no HBONE does not listen there, and one that ceases to is closed", async (context) => {
  const mesh = await startMesh(context, meshText("", { "networking.istio.io/tunnel": "none" }), {
    net: NET + 2,
  });
  const client = await callerOf(context, mesh, "c");
  const target = targetFor(mesh, `${mesh.pod("n/s").pod.address}:9000`);
  await assert.rejects(open(client, target), { code: "ECONNREFUSED" });
  await mesh.apply(meshText());
  (await open(client, target)).destroy();
  await mesh.apply(meshText("", { "networking.istio.io/tunnel": "none" }));
  client.pool.clear();
  await assert.rejects(open(client, target), { code: "ECONNREFUSED" });
});

test("a policy that forbids what an open tunnel does ends it", async (context) => {
  const mesh = await startMesh(context, meshText(), { net: NET + 3 });
  const client = await callerOf(context, mesh, "c");
  const socket = await open(client, targetFor(mesh, `${mesh.pod("n/s").pod.address}:9000`));
  socket.on("error", () => {}).write("over");
  await new Promise((resolve) => socket.once("data", resolve));
  await mesh.apply(meshText(authorizationText("n", "p", { action: "DENY", ...ofCaller("c") })));
  await until(() => socket.destroyed, "the end of the tunnel");
});

async function callerOf(context: TestContext, mesh: RunningMesh, account: string): Promise<TestClient> {
  return clientOf(context, await partyOf(context, mesh.ca, account, "m"));
}

function targetFor(mesh: RunningMesh, authority: string): UpstreamTarget {
  const host = mesh.pod("n/s").pod.address;
  return upstreamTarget({
    host,
    port: 1,
    localAddress: undefined,
    tls: undefined,
    protocol: "tcp",
    cluster: undefined,
    tunnel: { host, port: 15_008, authority, sans: ["spiffe://cluster.local/ns/n/sa/s"] },
  });
}

async function saidBy(
  mesh: RunningMesh,
  { caller, port, protocol, path }: Question,
): Promise<Decision["hops"][number]> {
  const request = {
    from: { workload: `m/${caller}` },
    to: { service: "s.n", port },
    protocol,
    method: "GET",
    path,
    host: "s.n",
  } as const;
  const { hops } = await decide(mesh.mesh, request, { compareModes: false, semantics: "strict" });
  const hop = hops.find(({ side }) => side === "server");
  assert.ok(hop !== undefined);
  return hop;
}

/** The one record of it. */
async function doneBy(mesh: RunningMesh, client: TestClient, question: Question): Promise<FlowDraft> {
  const { flows, pod } = mesh.pod("n/s");
  flows.length = 0;
  const { port, protocol, path } = question;
  const target = targetFor(mesh, `${pod.address}:${port}`);
  const socket = await open(client, target).catch((error: unknown) => error as Error);
  const head = `GET ${path} HTTP/1.1\r\nhost: s.n\r\n\r\n`;
  if (socket instanceof Error)
    assert.match(String(socket), /refused it with 403/, JSON.stringify([question, flows]));
  else if (protocol === "http" && port !== 9000)
    await requestOverTls(
      socket.on("error", () => {}),
      head,
    ).catch(() => undefined);
  else
    socket
      .on("error", () => {})
      .resume()
      .end(protocol === "tcp" ? "\x00\x01 bytes" : head);
  const isOver = ({ kind }: FlowDraft): boolean => kind !== "handshake";
  await until(() => flows.some(isOver), `a record of ${JSON.stringify(question)}`);
  if (!(socket instanceof Error)) socket.destroy();
  const [flow, ...more] = flows.filter(isOver);
  assert.deepEqual(more, []);
  return flow as FlowDraft;
}
