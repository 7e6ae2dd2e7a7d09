import assert from "node:assert/strict";
import { Resolver } from "node:dns/promises";
import { test } from "node:test";
import { AmbientFixture } from "./ambient-fixture.ts";

const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: team-a, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: team-a, labels: {app: client}}
spec: {serviceAccountName: client, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: team-a}
spec: {selector: {app: client}, ports: [{name: tcp, port: 80, targetPort: 9000}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: team-a}
spec: {hosts: [api.example.com], resolution: DNS, location: MESH_EXTERNAL, ports: [{number: 443, name: tls, protocol: TLS}]}
---
`;
const WILDCARD = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: team-a}
spec: {hosts: ["*.wild.example"], resolution: DYNAMIC_DNS, location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}]}
---
`;
const net = 223;

function resolverOf(): Resolver {
  const resolver = new Resolver({ timeout: 2000, tries: 1 });
  resolver.setServers([`127.${net}.0.1:15053`]);
  return resolver;
}

test("a pod's names are answered in its own network: services and ServiceEntries by the addresses that its ztunnel knows them by", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const resolver = resolverOf();
  for (const name of ["web.team-a.svc.cluster.local", "api.example.com"])
    assert.deepEqual(await resolver.resolve4(name), [fixture.virtualAddress(name)], name);
});

test("a change of configuration changes the answers", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const resolver = resolverOf();
  const name = "web.team-a.svc.cluster.local";
  const [before] = await resolver.resolve4(name);
  await fixture.apply(MESH.replace("metadata: {name: web,", "metadata: {name: renamed,"));
  await assert.rejects(resolver.resolve4(name));
  await fixture.apply(MESH);
  assert.deepEqual(await resolver.resolve4(name), [before]);
});

test("a name under a DYNAMIC_DNS wildcard is never answered with the host's own address, by which its waypoint would be passed by", async (context) => {
  await AmbientFixture.start(context, MESH + WILDCARD, { net });
  const resolver = resolverOf();
  await assert.rejects(resolver.resolve4("some.wild.example"), { code: "ENODATA" });
});
