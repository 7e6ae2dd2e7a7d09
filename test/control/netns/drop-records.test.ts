import assert from "node:assert/strict";
import { test } from "node:test";
import { DropRecords } from "../../../src/control/netns/drop-records.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Assignments } from "../../../src/substrate/assignment.ts";
import type { DroppedAttempt } from "../../../src/substrate/netns/drop-reader.ts";

const pod = (slot: number, workload: string, mayLeave: boolean): Assignments["pods"][number] => ({
  name: `p${slot}`,
  workload,
  replica: 0,
  address: `10.244.0.${slot}`,
  address6: `fd00:10:244::${slot}`,
  namespace: "ns",
  uid: "u",
  serviceAccount: "p",
  spiffeId: "spiffe://cluster.local/ns/ns/sa/p",
  role: mayLeave ? "gateway" : "application",
  proxied: true,
  outboundSecret: "",
  applicationPorts: [],
  network: {
    namespace: `bw-x-${slot}`,
    slot,
    link: `pod${slot}`,
    firstUid: 1,
    node: "n",
    mayLeave,
    applicationUid: 1000,
  },
});

const ASSIGNMENTS: Assignments = {
  pods: [pod(2, "team-a/app-a", false), pod(5, "istio-egress/gw", true)],
  standIns: [{ host: "*.ibm.com", address: "198.18.0.1", ports: [] }],
  skipped: [],
  privilegedPortOffset: 0,
  substrate: "netns",
};

const ATTEMPT: DroppedAttempt = {
  reason: "not-the-gateway",
  sourceIp: "10.244.0.2",
  destinationIp: "198.18.0.1",
  protocol: "tcp",
  sourcePort: 40_000,
  destinationPort: 443,
  packets: 1,
};

function records() {
  const made = new DropRecords();
  made.follow(ASSIGNMENTS, buildMesh([]));
  return made;
}

test("an attempt is told once, however many packets it has; another port, or a count that begins anew, is another", () => {
  const drops = records();
  assert.equal(drops.take([ATTEMPT]).length, 1);
  assert.equal(drops.take([{ ...ATTEMPT, packets: 4 }]).length, 0);
  assert.equal(
    drops.take([
      { ...ATTEMPT, packets: 4 },
      { ...ATTEMPT, sourcePort: 40_001 },
    ]).length,
    1,
  );
  assert.equal(drops.take([{ ...ATTEMPT, packets: 2 }]).length, 1);
  assert.equal(drops.take([]).length, 0);
  assert.equal(
    drops.take([{ ...ATTEMPT, packets: 2 }]).length,
    1,
    "it had left the kernel's set, and came again",
  );
});

test("a record names who, where to and why", () => {
  const [record] = records().take([ATTEMPT]);
  assert.deepEqual(record?.source, {
    workload: "team-a/app-a",
    principal: null,
    ip: "10.244.0.2",
    port: 40_000,
  });
  assert.deepEqual(record?.destination, {
    workload: undefined,
    host: "*.ibm.com",
    ip: "198.18.0.1",
    port: 443,
  });
  assert.deepEqual(
    [record?.verdict, record?.layer, record?.reason, record?.reporter],
    ["deny", "network", "not-the-gateway", "bulwark/network"],
  );
  assert.match(record?.explanation?.[0] ?? "", /only istio-egress\/gw may leave/);
});

test("who forges an address is told by its link, not by the address", () => {
  const forged = { ...ATTEMPT, reason: "spoofed-address", link: "pod2", sourceIp: "10.244.0.5" } as const;
  const [record] = records().take([forged]);
  assert.deepEqual([record?.source?.workload, record?.source?.ip], ["team-a/app-a", "10.244.0.5"]);
});
