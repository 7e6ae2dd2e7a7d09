import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { TrustAnswer, TrustUpdate } from "../../src/control/rotation/messages.ts";
import { RotationDriver, type RotationDriverOptions } from "../../src/control/rotation/rotation-driver.ts";
import { bundleName } from "../../src/control/rotation/trust-push.ts";
import { type CaOptions, type CertificateAuthority, openCa } from "../../src/identity/ca.ts";
import { parseTrustDomain } from "../../src/model/spiffe-id.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { until } from "./until.ts";

const TRUST_DOMAIN = parseTrustDomain("cluster.local") ?? assert.fail();
const DAY_MS = 86_400_000;

/** A proxy as control meets it: acknowledges what it is told, unless it is silent. */
class FakeProxy {
  readonly told: TrustUpdate[] = [];
  readonly #gone = Promise.withResolvers<void>();
  #release = Promise.withResolvers<void>();
  answer: (update: TrustUpdate) => TrustAnswer = ({ issuerKeyId, trustBundlePem }) => ({
    issuerKeyId,
    bundle: bundleName(trustBundlePem),
  });

  constructor(silent = false) {
    if (!silent) this.#release.resolve();
  }

  get closed(): Promise<void> {
    return this.#gone.promise;
  }

  async request(method: string, params: unknown): Promise<unknown> {
    assert.equal(method, "trust");
    const update = params as TrustUpdate;
    this.told.push(update);
    await this.#release.promise;
    return this.answer(update);
  }

  silence(): void {
    this.#release = Promise.withResolvers();
  }

  speak(): void {
    this.#release.resolve();
  }

  close(): void {
    this.#gone.resolve();
  }
}

interface Setup {
  readonly stateDir: string;
  readonly ca: CertificateAuthority;
  readonly driver: RotationDriver;
  readonly phases: string[];
  readonly problems: string[];
}

async function setup(
  t: TestContext,
  pods: readonly string[],
  options: Partial<RotationDriverOptions> & { stateDir?: string; caOptions?: Partial<CaOptions> } = {},
): Promise<Setup> {
  const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), "bulwark-rotation-"));
  t.after(() => rmSync(stateDir, { recursive: true, force: true }));
  const ca = await openCa(stateDir, { trustDomain: TRUST_DOMAIN, ...options.caOptions });
  t.after(() => ca.close());
  const phases: string[] = [];
  const problems: string[] = [];
  const driver = new RotationDriver({
    proxies: () => pods,
    onPhase: (rotation) => phases.push(rotation?.phase ?? "done"),
    onProblem: (message) => problems.push(message),
    retryMs: 10,
    lookMs: 10,
    ...options,
    ca,
  });
  t.after(() => driver.close());
  driver.start();
  return { stateDir, ca, driver, phases, problems };
}

const isDone = ({ driver }: Setup) => driver.report().rotation === null && driver.report().last !== null;

test("a rotation ends each phase when every proxy has acknowledged, and names those that have not", async (t) => {
  const own = await setup(t, ["a/one-0", "a/two-0"]);
  const [one, two] = [new FakeProxy(), new FakeProxy()];
  own.driver.welcome("a/one-0", one);
  own.driver.welcome("a/two-0", two);
  await until(() => one.told.length === 1 && two.told.length === 1);
  two.silence();
  await own.driver.rotate("root", { force: false, by: "cli" });
  await until(() => one.told.length === 2);
  await until(() => own.driver.report().waitingFor.length === 1);
  assert.deepEqual(own.driver.report().waitingFor, [
    { pod: "a/two-0", why: "its proxy has not acknowledged yet" },
  ]);
  assert.deepEqual(own.phases, ["both-trusted"]);
  assert.equal(own.ca.trustBundle.length, 2);
  two.speak();
  await until(() => isDone(own));
  assert.deepEqual(own.phases, ["both-trusted", "new-signs", "old-removed", "done"]);
  assert.deepEqual(own.driver.report().last?.passedOver, []);
  assert.equal(two.told.at(-1)?.trustBundlePem, own.ca.trustBundlePem);
});

test("a proxy that is away holds up the phase by its name, is told of the trust in force when it comes, and then the rotation goes on", async (t) => {
  const own = await setup(t, ["a/one-0", "a/two-0"]);
  own.driver.welcome("a/one-0", new FakeProxy());
  await own.driver.rotate("root", { force: false, by: "cli" });
  await until(() => own.driver.report().waitingFor.length === 1);
  assert.deepEqual(own.driver.report().waitingFor, [{ pod: "a/two-0", why: "its proxy is not connected" }]);
  const bundle = own.ca.trustBundlePem;
  const late = new FakeProxy();
  own.driver.welcome("a/two-0", late);
  await until(() => isDone(own));
  assert.equal(late.told[0]?.trustBundlePem, bundle);
});

test("an acknowledgement of something else counts for nothing, and of a connection that is over neither", async (t) => {
  const own = await setup(t, ["a/one-0"]);
  const liar = new FakeProxy();
  liar.answer = ({ issuerKeyId }) => ({ issuerKeyId, bundle: bundleName("of before") });
  own.driver.welcome("a/one-0", liar);
  await own.driver.rotate("intermediate", { force: false, by: "cli" });
  await until(() => liar.told.length >= 3);
  assert.deepEqual(own.phases, ["new-signs"]);
  assert.match(own.driver.report().waitingFor[0]?.why ?? "", /follows something else/);
  liar.close();
  await until(() => own.driver.report().waitingFor[0]?.why === "its proxy is not connected");
  own.driver.welcome("a/one-0", new FakeProxy());
  await until(() => isDone(own));
});

test("a proxy that fails to follow is asked again, and its own words are told", async (t) => {
  const own = await setup(t, ["a/one-0"]);
  const failing = new FakeProxy();
  failing.answer = () => {
    throw new BulwarkError("BW_SVID_NOT_RENEWED", "no certificate of the new signer could be had");
  };
  own.driver.welcome("a/one-0", failing);
  await own.driver.rotate("root", { force: false, by: "cli" });
  await until(
    () => own.driver.report().waitingFor[0]?.why.includes("no certificate of the new signer") === true,
  );
  failing.answer = new FakeProxy().answer;
  await until(() => isDone(own));
});

test("a proxy that has no certificate at all, as that of a revoked identity, holds up nothing", async (t) => {
  const own = await setup(t, ["a/one-0"]);
  const revoked = new FakeProxy();
  revoked.answer = () => ({ issuerKeyId: "", bundle: "" });
  own.driver.welcome("a/one-0", revoked);
  await own.driver.rotate("root", { force: false, by: "cli" });
  await until(() => isDone(own));
  assert.equal(revoked.told.at(-1)?.trustBundlePem, own.ca.trustBundlePem);
});

test("with force a phase goes on without proxies that stay silent, and they are named in the end", async (t) => {
  const own = await setup(t, ["a/one-0", "a/lost-0"], { forceAfterMs: 50 });
  own.driver.welcome("a/one-0", new FakeProxy());
  await own.driver.rotate("root", { force: false, by: "cli" });
  await until(() => own.driver.report().waitingFor.length === 1);
  assert.deepEqual(own.phases, ["both-trusted"]);
  const joined = await own.driver.rotate("root", { force: true, by: "cli" });
  assert.equal(joined.rotation?.force, true);
  await until(() => isDone(own));
  assert.deepEqual(own.driver.report().last?.passedOver, ["a/lost-0"]);
});

test("a control plane that starts again goes on where the rotation was, and asks every proxy anew", async (t) => {
  const first = await setup(t, ["a/one-0"]);
  await first.driver.rotate("root", { force: false, by: "cli" });
  const { id } = first.driver.report().rotation ?? assert.fail();
  first.driver.close();
  await first.ca.close();
  const second = await setup(t, ["a/one-0"], { stateDir: first.stateDir });
  assert.equal(second.driver.report().rotation?.id, id);
  assert.deepEqual(
    second.driver.report().waitingFor.map(({ pod }) => pod),
    ["a/one-0"],
  );
  second.driver.welcome("a/one-0", new FakeProxy());
  await until(() => isDone(second));
  assert.equal(second.driver.report().last?.id, id);
});

test("asking twice joins the rotation that is under way; one of the other kind is refused meanwhile", async (t) => {
  const own = await setup(t, ["a/one-0"]);
  const [first, second] = await Promise.all([
    own.driver.rotate("root", { force: false, by: "cli" }),
    own.driver.rotate("root", { force: false, by: "cli" }),
  ]);
  assert.equal(first.rotation?.id, second.rotation?.id);
  assert.equal(
    (await own.driver.rotate("root", { force: false, by: "cli" })).rotation?.id,
    first.rotation?.id,
  );
  await assert.rejects(own.driver.rotate("intermediate", { force: false, by: "cli" }), {
    code: "BW_CA_ROTATION_UNDER_WAY",
  });
  assert.equal(own.ca.trustBundle.length, 2);
});

test("the old is trusted beside the new signer for as long as was asked, also across a restart", async (t) => {
  let nowMs = Date.now();
  const clock = () => nowMs;
  const first = await setup(t, [], { clock, caOptions: { clock } });
  await first.driver.rotate("root", { force: false, by: "cli", overlapMs: 3_600_000 });
  await until(() => first.driver.report().overlapUntil !== null);
  assert.deepEqual(first.phases, ["both-trusted", "new-signs"]);
  first.driver.close();
  await first.ca.close();
  nowMs += 3_599_000;
  const second = await setup(t, [], { stateDir: first.stateDir, clock, caOptions: { clock } });
  assert.notEqual(second.driver.report().overlapUntil, null);
  assert.equal(second.ca.trustBundle.length, 2);
  nowMs += 1000;
  await until(() => isDone(second));
  assert.equal(second.ca.trustBundle.length, 1);
});

test("a mesh without proxies is through at once", async (t) => {
  const own = await setup(t, []);
  await own.driver.rotate("root", { force: false, by: "cli" });
  await until(() => isDone(own));
  assert.equal(own.ca.trustBundle.length, 1);
});

test("a root's key that is away stops the phase that needs it, is told of, and the rotation goes on when it is back", async (t) => {
  const own = await setup(t, []);
  const root = join(own.stateDir, "ca", `root-${own.ca.manifest?.signingRoot}.key.pem`);
  renameSync(root, `${root}.kept`);
  await assert.rejects(own.driver.rotate("intermediate", { force: false, by: "cli" }), {
    code: "BW_CA_ROOT_KEY_AWAY",
  });
  assert.equal(own.driver.report().rotation, null);
  renameSync(`${root}.kept`, root);
  const proxy = await setup(t, ["a/one-0"]);
  await proxy.driver.rotate("root", { force: false, by: "cli" });
  const made = join(proxy.stateDir, "ca", `root-${proxy.driver.report().rotation?.to}.key.pem`);
  renameSync(made, `${made}.kept`);
  proxy.driver.welcome("a/one-0", new FakeProxy());
  await until(() => proxy.problems.length > 0);
  assert.match(proxy.driver.report().problem ?? "", /the key of root [0-9a-f]{40} is not in/);
  renameSync(`${made}.kept`, made);
  await until(() => isDone(proxy));
  assert.equal(proxy.driver.report().problem, null);
  assert.equal(proxy.problems.length, 1, "told once");
});

test("an intermediate is replaced in the last quarter of its life while the control plane runs, and not before", async (t) => {
  let nowMs = Date.now();
  let looks = 0;
  const clock = () => {
    looks += 1;
    return nowMs;
  };
  const own = await setup(t, ["a/one-0"], {
    clock,
    caOptions: { clock, intermediateTtlSeconds: 100 * 86_400 },
  });
  own.driver.welcome("a/one-0", new FakeProxy());
  const before = own.ca.issuer.keyId;
  nowMs += 74 * DAY_MS;
  looks = 0;
  await until(() => looks > 3);
  assert.equal(own.ca.issuer.keyId, before);
  nowMs += 2 * DAY_MS;
  await until(() => isDone(own));
  assert.notEqual(own.ca.issuer.keyId, before);
  const { by, kind, from } = own.driver.report().last ?? assert.fail();
  assert.deepEqual({ by, kind, from }, { by: "schedule", kind: "intermediate", from: before });
});
