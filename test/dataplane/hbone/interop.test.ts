/** Sidecars and gateways speak HBONE where `can` says so, and to whom: to pods in ambient mode, and to waypoints. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { decide } from "../../../src/policy/decide.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import type { Decision } from "../../../src/policy/path/decision.ts";
import { destinationText, podText, resourceText, routeText } from "../../policy/path/journey-text.ts";
import { shopText, targetedText, USES } from "../../policy/waypoint/waypoint-mesh.ts";
import { callThroughSidecar, requestOverTls } from "../client.ts";
import { type RunningMesh, startMesh } from "../mesh-fixture.ts";
import { until } from "./hbone-fixture.ts";

const NET = 190;
const OFFSET = 61_000;
const INGRESS = [
  podText("k", "c"),
  podText("g", "g", { labels: { istio: "g" } }).replace('"ports":[{"containerPort":8080}]', '"ports":[]'),
  resourceText("v1", "Service", "g", "g", { selector: { app: "g" }, ports: [{ name: "http", port: 80 }] }),
  resourceText("networking.istio.io/v1", "Gateway", "g", "g", {
    selector: { istio: "g" },
    servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
  }),
  routeText("m", "in", {
    hosts: ["shop.example"],
    gateways: ["g/g"],
    http: [{ route: [{ destination: { host: "s", port: { number: 80 } } }] }],
  }),
].join("");
const BY_WAYPOINT = { ...USES, "istio.io/ingress-use-waypoint": "true" };
const DENY = targetedText({
  action: "DENY",
  rules: [{ to: [{ operation: { paths: ["/denied"] } }] }],
});
const PLAIN = destinationText("m", "d", {
  host: "s.m.svc.cluster.local",
  trafficPolicy: { tls: { mode: "DISABLE" } },
});
const ORIGINATES = destinationText("m", "d", {
  host: "s.m.svc.cluster.local",
  trafficPolicy: { tls: { mode: "SIMPLE" } },
});

const MESHES: Readonly<Record<string, string>> = {
  "past the waypoint": shopText(USES, INGRESS + DENY),
  "by the waypoint": shopText(BY_WAYPOINT, INGRESS + DENY),
  "by the waypoint, subset and clear": shopText(BY_WAYPOINT, INGRESS + DENY + PLAIN),
  "no waypoint, clear": shopText({}, INGRESS + PLAIN),
  "TLS to the waypoint": shopText(BY_WAYPOINT, INGRESS + ORIGINATES),
};

interface Asked {
  readonly through: "gateway" | "sidecar";
  readonly path: string;
}

const ASKED: readonly Asked[] = [
  { through: "gateway", path: "/a" },
  { through: "gateway", path: "/denied" },
  { through: "sidecar", path: "/a" },
  { through: "sidecar", path: "/denied" },
];

test("who sends to whom through HBONE is what can says, and so is what comes of it", async (context) => {
  const mesh = await startMesh(context, shopText(USES, INGRESS), { net: NET, privilegedPortOffset: OFFSET });
  const seen = new Set<string>();
  const shaken = new Set<number | undefined>();
  for (const [name, text] of Object.entries(MESHES)) {
    await mesh.apply(text);
    for (const asked of ASKED) {
      const said = await saidBy(mesh, asked);
      const { status, way, ports } = await doneBy(mesh, asked);
      const what = `${name}: ${JSON.stringify(asked)}`;
      assert.deepEqual({ status, way }, { status: said.code, way: wayOf(said) }, what);
      for (const port of ports) shaken.add(port);
      seen.add(way.join(", "));
    }
  }
  assert.deepEqual([...shaken], [15_008], "nobody spoke to the pod but through HBONE");
  assert.deepEqual([...seen].toSorted(), [
    "client k/c, server m/s",
    "gateway g/g",
    "gateway g/g, server m/s",
    "gateway g/g, waypoint m/wp",
    "gateway g/g, waypoint m/wp, server m/s",
  ]);
});

async function saidBy(mesh: RunningMesh, { through, path }: Asked): Promise<Decision> {
  const way: Pick<AccessRequest, "from" | "to" | "via" | "host"> =
    through === "gateway"
      ? { from: { ip: "127.0.0.1" }, to: { host: "shop.example", port: 80 }, via: "g/g" }
      : { from: { workload: "k/c" }, to: { service: "s.m", port: 80 }, host: "s.m" };
  const request: AccessRequest = { ...way, protocol: "http", method: "GET", path };
  return decide(mesh.mesh, request, { compareModes: false, semantics: "strict" });
}

function wayOf({ hops }: Decision): readonly string[] {
  // What a gateway makes of a way that leads nowhere is a hop of its own, and one record.
  return hops.map(({ hop, side }) => `${side} ${hop}`).filter((hop) => hop !== "client g/g");
}

const SIDES: Readonly<Record<string, string>> = {
  "g/g": "gateway g/g",
  "k/c": "client k/c",
  "m/wp": "waypoint m/wp",
  "m/s": "server m/s",
};

interface Done {
  readonly status: number;
  /** In the order of the hops, whoever has a record of it. */
  readonly way: readonly string[];
  /** Ports of the server at which handshakes ended. */
  readonly ports: readonly (number | undefined)[];
}

async function doneBy(mesh: RunningMesh, { through, path }: Asked): Promise<Done> {
  for (const { flows } of mesh.pods.values()) flows.length = 0;
  const status =
    through === "gateway"
      ? await throughGateway(mesh, path)
      : (await callThroughSidecar(mesh.pod("k/c"), "GET", `http://s.m${path}`)).status;
  const requests = (key: string): FlowDraft[] => mesh.pod(key).flows.filter(({ kind }) => kind === "request");
  const first = through === "gateway" ? "g/g" : "k/c";
  await until(() => requests(first).length > 0, "the record of the first");
  const order = [first, "m/wp", "m/s"];
  const way = order.filter((key) => requests(key).length > 0).map((key) => SIDES[key] as string);
  const handshakes = mesh.pod("m/s").flows.filter(({ kind }) => kind === "handshake");
  return { status, way, ports: handshakes.map(({ destination }) => destination?.port) };
}

async function throughGateway(mesh: RunningMesh, path: string): Promise<number> {
  const socket = connect(OFFSET + 80, mesh.pod("g/g").pod.address);
  const answer = await requestOverTls(
    socket,
    `GET ${path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n`,
  );
  socket.destroy();
  return answer.status;
}
