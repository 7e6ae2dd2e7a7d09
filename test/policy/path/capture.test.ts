/**
 * Which connections pass a sidecar by, as istio-iptables' rules have it.
 * @see https://istio.io/latest/docs/reference/config/annotations/
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service, Workload } from "../../../src/model/mesh.ts";
import { readTrafficCapture } from "../../../src/model/traffic-capture.ts";
import { outboundBypass, workloadAt } from "../../../src/policy/path/capture.ts";
import { isTunnelled } from "../../../src/policy/path/tunnelled.ts";
import { meshOf, workloadOf } from "../outbound/mesh-of.ts";
import { podText, serviceText } from "./journey-text.ts";

const SIDECAR = "traffic.sidecar.istio.io/";
const MESH = meshOf(
  podText("a", "c", { ip: "10.0.0.1" }) +
    podText("a", "s", { ip: "10.1.0.1" }) +
    podText("a", "s2", { ip: "10.2.0.1", labels: { app: "s" } }) +
    podText("a", "only", { ip: "10.1.0.9" }) +
    serviceText("a", "s", { clusterIP: "None" }) +
    serviceText("a", "only", { clusterIP: "None" }) +
    serviceText("a", "vip", { clusterIP: "10.96.0.1" }),
);

function client(annotations: Readonly<Record<string, string>>): Workload {
  const written = Object.fromEntries(
    Object.entries(annotations).map(([name, value]) => [`${SIDECAR}${name}`, value]),
  );
  const capture = readTrafficCapture(written);
  return { ...workloadOf(MESH, "a/c"), ...(capture === undefined ? {} : { capture }) };
}

function service(name: string): Service {
  return MESH.services.find((own) => own.name === name) ?? assert.fail(name);
}

interface Asked {
  readonly ip?: string;
  readonly port?: number;
  readonly service?: string;
  readonly semantics?: "istio" | "strict";
}

/** The annotation's own name, `unknown`, or `captured`. */
function bypass(annotations: Readonly<Record<string, string>>, asked: Asked = {}): string {
  const { ip, port = 80, service: name, semantics = "istio" } = asked;
  const dialled = { port, ...(ip === undefined ? {} : { ip }) };
  const known = name === undefined ? undefined : service(name);
  const found = outboundBypass(client(annotations), dialled, known, semantics);
  if (found === undefined) return "captured";
  return found === "unknown" ? found : found.annotation.replace(SIDECAR, "");
}

test("without annotations everything is captured", () => {
  assert.equal(bypass({}, { ip: "10.1.0.1" }), "captured");
  assert.equal(bypass({}), "captured");
  const plain = workloadOf(MESH, "a/c");
  const { capture: _, ...without } = plain;
  assert.equal(outboundBypass(without, { port: 80 }, undefined, "istio"), undefined);
});

test("outbound: excluded ports, excluded blocks, included ports, included blocks, in this order", () => {
  const ports = { excludeOutboundPorts: "80,81" };
  assert.equal(bypass(ports), "excludeOutboundPorts");
  assert.equal(bypass(ports, { port: 82 }), "captured");
  assert.equal(bypass({ ...ports, includeOutboundPorts: "80" }), "excludeOutboundPorts");
  const blocks = { excludeOutboundIPRanges: "10.1.0.0/16,10.2.0.0/16" };
  for (const ip of ["10.1.0.1", "10.2.255.255"])
    assert.equal(bypass(blocks, { ip }), "excludeOutboundIPRanges");
  assert.equal(bypass(blocks, { ip: "10.3.0.0" }), "captured");
  assert.equal(
    bypass({ ...blocks, includeOutboundPorts: "80" }, { ip: "10.1.0.1" }),
    "excludeOutboundIPRanges",
  );
  const included = { includeOutboundIPRanges: "10.1.0.0/16,10.2.0.0/16" };
  for (const ip of ["10.1.0.1", "10.2.0.1"]) assert.equal(bypass(included, { ip }), "captured");
  assert.equal(bypass(included, { ip: "10.3.0.1" }), "includeOutboundIPRanges");
  assert.equal(bypass({ ...included, includeOutboundPorts: "80" }, { ip: "10.3.0.1" }), "captured");
  assert.equal(bypass({ includeOutboundIPRanges: "*" }, { ip: "10.3.0.1" }), "captured");
  assert.equal(bypass({ includeOutboundIPRanges: "" }, { ip: "10.3.0.1" }), "includeOutboundIPRanges");
});

test("outbound: where blocks count and the address is not known, neither is the way", () => {
  const blocks = { excludeOutboundIPRanges: "10.1.0.0/16" };
  assert.equal(bypass(blocks), "unknown");
  assert.equal(bypass({ includeOutboundIPRanges: "10.1.0.0/16" }), "unknown");
  assert.equal(bypass({ includeOutboundIPRanges: "10.1.0.0/16", includeOutboundPorts: "80" }), "captured");
  assert.equal(bypass({ excludeOutboundPorts: "80", ...blocks }), "excludeOutboundPorts");
  assert.equal(bypass({ includeOutboundIPRanges: "" }), "includeOutboundIPRanges");
});

test("outbound: a name is dialled at the service's address, a headless one at its pods': which, only where all agree", () => {
  assert.equal(
    bypass({ excludeOutboundIPRanges: "10.96.0.0/16" }, { service: "vip" }),
    "excludeOutboundIPRanges",
  );
  assert.equal(bypass({ excludeOutboundIPRanges: "10.1.0.0/16" }, { service: "vip" }), "captured");
  assert.equal(
    bypass({ excludeOutboundIPRanges: "10.0.0.0/8" }, { service: "s" }),
    "excludeOutboundIPRanges",
  );
  assert.equal(bypass({ excludeOutboundIPRanges: "10.1.0.0/16" }, { service: "s" }), "unknown");
  assert.equal(bypass({ excludeOutboundIPRanges: "10.9.0.0/16" }, { service: "s" }), "captured");
  assert.equal(
    bypass({ excludeOutboundIPRanges: "10.1.0.0/16" }, { service: "only" }),
    "excludeOutboundIPRanges",
  );
  const both = { excludeOutboundIPRanges: "10.1.0.0/16", includeOutboundIPRanges: "10.1.0.0/16" };
  assert.equal(
    bypass(both, { service: "s" }),
    "unknown",
    "past the sidecar either way, by another annotation",
  );
  assert.equal(
    bypass({ excludeOutboundIPRanges: "10.1.0.0/16" }, { service: "s", ip: "10.1.0.1" }),
    "excludeOutboundIPRanges",
  );
});

test("Bulwark's own proxies take every connection, whatever the annotations say", () => {
  assert.equal(bypass({ excludeOutboundPorts: "80" }, { semantics: "strict" }), "captured");
  const server = client({ excludeInboundPorts: "8080" });
  assert.equal(workloadAt(server, 8080, "strict"), server);
  assert.equal(workloadAt(server, 8081, "istio"), server);
  const open = workloadAt(server, 8080, "istio");
  assert.equal(open.dataplane, "none");
  assert.match(open.unproxied ?? "", /port 8080 .*excludeInboundPorts/);
  assert.equal(
    workloadAt(server, 8080, "istio"),
    open,
    "one object for one answer: what is compiled for it is found again",
  );
});

test("HBONE is spoken to applications in ambient mode, not to proxies, nor where the client picks the address itself", () => {
  const plan = { resolution: "static" } as Parameters<typeof isTunnelled>[1];
  const workload: Workload = { ...workloadOf(MESH, "a/s"), dataplane: "ambient", role: "application" };
  assert.equal(isTunnelled(workload, plan), true);
  assert.equal(isTunnelled({ ...workload, dataplane: "sidecar" }, plan), false);
  assert.equal(isTunnelled({ ...workload, role: "waypoint" }, plan), false);
  assert.equal(isTunnelled({ ...workload, role: "gateway" }, plan), false);
  assert.equal(isTunnelled(workload, { ...plan, resolution: "original-destination" }), false);
});
