import assert from "node:assert/strict";
import { test } from "node:test";
import { AmbientFixture, converse } from "./ambient-fixture.ts";

const POD = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: m, labels: {app: ${name}}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 9000}]}]}
---
`;
const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: m, labels: {istio.io/dataplane-mode: ambient}}
---
${POD("a")}${POD("b")}
`;
const net = 228;
const b = { ip: `127.${net}.0.2`, port: 9000 };

test("a configuration that cannot be read is refused whole: what was in force before still is", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const { mesh, placement, pods } = fixture;
  const ztunnel = fixture.ztunnels.get("node-a");
  assert.ok(ztunnel !== undefined);
  const broken = { ...mesh, config: { ...mesh.config, trustDomain: "No Such Domain" } };
  await assert.rejects(ztunnel.apply(broken, placement, pods), { code: "BW_PROXY_BAD_TRUST_DOMAIN" });
  assert.equal((await converse(fixture.dial("m/a", b), "x")).bytes.toString(), "x");
  assert.equal(ztunnel.stats().pods, 2);
});

test("a pod whose identity or listeners cannot be had is named, and the others are served", async (context) => {
  let isBroken = false;
  const fixture = await AmbientFixture.start(context, MESH, {
    net,
    identityFor: ({ workload }, right) => {
      if (isBroken && workload === "m/b") throw new Error("no token for it");
      return right;
    },
  });
  const ztunnel = fixture.ztunnels.get("node-a");
  assert.ok(ztunnel !== undefined);
  const { mesh, placement, pods } = fixture;
  const anew = pods.map((pod) => ({ ...pod, uid: `${pod.uid}-2` }));
  isBroken = true;
  await assert.rejects(ztunnel.apply(mesh, placement, anew), {
    code: "BW_LISTEN_FAILED",
    message: "m/b-0: no token for it",
  });
  assert.equal(
    (
      await converse(fixture.dialInClear("127.228.5.1", { ip: `127.${net}.0.1`, port: 9000 }), "x")
    ).bytes.toString(),
    "x",
  );
  assert.equal((await converse(fixture.dialInClear("127.228.5.1", b), "x")).error, "ECONNREFUSED");
  isBroken = false;
  await ztunnel.apply(mesh, placement, anew);
  assert.equal((await converse(fixture.dialInClear("127.228.5.1", b), "x")).bytes.toString(), "x");
});

test("an identity that was revoked before its pod came gets nothing through, and no key of it is kept", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const ztunnel = fixture.ztunnels.get("node-a");
  const { mesh, placement, pods } = fixture;
  assert.ok(ztunnel !== undefined);
  await ztunnel.apply(
    mesh,
    placement,
    pods.filter(({ workload }) => workload !== "m/a"),
  );
  const source = fixture.sources.get("spiffe://cluster.local/ns/m/sa/a");
  source?.stop();
  ztunnel.takeRevocations({
    revoked: [],
    identities: [{ spiffeId: "spiffe://cluster.local/ns/m/sa/a", beforeMs: Date.now() + 60_000 }],
    maxAgeMs: 0,
  });
  await ztunnel.apply(mesh, placement, pods);
  assert.equal(source?.current, undefined);
  fixture.flows.length = 0;
  assert.equal((await converse(fixture.dial("m/a", b), "x")).bytes.length, 0);
  assert.equal((await fixture.flow(() => true)).reason, "BW_UPSTREAM_NO_CERTIFICATE");
});

test("new tunnels are under the renewed certificate, open ones go on in theirs", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const source = fixture.sources.get("spiffe://cluster.local/ns/m/sa/a");
  const before = source?.current?.serial.toUpperCase();
  const open = fixture.dial("m/a", b);
  const heard = new Promise((resolve) => open.once("data", resolve));
  open.write("first");
  await heard;
  assert.equal(await source?.requestNow(), true);
  const after = source?.current?.serial.toUpperCase();
  assert.notEqual(after, before);
  assert.equal((await converse(fixture.dial("m/a", b), "second")).bytes.toString(), "second");
  assert.equal((await converse(open, " and last")).bytes.toString(), " and last");
  const serials = async (bytes: number) =>
    (await fixture.flow(({ direction, bytesSent }) => direction === "inbound" && bytesSent === bytes)).tls
      ?.peerSerial;
  assert.deepEqual([await serials("second".length), await serials("first and last".length)], [after, before]);
  await fixture.ztunnels.get("node-a")?.untilOldHandshakesEnded();
});

test("federated trust domains are said to count for nothing, once", async (context) => {
  const fixture = await AmbientFixture.start(context, MESH, { net });
  const ztunnel = fixture.ztunnels.get("node-a");
  const domains = [{ trustDomain: "other.test", rootsPem: "" }] as unknown as Parameters<
    NonNullable<typeof ztunnel>["federate"]
  >[0];
  ztunnel?.federate([]);
  ztunnel?.federate(domains);
  ztunnel?.federate(domains);
  assert.deepEqual(fixture.warnings, ["in ambient mode nobody of another trust domain is taken: other.test"]);
});
