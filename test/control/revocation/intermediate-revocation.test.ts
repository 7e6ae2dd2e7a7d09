import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { IntermediateRevocation } from "../../../src/control/revocation/intermediate-revocation.ts";
import { RevocationService } from "../../../src/control/revocation/revocation-service.ts";
import { RotationDriver } from "../../../src/control/rotation/rotation-driver.ts";
import { type CertificateAuthority, openCa } from "../../../src/identity/ca.ts";
import { parseTrustDomain } from "../../../src/model/spiffe-id.ts";
import { until } from "../until.ts";

const WAIT_MS = 30_000;

interface Running {
  readonly ca: CertificateAuthority;
  readonly service: RevocationService;
  readonly intermediates: IntermediateRevocation;
}

/** A control plane's part, without proxies, or with one that never follows. */
async function startOn(
  t: TestContext,
  folder: string,
  options: { readonly proxies?: readonly string[]; readonly diesBeforeRevoking?: boolean } = {},
): Promise<Running> {
  const trustDomain = parseTrustDomain("cluster.local") ?? assert.fail();
  const ca = await openCa(folder, { trustDomain });
  const service = new RevocationService({
    store: ca.store,
    push: async () => ({ told: 0, confirmed: 0, cut: 0 }),
    onRevoked: () => {},
    onProblem: () => {},
  });
  await service.start();
  const rotation = new RotationDriver({
    ca,
    proxies: () => options.proxies ?? [],
    onPhase: () => {},
    onProblem: () => {},
  });
  const intermediates = new IntermediateRevocation({
    ca,
    store: ca.store,
    rotation,
    revocations: {
      revoke: (target, how) =>
        options.diesBeforeRevoking === true
          ? Promise.reject(new Error("killed"))
          : service.revoke(target, how),
      authorityRevocation: (keyId) => service.authorityRevocation(keyId),
    },
    onProblem: () => {},
    patienceMs: 100,
  });
  t.after(async () => {
    rotation.close();
    service.close();
    await ca.close();
  });
  return { ca, service, intermediates };
}

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "bw-intermediate-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("the intermediate that signs is replaced, then revoked under its root's key, and that is audited", async (t) => {
  const { ca, service, intermediates } = await startOn(t, folderOf(t));
  const old = ca.issuer.keyId;
  const report = await intermediates.revoke(undefined, "cACompromise", "test");
  assert.equal(report.keyId, old);
  assert.equal(report.signer, ca.issuer.keyId);
  assert.notEqual(ca.issuer.keyId, old);
  const [revocation] = await ca.store.revocationsSince(0);
  assert.equal(revocation?.issuerKeyId, ca.manifest?.signingRoot);
  assert.equal(service.authorityRevocation(old)?.serial, report.serial);
  assert.equal(service.authorityRevocation(ca.issuer.keyId), undefined);
  const messages = (await ca.store.audited(10)).map(({ message }) => message);
  assert.ok(messages.some((message) => message.includes(`${old}: revoked (cACompromise)`)));
  assert.equal(await intermediates.pending(), null);
});

test("again it revokes nothing more, by key identifier and by serial; what is no intermediate's is refused", async (t) => {
  const { ca, intermediates } = await startOn(t, folderOf(t));
  const first = await intermediates.revoke(undefined, "unspecified", "test");
  const signer = ca.issuer.keyId;
  for (const name of [first.keyId, first.serial.toUpperCase()])
    assert.equal((await intermediates.revoke(name, "unspecified", "test")).wasRevokedBefore, true);
  assert.equal(ca.issuer.keyId, signer);
  await assert.rejects(intermediates.revoke("ab", "unspecified", "test"), { code: "BW_CLI_INPUT" });
  assert.equal((await ca.store.revocationsSince(0)).length, 1);
});

test("workloads that do not renew hold it up no longer than patience lasts, and are named", async (t) => {
  const { ca, intermediates } = await startOn(t, folderOf(t), { proxies: ["bank/teller-0"] });
  const { late } = await intermediates.revoke(undefined, "unspecified", "test");
  assert.deepEqual(late, ["bank/teller-0"]);
  assert.equal((await ca.store.revocationsSince(0)).length, 1);
});

test("a control plane that dies before the revocation finishes it at its next start", async (t) => {
  const folder = folderOf(t);
  const died = await startOn(t, folder, { diesBeforeRevoking: true });
  const old = died.ca.issuer.keyId;
  await assert.rejects(died.intermediates.revoke(undefined, "cACompromise", "test"), /killed/);
  assert.equal(await died.intermediates.pending(), old);
  const next = await startOn(t, folder);
  await until(() => next.ca.issuer.keyId !== old, WAIT_MS);
  await next.intermediates.look();
  assert.equal(next.service.authorityRevocation(old)?.reason, "cACompromise");
  assert.equal(await next.intermediates.pending(), null);
});
