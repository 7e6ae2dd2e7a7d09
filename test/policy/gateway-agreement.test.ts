/** Two readings of a gateway's servers, of authorization and of routing, must be one: a server is judged as it is used. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { buildMesh, findWorkload } from "../../src/model/build-mesh.ts";
import { compileInbound, selectChain } from "../../src/policy/inbound.ts";
import { compileGateway } from "../../src/policy/outbound/compile-gateway.ts";
import type { GatewayServer } from "../../src/policy/outbound/types.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resource } from "./inbound-fixture.ts";

const SEED = 20260817;
const LABELS = { istio: "gw" };
const HOSTS = ["*", "*.a.test", "*.b.a.test", "x.a.test", "x.b.a.test", "c.test"];
const NAMES = [...HOSTS.map((host) => host.replace("*", "y")), "a.test", "X.A.test", "other.test", ""];

const serverArbitrary = fc
  .record({
    number: fc.constantFrom(80, 443, 9000),
    kind: fc.constantFrom("HTTP", "TCP", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "ISTIO_MUTUAL", "PASSTHROUGH"),
    secure: fc.constantFrom("HTTPS", "TLS"),
    hosts: fc.uniqueArray(fc.constantFrom(...HOSTS), { minLength: 1, maxLength: 3 }),
  })
  .map(({ number, kind, secure, hosts }) =>
    kind === "HTTP" || kind === "TCP"
      ? { port: { number, name: kind.toLowerCase(), protocol: kind }, hosts }
      : { port: { number, name: kind.toLowerCase(), protocol: secure }, hosts, tls: { mode: kind } },
  );

const gatewaysArbitrary = fc.array(fc.array(serverArbitrary, { minLength: 1, maxLength: 3 }), {
  minLength: 1,
  maxLength: 3,
});

/** Names that a VirtualService of the first Gateway takes through undecrypted. */
const routedArbitrary = fc.uniqueArray(fc.constantFrom(...HOSTS), { maxLength: 3 });

function meshOf(gateways: readonly unknown[], routed: readonly string[]) {
  const body = {
    metadata: { labels: LABELS, annotations: { "inject.istio.io/templates": "gateway" } },
    spec: {},
  };
  const resources: Resource[] = [
    resource("Pod", "gw", {}, { labels: LABELS, body }),
    resource("Service", "gw", {
      selector: LABELS,
      ports: [
        { name: "a", port: 80, targetPort: 8080 },
        { name: "b", port: 443, targetPort: 8443 },
      ],
    }),
    ...gateways.map((servers, index) =>
      resource("Gateway", `g${index}`, { selector: LABELS, servers }, { createdAt: index }),
    ),
  ];
  const tls = [
    { match: [{ sniHosts: routed }], route: [{ destination: { host: "b.foo.svc.cluster.local" } }] },
  ];
  if (routed.length > 0)
    resources.push(resource("VirtualService", "v", { hosts: routed, gateways: ["foo/g0"], tls }));
  const mesh = buildMesh(resources);
  const workload = findWorkload(mesh, "foo/gw") ?? assert.fail();
  return { mesh, workload };
}

/** How a server's choice reads as a chain: what is done with the bytes. */
function chainOf(server: GatewayServer | undefined, isTls: boolean): string {
  if (server === undefined) return "refused";
  const { mode } = server.tls ?? {};
  if (mode === undefined) {
    if (!isTls) return `none ${server.protocol === "http" ? "http" : "tcp"}`;
    return server.protocol === "http" ? "refused" : "pass tcp";
  }
  if (!isTls) return "refused";
  if (mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH") return "pass tcp";
  const protocol = server.protocol === "https" ? "http" : "tcp";
  return `${mode === "ISTIO_MUTUAL" ? "terminate" : "terminate-simple"} ${protocol}`;
}

test("authorization and routing choose the same server of a gateway for every port and name", () => {
  const seen = new Map<string, number>();
  const property = fc.property(gatewaysArbitrary, routedArbitrary, (gateways, routed) => {
    const { mesh, workload } = meshOf(gateways, routed);
    const policy = compileInbound(mesh, workload, { semantics: "istio" });
    const routes = compileGateway(mesh, workload, { semantics: "istio" });
    for (const port of [8080, 8443, 9000, 9999])
      for (const isTls of [true, false])
        for (const name of isTls ? NAMES : [""]) {
          const first = { tls: isTls, alpn: [], speaksHttp: true };
          const chain = selectChain(policy, port, first, name.toLowerCase());
          const read = chain.refusal === null ? `${chain.tls} ${chain.protocol}` : "refused";
          const used = chainOf(routes.selectServer(port, name === "" ? undefined : name), isTls);
          assert.equal(read, used, `port ${port}, ${isTls ? `TLS to "${name}"` : "plaintext"}`);
          if (chain.tls === "pass" && chain.inspectsTls)
            seen.set("pass by name", (seen.get("pass by name") ?? 0) + 1);
          seen.set(read, (seen.get(read) ?? 0) + 1);
        }
  });
  fc.assert(property, { seed: SEED, numRuns: 300 });
  for (const kind of [
    "refused",
    "none http",
    "none tcp",
    "pass tcp",
    "pass by name",
    "terminate http",
    "terminate tcp",
    "terminate-simple http",
  ])
    assert.ok((seen.get(kind) ?? 0) > 20, `${kind} was seen ${seen.get(kind) ?? 0} times`);
});
