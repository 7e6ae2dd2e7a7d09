/** TLS towards servers outside: what a DestinationRule names by file is used, or nothing is sent at all. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createSecureContext, rootCertificates } from "node:tls";
import { ExternalContexts } from "../../src/dataplane/external-contexts.ts";
import { SecretStore } from "../../src/dataplane/secret-store.ts";
import { upstreamTarget } from "../../src/dataplane/upstream-target.ts";
import { openCa } from "../../src/identity/ca.ts";
import { parseTrustDomain } from "../../src/model/spiffe-id.ts";
import type { ClusterTls } from "../../src/policy/outbound/types.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";
import { svidSource } from "./mesh-fixture.ts";

const SIMPLE: ClusterTls = {
  mode: "simple",
  sniFromAuthority: true,
  sansFromAuthority: true,
  insecureSkipVerify: false,
};

function codeOf(outcome: ReturnType<ExternalContexts["contextFor"]>): string {
  return outcome instanceof BulwarkError ? outcome.code : "made";
}

/** A folder with a client's certificate, its key, and roots. */
async function files(context: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-test-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const trustDomain = parseTrustDomain("files.test") ?? assert.fail();
  const ca = await openCa(folder, { trustDomain });
  const source = svidSource(ca, "spiffe://files.test/ns/a/sa/b", 600);
  await source.start();
  source.stop();
  const { chainPem, privateKey, trustBundlePem } = source.current ?? assert.fail();
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  return {
    folder,
    clientCertificate: write("c.pem", chainPem),
    privateKey: write("k.pem", privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
    caCertificates: write("ca.pem", trustBundlePem),
  };
}

test("ExternalContexts gives all plain TLS one context, and each set of files one of its own until they are read anew", async (t) => {
  const { clientCertificate, privateKey, caCertificates } = await files(t);
  const contexts = new ExternalContexts(undefined);
  const all = [
    SIMPLE,
    { ...SIMPLE, caCertificates },
    { ...SIMPLE, mode: "mutual" as const, clientCertificate, privateKey },
    { ...SIMPLE, mode: "mutual" as const, clientCertificate, privateKey, caCertificates },
  ].map((settings) => {
    const made = contexts.contextFor(settings);
    assert.ok(!(made instanceof BulwarkError), String(made));
    assert.equal(contexts.contextFor(settings), made);
    return made;
  });
  assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
  assert.equal(contexts.contextFor({ ...SIMPLE, caCertificates: "system" }), all[0]);
  contexts.renew(new SecretStore([]), "a");
  assert.equal(contexts.contextFor(SIMPLE), all[0]);
  assert.notEqual(contexts.contextFor({ ...SIMPLE, caCertificates }), all[1]);
});

test("ExternalContexts refuses what it cannot have as asked: no other roots, no connection without the certificate", async (t) => {
  const { folder, clientCertificate, privateKey } = await files(t);
  const gone = join(folder, "gone.pem");
  const noPem = join(folder, "no.pem");
  writeFileSync(noPem, "no certificate");
  const mutual = { ...SIMPLE, mode: "mutual" as const, clientCertificate, privateKey };
  const contexts = new ExternalContexts(undefined);
  for (const [settings, code] of [
    [{ ...SIMPLE, caCertificates: gone }, "BW_UPSTREAM_TLS_FILE"],
    [{ ...mutual, clientCertificate: gone }, "BW_UPSTREAM_TLS_FILE"],
    [{ ...mutual, privateKey: gone }, "BW_UPSTREAM_TLS_FILE"],
    [{ ...mutual, privateKey: noPem }, "BW_UPSTREAM_TLS_FILE"],
    [{ ...mutual, caCertificates: gone }, "BW_UPSTREAM_TLS_FILE"],
    [{ ...SIMPLE, mode: "mutual" as const }, "BW_UPSTREAM_NO_CREDENTIAL"],
    [{ ...SIMPLE, mode: "mutual" as const, clientCertificate }, "BW_UPSTREAM_NO_CREDENTIAL"],
    [{ ...SIMPLE, credentialName: "secret" }, "BW_UPSTREAM_NO_CREDENTIAL"],
    [mutual, "made"],
  ] as const)
    assert.equal(codeOf(contexts.contextFor(settings)), code, JSON.stringify(settings));
});

test("ExternalContexts takes certificates and roots from the Secret of the proxy's own namespace", async (t) => {
  const { clientCertificate, privateKey, caCertificates } = await files(t);
  const read = (path: string) => readFileSync(path, "latin1");
  const secretOf = (name: string, stringData: Readonly<Record<string, string>>, namespace = "a") =>
    resourceFromJson(
      { apiVersion: "v1", kind: "Secret", metadata: { name, namespace }, stringData },
      { file: "s.yaml", createdAt: 0 },
    );
  const pair = { "tls.crt": read(clientCertificate), "tls.key": read(privateKey) };
  const roots = { "ca.crt": read(caCertificates) };
  const contexts = new ExternalContexts(undefined);
  contexts.renew(
    new SecretStore([
      secretOf("whole", { ...pair, ...roots }),
      secretOf("apart", pair),
      secretOf("apart-cacert", roots),
      secretOf("rootless", pair),
      secretOf("roots", roots),
      secretOf("other", { ...pair, ...roots }, "b"),
    ]),
    "a",
  );
  for (const [mode, credentialName, code] of [
    ["mutual", "whole", "made"],
    ["mutual", "apart", "made"],
    ["mutual", "rootless", "BW_UPSTREAM_NO_CREDENTIAL"],
    ["mutual", "roots", "BW_UPSTREAM_NO_CREDENTIAL"],
    ["simple", "roots", "made"],
    ["simple", "other", "BW_UPSTREAM_NO_CREDENTIAL"],
    ["simple", "kubernetes://b/other", "BW_UPSTREAM_NO_CREDENTIAL"],
  ] as const)
    assert.equal(codeOf(contexts.contextFor({ ...SIMPLE, mode, credentialName })), code, credentialName);
});

test("ExternalContexts in a simulation trusts the stand-ins' CA where roots of the real servers are named", () => {
  const contexts = new ExternalContexts(rootCertificates[0] ?? "");
  assert.equal(codeOf(contexts.contextFor({ ...SIMPLE, caCertificates: "/of/the/real/server.pem" })), "made");
});

test("connections under different client certificates or roots are not shared", () => {
  const context = createSecureContext();
  const keyOf = (contextId: string) =>
    upstreamTarget({
      host: "192.0.2.1",
      port: 443,
      localAddress: undefined,
      protocol: "http1",
      cluster: undefined,
      tls: { kind: "external", sni: "a.test", sans: undefined, alpn: "http1", context, contextId },
    }).poolKey;
  assert.equal(keyOf("a"), keyOf("a"));
  assert.notEqual(keyOf("a"), keyOf("b"));
});
