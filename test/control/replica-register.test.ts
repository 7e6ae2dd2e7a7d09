import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ReplicaRegister, type ReplicaRegisterOptions } from "../../src/control/rotation/replica-register.ts";
import type { CertificateAuthority } from "../../src/identity/ca.ts";
import type { Manifest } from "../../src/identity/ca-manifest.ts";
import type { Rotation } from "../../src/identity/rotation/rotation.ts";
import { type MemoryCaStore, memoryCaStore } from "../identity/memory-ca-store.ts";
import { CLUSTER_LOCAL } from "../identity/mesh-fixture.ts";

const [OLD, NEW, OTHER] = ["aa", "bb", "cc"].map((digits) => digits.repeat(20)) as [string, string, string];

/** What the register reads of a CA; a test changes it as a rotation does. */
class FakeCa {
  roots: readonly string[] = [OLD];
  intermediate = "dd".repeat(20);
  rotation: Rotation | undefined;

  get manifest(): Manifest {
    const { roots, intermediate, rotation } = this;
    const common = { format: 1, trustDomain: CLUSTER_LOCAL, roots, signingRoot: OLD, intermediate } as const;
    return rotation === undefined ? common : { ...common, rotation };
  }

  get issuer(): CertificateAuthority["issuer"] {
    return { keyId: this.intermediate, notBefore: new Date(0), notAfter: new Date(1) };
  }
}

const ROTATION: Rotation = {
  id: "the-rotation",
  kind: "root",
  phase: "both-trusted",
  startedAt: "2026-11-22T12:00:00Z",
  phaseSince: "2026-11-22T12:00:00Z",
  by: "cli",
  force: false,
  from: OLD,
  to: NEW,
  passedOver: [],
  overlapMs: 0,
};

/** Beats only when a test publishes. */
async function join(
  t: TestContext,
  store: MemoryCaStore,
  place: string,
  options: Partial<Omit<ReplicaRegisterOptions, "ca">> & { ca?: FakeCa } = {},
) {
  const ca = options.ca ?? new FakeCa();
  const problems: string[] = [];
  const register = await ReplicaRegister.join({
    store,
    place,
    isNewFolder: false,
    onProblem: (message) => problems.push(message),
    beatMs: 1_000_000,
    ...options,
    ca,
  });
  t.after(() => register.close());
  return { ca, register, problems };
}

async function replaceRoot({ ca, register }: { ca: FakeCa; register: ReplicaRegister }): Promise<void> {
  await register.beginRoot(false);
  ca.rotation = ROTATION;
  ca.roots = [OLD, NEW];
  register.rootBegun();
  await register.publish();
  ca.rotation = undefined;
  ca.roots = [NEW];
  await register.publish();
}

test("a root is replaced by the only replica, and refused while another is registered, which is named", async (t) => {
  const store = memoryCaStore();
  const one = await join(t, store, "one");
  await one.register.beginRoot(false);
  one.register.rootBegun();
  await one.register.publish();
  const two = await join(t, store, "two");
  const refusal = { code: "BW_CA_REPLICAS", message: /two \(last heard of .*bulwark down/ };
  await assert.rejects(one.register.beginRoot(false), refusal);
  await assert.rejects(one.register.beginRoot(true), refusal, "not by force either");
  await assert.rejects(two.register.beginRoot(false), { code: "BW_CA_REPLICAS", message: /: one \(/ });
});

test("a replica that was killed holds a rotation up by its name; by force it is passed over, and refused when it comes back", async (t) => {
  const store = memoryCaStore();
  const dead = await join(t, store, "dead");
  const one = await join(t, store, "one", { freshMs: 0 });
  await assert.rejects(one.register.beginRoot(false), { code: "BW_CA_REPLICAS", message: /dead .*--force/ });
  await one.register.beginRoot(true);
  await assert.rejects(join(t, store, "dead", { ca: dead.ca }), { code: "BW_CA_REPLICA_BEHIND" });
  one.ca.roots = [NEW];
  one.register.rootBegun();
  await one.register.publish();
  await assert.rejects(join(t, store, "dead", { ca: dead.ca }), {
    code: "BW_CA_REPLICA_BEHIND",
    message: /other roots .*copy the folder `ca` of one here/,
  });
  // It was alive all along, and cut off: it says so, and its register is not taken for the truth.
  await dead.register.publish();
  assert.match(dead.register.behind ?? "", /other roots/);
  assert.equal(dead.problems.length, 1);
  await assert.rejects(dead.register.beginRoot(false), { code: "BW_CA_REPLICA_BEHIND" });
  const copied = await join(t, store, "dead", { ca: Object.assign(new FakeCa(), { roots: [NEW] }) });
  assert.equal(copied.register.behind, null);
});

test("a replica that ended in order holds nothing up once its proxies must be gone, and before that it does", async (t) => {
  const store = memoryCaStore();
  const gone = await join(t, store, "gone");
  let nowMs = 0;
  const one = await join(t, store, "one", { monotonic: () => nowMs });
  nowMs += 60_000;
  await gone.register.close();
  await assert.rejects(one.register.beginRoot(false), { code: "BW_CA_REPLICAS" });
  nowMs += 19_000;
  await assert.rejects(one.register.beginRoot(false), { code: "BW_CA_REPLICAS" });
  nowMs += 2000;
  await one.register.beginRoot(false);
});

test("of a replica that joins and a rotation that begins at the same moment one is refused", async (t) => {
  for (let round = 0; round < 20; round++) {
    const store = memoryCaStore();
    const one = await join(t, store, "one");
    const [begun, joined] = await Promise.allSettled([
      one.register.beginRoot(false),
      join(t, store, "two", { ca: new FakeCa() }),
    ]);
    assert.notEqual(begun.status, joined.status);
  }
});

test("a rotation that was begun and killed is gone on with in its place, or in a copy of its folder when it is gone for good; by nobody else", async (t) => {
  const store = memoryCaStore();
  const one = await join(t, store, "one");
  await one.register.beginRoot(false);
  Object.assign(one.ca, { rotation: ROTATION, roots: [OLD, NEW] });
  one.register.rootBegun();
  await one.register.publish();
  await assert.rejects(join(t, store, "two"), {
    code: "BW_CA_REPLICA_BEHIND",
    message: /one is replacing the root/,
  });
  await assert.rejects(join(t, store, "copy", { ca: one.ca }), { code: "BW_CA_REPLICA_BEHIND" }, "it lives");
  await join(t, store, "one", { ca: one.ca });
  const later = () => Date.now() + 3_600_000;
  await assert.rejects(join(t, store, "two", { clock: later }), { code: "BW_CA_REPLICA_BEHIND" });
  const copy = await join(t, store, "copy", { ca: one.ca, clock: later });
  Object.assign(copy.ca, { rotation: undefined, roots: [NEW] });
  await copy.register.publish();
  await join(t, store, "three", { ca: Object.assign(new FakeCa(), { roots: [NEW] }) });
});

test("one that was killed before its first step was made is as if it had never begun", async (t) => {
  const store = memoryCaStore();
  const one = await join(t, store, "one");
  await one.register.beginRoot(false);
  await assert.rejects(join(t, store, "two"), { code: "BW_CA_REPLICA_BEHIND" });
  const again = await join(t, store, "one");
  await again.register.publish();
  await join(t, store, "two");
});

test("a folder with other roots than those in force does not start beside a replica; alone, a new one is taken at its word", async (t) => {
  const store = memoryCaStore();
  const one = await join(t, store, "one");
  const other = () => Object.assign(new FakeCa(), { roots: [OTHER] });
  await assert.rejects(join(t, store, "two", { ca: other(), isNewFolder: true }), {
    code: "BW_CA_REPLICA_BEHIND",
    message: /remove ca\/records.id/,
  });
  await one.register.close();
  await assert.rejects(join(t, store, "two", { ca: other() }), { code: "BW_CA_REPLICA_BEHIND" });
  const fresh = await join(t, store, "two", { ca: other(), isNewFolder: true });
  await fresh.register.publish();
  assert.equal(fresh.register.behind, null);
});

test("roots that were replaced while the store was away are told as soon as it is back", async (t) => {
  const store = memoryCaStore();
  const one = await join(t, store, "one");
  await one.register.beginRoot(false);
  one.register.rootBegun();
  const { read } = store;
  store.read = () => Promise.reject(new Error("away"));
  Object.assign(one.ca, { roots: [NEW] });
  await one.register.publish();
  await assert.rejects(one.register.beginRoot(false), /away/, "nothing is begun that could not be told");
  store.read = read;
  await one.register.publish();
  await join(t, store, "two", { ca: Object.assign(new FakeCa(), { roots: [NEW] }) });
});

test("replicas know each other's intermediates, of now and of before; a rotation of those needs nobody's leave", async (t) => {
  const store = memoryCaStore();
  const one = await join(t, store, "one");
  const two = await join(t, store, "two");
  await one.register.publish();
  const before = two.ca.intermediate;
  two.ca.intermediate = "ee".repeat(20);
  await two.register.publish();
  await one.register.publish();
  assert.deepEqual(one.register.otherIssuers, new Set([before, "ee".repeat(20)]));
});

test("a register that cannot be read is no empty one", async (t) => {
  for (const text of ["{", "[]", '{"roots":["x"],"replicas":{}}', '{"roots":[],"replicas":{"a":{}}}']) {
    const store = memoryCaStore();
    await store.compareAndSet("replicas", 0, text);
    await assert.rejects(join(t, store, "one"), { code: "BW_CA_STORE_DAMAGED" });
  }
});

test("after a root was replaced its replica may do so again", async (t) => {
  const store = memoryCaStore();
  const one = await join(t, store, "one");
  await replaceRoot(one);
  await one.register.beginRoot(false);
});
