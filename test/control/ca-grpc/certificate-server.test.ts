import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { after, before, test } from "node:test";
import { CaFixture, chainOf, csrPem, identityOf } from "./ca-fixture.ts";

let fixture: CaFixture;
before(async () => {
  fixture = await CaFixture.open();
});
after(() => fixture.close());

/** What a good answer certifies, after its chain was looked at. */
async function granted(
  answer: Awaited<ReturnType<CaFixture["ask"]>>,
  method: string,
): Promise<X509Certificate> {
  assert.equal(answer.status, 0, answer.message);
  const chain = chainOf(answer).map((pem) => new X509Certificate(pem));
  const [leaf, intermediate, root, ...rest] = chain;
  assert.ok(leaf !== undefined && intermediate !== undefined && root !== undefined && rest.length === 0);
  assert.ok(
    leaf.verify(intermediate.publicKey) && intermediate.verify(root.publicKey) && root.verify(root.publicKey),
  );
  assert.ok(chainOf(answer).every((pem) => /-----END CERTIFICATE-----\n$/.test(pem)));
  const last = await fixture.lastAudit();
  assert.deepEqual(
    { kind: last.kind, method: last.method, code: last.code, serial: last.serial },
    { kind: "issued", method, code: null, serial: leaf.serialNumber.toLowerCase() },
  );
  return leaf;
}

test("CreateCertificate answers a service account token: the leaf first, then the intermediate, the root last", async () => {
  const answer = await fixture.ask({ token: await fixture.token("auditor"), ttlSeconds: 3600 });
  const leaf = await granted(answer, "token");
  assert.equal(leaf.subjectAltName, `URI:${identityOf("auditor")}`);
  assert.equal(leaf.subject, undefined);
  const lifeSeconds = (Date.parse(leaf.validTo) - Date.now()) / 1000;
  assert.ok(lifeSeconds > 3000 && lifeSeconds <= 3600, `lives ${lifeSeconds} s`);
});

test("CreateCertificate gives the default lifetime where none or a negative one is asked for, as istiod does", async () => {
  for (const ttlSeconds of [0, -5]) {
    const leaf = await granted(await fixture.ask({ token: await fixture.token(), ttlSeconds }), "token");
    const hours = (Date.parse(leaf.validTo) - Date.now()) / 3_600_000;
    assert.ok(hours > 23 && hours <= 24, `lives ${hours} h`);
  }
});

test("CreateCertificate renews by a still-valid certificate over mutual TLS", async () => {
  const certificate = await fixture.issued(identityOf("payroll"));
  const leaf = await granted(await fixture.ask({ certificate }), "certificate");
  assert.equal(leaf.subjectAltName, `URI:${identityOf("payroll")}`);
});

test("CreateCertificate takes a token and a certificate of one identity together", async () => {
  const certificate = await fixture.issued(identityOf("payroll"));
  await granted(await fixture.ask({ certificate, token: await fixture.token("payroll") }), "token");
});

test("CreateCertificate maps an outside issuer's token by the configured rule, its keys found by discovery", async () => {
  const leaf = await granted(await fixture.ask({ token: await fixture.oidcToken() }), "oidc");
  assert.equal(leaf.subjectAltName, `URI:${identityOf("auditor")}`);
});

test("CreateCertificate gives a node agent the identity of a pod on its node", async () => {
  const token = await fixture.token("ztunnel");
  const metadata = { ImpersonatedIdentity: identityOf("auditor") };
  const leaf = await granted(await fixture.ask({ token, metadata }), "node-agent");
  assert.equal(leaf.subjectAltName, `URI:${identityOf("auditor")}`);
  const last = await fixture.lastAudit();
  assert.deepEqual(
    [last.caller, last.spiffeId],
    [identityOf("ztunnel", "istio-system"), identityOf("auditor")],
  );
});

test("CreateCertificate gives a node agent its own identity when it asks for no other", async () => {
  const answer = await fixture.ask({
    token: await fixture.token("ztunnel"),
    metadata: { ImpersonatedIdentity: "" },
  });
  const leaf = await granted(answer, "token");
  assert.equal(leaf.subjectAltName, `URI:${identityOf("ztunnel", "istio-system")}`);
});

test("CreateCertificate signs a token's request as often as its own peer asks: a token is no nonce", async () => {
  const token = await fixture.token("payroll");
  for (let i = 0; i < 3; i++) await granted(await fixture.ask({ token }), "token");
});

test("a token that is newer than its identity's revocation is taken, and so is its certificate", async () => {
  const token = await fixture.token("moved");
  await fixture.ca.store.revoke(
    { spiffeId: identityOf("moved") },
    { reason: "keyCompromise", by: "test", atMs: Date.now() - 120_000 },
  );
  await granted(await fixture.ask({ token }), "token");
  const certificate = await fixture.issued(identityOf("moved"));
  await granted(await fixture.ask({ certificate }), "certificate");
});

test("the record of a grant names its method and its caller's proof", async () => {
  await granted(await fixture.ask({ token: await fixture.token("payroll"), csr: await csrPem() }), "token");
  const records = await Array.fromAsync(
    fixture.ca.store.issued({ spiffeId: identityOf("payroll"), limit: 1 }),
  );
  assert.deepEqual(
    records.map(({ method }) => method),
    ["token"],
  );
});
