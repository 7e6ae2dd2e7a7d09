import assert from "node:assert/strict";
import { test } from "node:test";
import { policyRules } from "../../../src/control/netns/policy-rules.ts";
import { serviceRules } from "../../../src/control/netns/service-rules.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import { fromWire } from "../../../src/resources/wire.ts";
import { NO_ASSIGNMENTS } from "../../../src/substrate/assignment.ts";
import { netnsSubstrate } from "../../../src/substrate/netns/netns.ts";

type Body = Record<string, unknown>;

const DEPLOYMENT: Body = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "ns" },
  spec: {
    replicas: 2,
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c" }] } },
  },
};

const service = (name: string, clusterIP: string): Body => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "ns" },
  spec: {
    clusterIP,
    selector: { app: "web" },
    ports: [
      { port: 80, targetPort: 8080 },
      { name: "dns", port: 53, protocol: "UDP" },
    ],
  },
});

const POLICY: Body = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "none", namespace: "ns" },
  spec: { podSelector: {}, policyTypes: ["Ingress"] },
};

async function meshOf(...bodies: readonly Body[]) {
  const mesh = buildMesh(
    fromWire(bodies.map((body, index) => ({ body, file: "test.yaml", createdAt: index }))),
  );
  const assignments = await netnsSubstrate({ meshId: "t", simulateExternal: false }).assign(
    mesh,
    NO_ASSIGNMENTS,
  );
  return { mesh, assignments };
}

test("a Service's address leads to one of its pods of the same family, at the port that they serve", async () => {
  const { mesh, assignments } = await meshOf(
    DEPLOYMENT,
    service("web", "10.96.5.5"),
    service("six", "fd00::5"),
    service("h", "None"),
  );
  const rules = serviceRules(mesh, assignments)
    .split("\n")
    .filter((line) => line.includes("dnat "));
  assert.deepEqual(
    rules.map((rule) => rule.trim()),
    [
      "ip daddr 10.96.5.5 tcp dport 80 dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080 }",
      "ip6 daddr fd00::5 tcp dport 80 dnat ip6 to numgen random mod 2 map { 0 : fd00:10:244::2 . 8080, 1 : fd00:10:244::3 . 8080 }",
    ],
  );
});

test("what is no address becomes no part of a rule", async () => {
  const { mesh, assignments } = await meshOf(DEPLOYMENT, service("web", "10.96.5.5 accept; flush ruleset"));
  assert.doesNotMatch(serviceRules(mesh, assignments), /flush|dnat/);
});

test("network policies have a table while there are any, whose refusals are marked and whose every version is another", async () => {
  const without = await meshOf(DEPLOYMENT);
  assert.doesNotMatch(policyRules(without.mesh, without.assignments), /chain/);
  const { mesh, assignments } = await meshOf(DEPLOYMENT, POLICY);
  const [first, second] = [policyRules(mesh, assignments), policyRules(mesh, assignments)];
  assert.match(first, /policy drop;/);
  assert.match(first, /meta mark set 2817 counter accept/);
  const generation = (script: string) => /ct established|ct mark (\d+) accept/.exec(script)?.[1];
  assert.notEqual(generation(first), undefined);
  assert.notEqual(generation(first), generation(second));
});
