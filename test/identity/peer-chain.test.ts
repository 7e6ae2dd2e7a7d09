import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { chainProblem, linkedChain } from "../../src/identity/peer-chain.ts";
import { decodePem } from "../../src/identity/pem.ts";
import { AUDITOR, credentials, testCa } from "./mesh-fixture.ts";
import { TestAuthority } from "./test-authority.ts";

const A = TestAuthority.root("a.example");
const B = TestAuthority.root("b.example");
const MINE = "spiffe://a.example/ns/finance/sa/payroll";
const NOT_THE_ROOTS = "its chain does not end in the roots of its trust domain";

function problem(chain: readonly Buffer[], roots: readonly TestAuthority[], nowMs = Date.now()) {
  return chainProblem(
    chain,
    roots.map(({ root }) => new X509Certificate(root)),
    "client",
    nowMs,
  );
}

test("a chain is good under its own roots and under no others, with and without an intermediate", () => {
  const below = A.below("a.example");
  for (const [authority, chain] of [
    [A, []],
    [below, below.chain],
  ] as const) {
    const { der } = authority.leaf(MINE);
    assert.equal(problem([der, ...chain], [A]), undefined);
    assert.equal(problem([der, ...chain], [B, A]), undefined, "of several roots one is enough");
    assert.equal(problem([der, ...chain], [B]), NOT_THE_ROOTS);
    assert.equal(problem([der, ...chain], []), NOT_THE_ROOTS);
  }
  assert.equal(problem([below.leaf(MINE).der], [A]), NOT_THE_ROOTS, "the intermediate is missing");
  assert.equal(problem([], [A]), "its chain has 0 certificates");
});

test("certificates of the mesh's own CA pass, with its name constraints", async (context) => {
  const ca = await testCa(context);
  const { issued } = await credentials(ca, { identity: AUDITOR });
  const anchors = ca.trustBundle.map((der) => new X509Certificate(der));
  const chain = decodePem("CERTIFICATE", issued.chainPem);
  for (const purpose of ["client", "server"] as const)
    assert.equal(chainProblem(chain, anchors, purpose, Date.now()), undefined);
});

test("a root that a peer sends along is no root", () => {
  assert.equal(problem([B.leaf(MINE).der, B.root], [A]), NOT_THE_ROOTS);
});

test("an authority that borrows the name and key identifier of another is told by its signature", () => {
  const real = A.below("a.example");
  const { subject, subjectKeyId } = real.signer;
  const lookAlike = B.below("a.example", { subject, subjectKeyId });
  const { der } = lookAlike.leaf(MINE, { issuer: subject, authorityKeyId: subjectKeyId });
  assert.equal(
    new X509Certificate(der).checkIssued(new X509Certificate(real.signer.certificate)),
    true,
    "by its names it is A's",
  );
  assert.equal(problem([der, real.signer.certificate], [A]), NOT_THE_ROOTS);
  assert.equal(problem([der, lookAlike.signer.certificate], [A]), NOT_THE_ROOTS);
  assert.equal(problem([der, lookAlike.signer.certificate], [B]), undefined, "and is in truth B's");
  const rootLike = TestAuthority.root("a.example", {
    subject: A.signer.subject,
    issuer: A.signer.subject,
    subjectKeyId: A.signer.subjectKeyId,
  });
  assert.equal(problem([rootLike.leaf(MINE).der, rootLike.root], [A]), NOT_THE_ROOTS);
});

test("what may not sign does not, whatever it signed", () => {
  const leaf = A.leaf(MINE);
  const below = A.below("a.example");
  const { spki, subject, subjectKeyId } = below.signer;
  for (const profile of ["workload", "ocsp-responder"] as const) {
    const powerless = A.leaf(MINE, { profile, spki, subject, subjectKeyId }).der;
    assert.equal(problem([below.leaf(MINE).der, powerless], [A]), NOT_THE_ROOTS, profile);
  }
  const second = A.below("a.example").below("a.example");
  assert.equal(
    problem([second.leaf(MINE).der, ...second.chain], [A]),
    "its chain is longer than one of its authorities allows",
  );
  assert.equal(problem([leaf.der], [A]), undefined);
});

test("an authority signs only for the host that its name constraints permit", () => {
  const constrained = A.below("a.example", { permittedUriHost: "a.example" });
  const of = (uri: string) => [constrained.leaf(uri).der, ...constrained.chain];
  assert.equal(problem(of(MINE), [A]), undefined);
  const refusal = "an authority of its chain may not sign for its name";
  for (const uri of [
    "spiffe://b.example/ns/a/sa/b",
    "spiffe://x.a.example/ns/a/sa/b",
    "spiffe://a.example.b/ns/a/sa/b",
    "urn:a.example",
  ])
    assert.equal(problem(of(uri), [A]), refusal, uri);
});

test("every certificate of a chain must be valid now, the root too", () => {
  const below = A.below("a.example");
  const chain = [below.leaf(MINE).der, ...below.chain];
  assert.equal(problem(chain, [A], Date.now() + 3_700_000), "a certificate of its chain is not valid now");
  assert.equal(problem(chain, [A], Date.now() - 600_000), "a certificate of its chain is not valid now");
  const past = { notBefore: new Date(Date.now() - 7_200_000), notAfter: new Date(Date.now() - 3_600_000) };
  const ended = A.below("a.example", past);
  assert.equal(
    problem([ended.leaf(MINE).der, ...ended.chain], [A]),
    "a certificate of its chain is not valid now",
  );
  const oldRoot = TestAuthority.root("a.example", past);
  assert.equal(problem([oldRoot.leaf(MINE).der], [oldRoot]), "the root of its chain is not valid now");
});

test("a chain that goes round, or cannot be read, is refused and ends", () => {
  const leaf = A.leaf(MINE).der;
  const round: { raw: Buffer; issuerCertificate?: object } = { raw: leaf };
  const other = { raw: A.root, issuerCertificate: round };
  round.issuerCertificate = other;
  assert.ok(linkedChain(round).length <= 10);
  assert.match(problem(linkedChain(round), [B]) ?? "", /its chain/);
  const self: { raw: Buffer; issuerCertificate?: object } = { raw: leaf };
  self.issuerCertificate = self;
  assert.equal(linkedChain(self).length, 1);
  for (const wreck of [Buffer.alloc(0), Buffer.from("30"), leaf.subarray(0, 100)])
    assert.ok(problem([wreck], [A]) !== undefined);
  const { der } = A.below("a.example").leaf(MINE);
  assert.ok(problem([der, Buffer.from("wreck")], [A]) !== undefined);
});
