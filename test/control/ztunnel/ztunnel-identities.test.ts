import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { AmbientPod, SignAnswer } from "../../../src/control/messages.ts";
import { presentPods } from "../../../src/control/ztunnel/present-pods.ts";
import { ZtunnelIdentities } from "../../../src/control/ztunnel/ztunnel-identities.ts";
import { type CertificateAuthority, openCa } from "../../../src/identity/ca.ts";
import { parseSpiffeId, parseTrustDomain } from "../../../src/model/spiffe-id.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";

const folder = mkdtempSync(join(tmpdir(), "ztunnel-identities-"));
let ca: CertificateAuthority;
before(async () => {
  const trustDomain = parseTrustDomain("cluster.local") ?? assert.fail();
  ca = await openCa(folder, { trustDomain });
});
after(async () => {
  await ca.close();
  rmSync(folder, { recursive: true, force: true });
});

function pod(name: string, account: string): AmbientPod {
  const spiffeId = `spiffe://cluster.local/ns/ns/sa/${account}`;
  return {
    name,
    workload: `ns/${name}`,
    replica: 0,
    address: "10.244.0.2",
    namespace: "ns",
    uid: name,
    spiffeId,
    netns: name,
  };
}

interface Asked {
  readonly identities: ZtunnelIdentities;
  /** `pod identity`, in their order. */
  readonly asked: string[];
  readonly warnings: string[];
}

function identitiesOf(refused: ReadonlySet<string> = new Set()): Asked {
  const asked: string[] = [];
  const warnings: string[] = [];
  const identities = new ZtunnelIdentities({
    sign: async (csr, of, identity): Promise<SignAnswer> => {
      asked.push(`${of} ${identity.split("/").at(-1)}`);
      if (refused.has(identity)) throw new BulwarkError("BW_CA_IDENTITY_BLOCKED", "blocked");
      const verifiedIdentity = parseSpiffeId(identity)?.id ?? assert.fail();
      const issued = await ca.issue({ csr, verifiedIdentity, ttlSeconds: 0 });
      return {
        ...issued,
        notBefore: issued.notBefore.toISOString(),
        notAfter: issued.notAfter.toISOString(),
      };
    },
    onWarning: (message) => warnings.push(message),
    onCertificate: () => {},
  });
  return { identities, asked, warnings };
}

test("pods of one identity share its certificate, which is asked for on behalf of one of them; others have their own", async () => {
  const { identities, asked } = identitiesOf();
  const [one, two, other] = [pod("one", "a"), pod("two", "a"), pod("other", "b")];
  await identities.take([one, two, other]);
  assert.deepEqual(asked.toSorted(), ["ns/one a", "ns/other b"]);
  assert.equal(identities.of(one), identities.of(two));
  assert.notEqual(identities.of(one), identities.of(other));
  for (const each of [one, other]) {
    const { chainPem = "" } = identities.of(each).current ?? {};
    assert.equal(new X509Certificate(chainPem).subjectAltName, `URI:${each.spiffeId}`);
  }
  assert.deepEqual(Object.keys(identities.certificates).sort(), [one.spiffeId, other.spiffeId]);
  identities.stop();
});

test("an identity goes with its last pod, and is asked for on behalf of one that is left", async () => {
  const { identities, asked } = identitiesOf();
  const [one, two] = [pod("one", "a"), pod("two", "a")];
  await identities.take([one, two]);
  await identities.take([two]);
  identities.dropUnused();
  await identities.of(two).requestNow();
  assert.equal(asked.at(-1), "ns/two a");
  await identities.take([]);
  identities.dropUnused();
  assert.throws(() => identities.of(two), /BUG/);
  assert.deepEqual(identities.certificates, {});
});

test("an identity that the CA refuses holds up no other, is told of once, and counts as following the CA", async () => {
  const blocked = pod("bad", "blocked");
  const { identities, warnings } = identitiesOf(new Set([blocked.spiffeId]));
  await identities.take([blocked, pod("good", "a")]);
  assert.equal(identities.of(blocked).current, undefined);
  assert.notEqual(identities.of(pod("good", "a")).current, undefined);
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0] ?? "",
    /^spiffe:\/\/cluster\.local\/ns\/ns\/sa\/blocked: no new certificate \(BW_CA_IDENTITY_BLOCKED\)/,
  );
  const answer = await identities.follow({ issuerKeyId: ca.issuer.keyId, trustBundlePem: ca.trustBundlePem });
  assert.equal(answer.issuerKeyId, ca.issuer.keyId);
  identities.stop();
});

test("without any certificate it follows whoever it is told to, by an empty answer", async () => {
  const { identities } = identitiesOf();
  const update = { issuerKeyId: ca.issuer.keyId, trustBundlePem: ca.trustBundlePem };
  assert.deepEqual(await identities.follow(update), { issuerKeyId: "", bundle: "" });
});

test("a pod is present once its namespace is mounted, under that network's number; a plain file of its name is none", () => {
  writeFileSync(join(folder, "one"), "");
  assert.deepEqual(presentPods([pod("one", "a"), pod("gone", "a")], folder), []);
  // A namespace of another file system than its folder's, as what is mounted has.
  const [there] = presentPods([{ ...pod("one", "a"), netns: "net" }], "/proc/self/ns");
  assert.equal(there?.uid, `one/${statSync("/proc/self/ns/net").ino}`);
});
