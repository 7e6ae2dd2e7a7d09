/** A compiled waypoint as a proxy asks it: the same functions as every inbound policy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh, Service } from "../../../src/model/mesh.ts";
import { withFederation } from "../../../src/model/mesh-config.ts";
import { Connection, type ConnectionInput } from "../../../src/policy/connection.ts";
import { HttpRequest } from "../../../src/policy/http-request.ts";
import { chainOf, decideConnection, type Semantics } from "../../../src/policy/inbound.ts";
import { authorizeConnection, authorizeRequest, Permit } from "../../../src/policy/permit.ts";
import {
  compileWaypoint,
  type WaypointPolicy,
  waypointHop,
} from "../../../src/policy/waypoint/waypoint-policy.ts";
import { servicesOfWaypoint, waypointOfService } from "../../../src/policy/waypoint/waypoints.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { meshConfigText } from "../path/journey-text.ts";
import { boundServiceText, CLIENT_ID, shopText, targetedText, USES } from "./waypoint-mesh.ts";

function serviceOf(mesh: Mesh, name = "s"): Service {
  const service = mesh.services.find((own) => own.name === name);
  assert.ok(service !== undefined);
  return service;
}

function compiled(mesh: Mesh, semantics: Semantics = "istio"): WaypointPolicy {
  const binding = waypointOfService(mesh, serviceOf(mesh));
  const workload = binding.kind === "bound" ? binding.waypoint.workload : undefined;
  assert.ok(workload !== undefined);
  return compileWaypoint(mesh, workload, { semantics });
}

function through(more: Partial<ConnectionInput> = {}): Connection {
  return new Connection({
    tls: "mtls",
    principal: CLIENT_ID,
    sourceIp: "10.1.0.1",
    destinationIp: "10.96.0.1",
    destinationPort: 80,
    alpn: ["h2"],
    hop: { position: "waypoint" },
    ...more,
  });
}

const GET_OK = { rules: [{ to: [{ operation: { methods: ["GET"], paths: ["/ok"] } }] }] };

test("a Permit for a request comes of the same functions as at a sidecar", () => {
  const mesh = meshOf(shopText(USES, targetedText(GET_OK)));
  const { inbound } = compiled(mesh).service(serviceOf(mesh));
  const connection = through();
  assert.equal(decideConnection(inbound, connection).cause, "per-request");
  const ask = (path: string) => {
    const request = HttpRequest.read("BASE", "GET", path, "s", []);
    assert.ok(request !== null);
    return authorizeRequest(inbound, connection, request);
  };
  assert.ok(Permit.is(ask("/ok")));
  assert.equal(ask("/no").allowed, false);
  assert.ok(Permit.is(authorizeConnection(inbound, through({ destinationPort: 80 }))));
});

test("HBONE wants a certificate of the mesh's roots and trust domain, or an alias", () => {
  const config = meshConfigText({ trustDomain: "cluster.local", trustDomainAliases: ["old"] });
  const mesh = meshOf(shopText(USES, config));
  const { inbound } = compiled(mesh).service(serviceOf(mesh));
  const cause = (more: Partial<ConnectionInput>): string => decideConnection(inbound, through(more)).cause;
  assert.equal(cause({ principal: "old/ns/m/sa/c" }), "per-request");
  assert.equal(cause({ principal: "other/ns/m/sa/c" }), "foreign-trust-domain");
  assert.equal(cause({ tls: "rogue" }), "untrusted-certificate");
  assert.equal(cause({ tls: "simple", principal: null }), "no-client-certificate");
});

test("federated identities are strict's alone", () => {
  const plain = meshOf(shopText());
  const mesh: Mesh = { ...plain, config: withFederation(plain.config, ["partner"]) };
  const cause = (semantics: Semantics): string =>
    decideConnection(
      compiled(mesh, semantics).service(serviceOf(mesh)).inbound,
      through({ principal: "partner/ns/m/sa/c" }),
    ).cause;
  assert.deepEqual([cause("istio"), cause("strict")], ["foreign-trust-domain", "per-request"]);
});

test("an odd identity: Istio finds a namespace anywhere in it, strict semantics do not", () => {
  const rule = { rules: [{ from: [{ source: { namespaces: ["k"] } }] }] };
  const mesh = meshOf(shopText(USES, targetedText(rule)));
  const odd = through({ principal: "cluster.local/ns/m/sa/ns/k/sa/c", destinationPort: 9000 });
  const allowed = (semantics: Semantics): boolean =>
    decideConnection(compiled(mesh, semantics).service(serviceOf(mesh)).inbound, odd).allowed;
  assert.deepEqual([allowed("istio"), allowed("strict")], [true, false]);
});

test("chains: the service's ports by their protocol, detection where none is declared, nothing else but at a workload's own address", () => {
  const mesh = meshOf(shopText());
  const waypoint = compiled(mesh);
  const { inbound } = waypoint.service(serviceOf(mesh));
  const protocol = (policy: typeof inbound, destinationPort: number, speaksHttp: boolean): string => {
    const chain = chainOf(policy, through({ destinationPort, speaksHttp }));
    return chain.refusal === null ? `${chain.tls} ${chain.protocol}` : chain.refusal.cause;
  };
  assert.equal(protocol(inbound, 80, false), "terminate http");
  assert.equal(protocol(inbound, 9000, true), "terminate tcp");
  assert.equal(protocol(inbound, 90, true), "terminate http");
  assert.equal(protocol(inbound, 90, false), "terminate tcp");
  assert.equal(protocol(inbound, 8080, true), "no-chain");
  assert.equal(protocol(waypoint.direct, 8080, true), "terminate http");
  assert.equal(protocol(waypoint.direct, 8080, false), "terminate tcp");
});

test("UDP ports are none of a waypoint's", () => {
  const ports = [
    { name: "dns", port: 53, protocol: "UDP" },
    { name: "http", port: 80 },
  ];
  const mesh = meshOf(shopText().replace(boundServiceText(), boundServiceText({}, { ports })));
  assert.deepEqual([...(compiled(mesh).service(serviceOf(mesh)).inbound.waypoint?.ports.keys() ?? [])], [80]);
});

test("server names are looked for on ports that any of its services declares as TLS", () => {
  const other = boundServiceText(
    {},
    {
      clusterIP: "10.96.0.7",
      ports: [
        { name: "https-x", port: 8443 },
        { name: "tcp-y", port: 9443 },
      ],
    },
    "m",
    "o",
  );
  const unbound = boundServiceText(
    { "istio.io/use-waypoint": "none" },
    { clusterIP: "10.96.0.8", ports: [{ name: "tls-z", port: 7443 }] },
    "m",
    "u",
  );
  const mesh = meshOf(shopText(USES, other + unbound));
  const waypoint = compiled(mesh);
  const reads = [443, 8443, 80, 9000, 9443, 7443].filter((port) => waypoint.readsServerName(port));
  assert.deepEqual(reads, [443, 8443]);
  assert.deepEqual(
    servicesOfWaypoint(mesh, waypoint.workload)
      .map(({ name }) => name)
      .toSorted(),
    ["o", "s"],
  );
});

test("each service is compiled once, with its own policies", () => {
  const other = boundServiceText({}, { clusterIP: "10.96.0.7" }, "m", "o");
  const mesh = meshOf(shopText(USES, other + targetedText({ action: "DENY", rules: [{}] })));
  const waypoint = compiled(mesh);
  assert.equal(waypoint.service(serviceOf(mesh)), waypoint.service(serviceOf(mesh)));
  assert.equal(waypoint.direct, waypoint.direct);
  const denies = (name: string): boolean =>
    waypoint.service(serviceOf(mesh, name)).inbound.http.deny !== null;
  assert.deepEqual([denies("s"), denies("o")], [true, false]);
});

test("what a waypoint tells of the client hangs on its pods' annotation", () => {
  const { workload } = compiled(meshOf(shopText()));
  assert.deepEqual(waypointHop(workload, CLIENT_ID), { position: "waypoint" });
  const annotated = { ...workload, annotations: { "ambient.istio.io/xfcc-include-client-identity": "True" } };
  assert.deepEqual(waypointHop(annotated, CLIENT_ID), {
    position: "waypoint",
    clientCert: `By=spiffe://cluster.local/ns/m/sa/wp;URI=spiffe://${CLIENT_ID}`,
  });
  assert.deepEqual(waypointHop(annotated, null), { position: "waypoint" });
  const off = { ...workload, annotations: { "ambient.istio.io/xfcc-include-client-identity": "yes" } };
  assert.deepEqual(waypointHop(off, CLIENT_ID), { position: "waypoint" });
});
