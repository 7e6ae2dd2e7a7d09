import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type ServingAuthority,
  ServingCertificate,
} from "../../../src/control/ca-grpc/serving-certificate.ts";
import type { ServingIdentity } from "../../../src/control/ca-grpc/tls-listener.ts";
import { openCa } from "../../../src/identity/ca.ts";
import { TRUST_DOMAIN } from "./ca-fixture.ts";

const HOUR_MS = 3_600_000;

test("the CA's own certificate has names and no identity, is renewed at half of its life and when its signer or a root is another", async (t) => {
  const folders = [mkdtempSync(join(tmpdir(), "serving-")), mkdtempSync(join(tmpdir(), "serving-"))];
  const [first, second] = await Promise.all(
    folders.map((folder) => openCa(folder, { trustDomain: TRUST_DOMAIN })),
  );
  assert.ok(first !== undefined && second !== undefined);
  t.after(async () => {
    await Promise.all([first.close(), second.close()]);
    for (const folder of folders) rmSync(folder, { recursive: true });
  });
  let authority: ServingAuthority = first;
  let nowMs = Date.now();
  const renewed: ServingIdentity[] = [];
  const serving = await ServingCertificate.open({
    ca: {
      get signer() {
        return authority.signer;
      },
      get chain() {
        return authority.chain;
      },
      get trustBundlePem() {
        return authority.trustBundlePem;
      },
    },
    dnsNames: ["istiod.istio-system.svc"],
    onRenewed: (identity) => renewed.push(identity),
    onProblem: assert.ifError,
    clock: () => nowMs,
  });
  t.after(() => serving.close());
  const leaf = () => new X509Certificate(serving.identity.certificateChainPem);
  assert.equal(leaf().subjectAltName, "DNS:istiod.istio-system.svc");
  assert.ok(leaf().verify(first.signer.publicKey));
  await serving.renewIfDue();
  nowMs += 11 * HOUR_MS;
  await serving.renewIfDue();
  assert.equal(renewed.length, 0);
  nowMs += 2 * HOUR_MS;
  await serving.renewIfDue();
  assert.equal(renewed.length, 1);
  authority = {
    signer: first.signer,
    chain: first.chain,
    trustBundlePem: first.trustBundlePem + second.trustBundlePem,
  };
  await serving.renewIfDue();
  assert.equal(renewed.length, 2);
  assert.equal(serving.identity.clientRootsPem, authority.trustBundlePem);
  authority = second;
  await serving.renewIfDue();
  assert.equal(renewed.length, 3);
  assert.ok(leaf().verify(second.signer.publicKey));
});
