import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { SvidSource } from "../../../src/identity/rotation.ts";
import { AmbientFixture, converse, eventually } from "./ambient-fixture.ts";

const NAMES = ["a", "b", "c", "d", "e", "f"] as const;
/** Pods of one account among them, and accounts of one name in two namespaces. */
const ACCOUNTS = ["one", "one", "two", "three", "one", "two"] as const;
const NAMESPACES = ["x", "x", "x", "x", "y", "y"] as const;

const MESH = [
  ...["x", "y"].map(
    (name) => `
apiVersion: v1
kind: Namespace
metadata: {name: ${name}, labels: {istio.io/dataplane-mode: ambient}}
---`,
  ),
  ...NAMES.map(
    (name, at) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${NAMESPACES[at]}, labels: {app: ${name}}}
spec: {serviceAccountName: ${ACCOUNTS[at]}, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
---`,
  ),
].join("");
const KEYS = NAMES.map((name, at) => `${NAMESPACES[at]}/${name}`);
const net = 225;

const dials = fc.array(fc.tuple(fc.nat(KEYS.length - 1), fc.nat(KEYS.length - 1), fc.boolean()), {
  minLength: 4,
  maxLength: 24,
});

test("whatever pods dial whatever others at once, each tunnel is under the identity of the pod that dialled, and ends under that of the pod that it came to", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const property = fc.asyncProperty(dials, async (pairs) => {
    fixture.flows.length = 0;
    const words = pairs.map(async ([from, to, renew], at) => {
      const [client, server] = [KEYS[from] as string, KEYS[to] as string];
      // Certificates are renewed in the midst of it.
      if (renew) void fixture.sources.get(fixture.pod(client).spiffeId)?.requestNow();
      const word = `${at}:${client}>${server}`;
      const socket = fixture.dial(client, { ip: fixture.pod(server).address, port: 9000 });
      assert.equal((await converse(socket, word)).bytes.toString(), word);
    });
    await Promise.all(words);
    await eventually(() => fixture.flows.length === 2 * pairs.length, "two records for each");
    const into = new Map(
      fixture.flows.filter(({ direction }) => direction === "inbound").map((flow) => [flow.traceId, flow]),
    );
    assert.equal(into.size, pairs.length);
    for (const out of fixture.flows.filter(({ direction }) => direction === "outbound")) {
      const far = into.get(out.traceId);
      const own = fixture.pod(out.source?.workload ?? "").spiffeId.slice("spiffe://".length);
      assert.equal(far?.source?.principal, own);
      assert.equal(far?.source?.ip, fixture.pod(out.source?.workload ?? "").address);
      assert.equal(far?.destination?.workload, out.destination?.workload);
    }
  });
  await fc.assert(property, { numRuns: 12, seed: 20_261_122, endOnFailure: true });
});

test("a source that gives another identity's certificate serves nobody: neither end takes it for the pod's", async (context) => {
  const mixedUp = new Map<string, SvidSource>();
  const fixture = await AmbientFixture.start(context, MESH, {
    net,
    identityFor: (pod, right) => {
      mixedUp.set(pod.workload, right);
      // Served after the others: their sources are there.
      return pod.workload === "x/b" ? (mixedUp.get("x/a0") ?? right) : right;
    },
  });
  const three = fixture.sources.get("spiffe://cluster.local/ns/x/sa/three");
  assert.ok(three !== undefined);
  mixedUp.set("x/a0", three);
  await fixture.apply(
    MESH,
    fixture.ambientPods.filter(({ workload }) => workload !== "x/b"),
  );
  await fixture.apply(MESH);
  assert.ok(
    fixture.warnings.some((line) => line.includes("sa/one is of spiffe://cluster.local/ns/x/sa/three")),
  );
  const b = fixture.pod("x/b");
  assert.equal(
    (await converse(fixture.dial("x/b", { ip: fixture.pod("x/c").address, port: 9000 }), "x")).bytes.length,
    0,
  );
  assert.equal((await fixture.flow(() => true)).reason, "BW_UPSTREAM_NO_CERTIFICATE");
  assert.equal((await converse(fixture.dial("x/c", { ip: b.address, port: 9000 }), "x")).bytes.length, 0);
  assert.ok((await fixture.flow(({ kind }) => kind === "handshake")).reason === "no-certificate");
  assert.deepEqual(fixture.callers, []);
});
