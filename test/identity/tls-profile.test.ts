import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { type ConnectionOptions, connect, createServer, type TLSSocket, type TlsOptions } from "node:tls";
import { limitsOf } from "../../src/dataplane/edge-tls-server.ts";
import { COMPLIANCE_POLICIES, tlsProfileOf } from "../../src/identity/tls-profile.ts";
import { credentials, testCa } from "./mesh-fixture.ts";

/** One certificate for all: what it says is not looked at here. */
let shared: ReturnType<typeof credentials> | undefined;

/** What a client with these limits agrees on with a server of those; undefined when they do not. */
async function handshake(t: TestContext, server: TlsOptions, client: ConnectionOptions) {
  shared ??= credentials(await testCa(t));
  const { tls } = await shared;
  const listener = createServer({ ...tls, ...server });
  listener.on("tlsClientError", () => {});
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => listener.close());
  const { port } = listener.address() as AddressInfo;
  const socket = connect({
    host: "127.0.0.1",
    port,
    ca: tls.ca,
    checkServerIdentity: () => undefined,
    ...client,
  });
  t.after(() => socket.destroy());
  try {
    await once(socket, "secureConnect");
    return { version: socket.getProtocol(), group: groupOf(socket), cipher: socket.getCipher().standardName };
  } catch {
    return undefined;
  }
}

function groupOf(socket: TLSSocket): string | undefined {
  const info: unknown = socket.getEphemeralKeyInfo();
  return typeof info === "object" && info !== null && "name" in info ? String(info.name) : undefined;
}

const ANY = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" } as const;

test("the mesh's profile prefers the post-quantum hybrid whatever the client's order, and takes what else it names", async (t) => {
  const { mesh } = tlsProfileOf("");
  const hybrid = await handshake(t, mesh, { ecdhCurve: "X25519:X25519MLKEM768" });
  assert.equal(hybrid?.version, "TLSv1.3");
  assert.equal((await handshake(t, mesh, mesh))?.group, "X25519MLKEM768");
  assert.equal((await handshake(t, mesh, { ecdhCurve: "X25519" }))?.group, "X25519");
  assert.equal(await handshake(t, mesh, { ecdhCurve: "P-521" }), undefined);
  assert.equal(await handshake(t, mesh, { maxVersion: "TLSv1.2" }), undefined);
});

test("COMPLIANCE_POLICY=pqc: TLS 1.3 and the hybrid, or nothing, within the mesh and outside", async (t) => {
  const { mesh, outside } = tlsProfileOf("pqc");
  for (const limits of [mesh, outside]) {
    assert.equal((await handshake(t, limits, { ecdhCurve: "X25519MLKEM768" }))?.group, "X25519MLKEM768");
    assert.equal(await handshake(t, limits, { ecdhCurve: "X25519:P-256" }), undefined);
    assert.equal(await handshake(t, limits, { maxVersion: "TLSv1.2" }), undefined);
    assert.equal(await handshake(t, limits, { ciphers: "TLS_CHACHA20_POLY1305_SHA256" }), undefined);
    assert.equal(await handshake(t, { ecdhCurve: "X25519" }, limits), undefined, "as a client too");
  }
});

test("COMPLIANCE_POLICY=fips-140-2: AES-GCM and P-256 only; TLS 1.2 outside of the mesh", async (t) => {
  const { mesh, outside, keyAlgorithms } = tlsProfileOf("fips-140-2");
  for (const limits of [mesh, outside]) {
    assert.match((await handshake(t, limits, ANY))?.cipher ?? "", /^TLS_AES_(128|256)_GCM_SHA(256|384)$/);
    assert.equal(await handshake(t, limits, { ecdhCurve: "X25519:X25519MLKEM768" }), undefined);
    assert.equal(await handshake(t, limits, { ciphers: "TLS_CHACHA20_POLY1305_SHA256" }), undefined);
  }
  const old = { maxVersion: "TLSv1.2" } as const;
  assert.equal((await handshake(t, outside, old))?.cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
  assert.equal(await handshake(t, mesh, old), undefined);
  assert.equal(await handshake(t, outside, { ...old, ciphers: "ECDHE-ECDSA-CHACHA20-POLY1305" }), undefined);
  assert.ok(!keyAlgorithms.includes("ed25519"));
});

test("a gateway's own versions and suites stand without a compliance policy, and give way to one", () => {
  const tls = {
    minProtocolVersion: "TLSV1_3",
    maxProtocolVersion: "TLSV1_3",
    cipherSuites: ["ECDHE-RSA-AES128-SHA", "ALL"],
  } as unknown as Parameters<typeof limitsOf>[0];
  const free = limitsOf(tls, tlsProfileOf(""));
  assert.equal(free.minVersion, "TLSv1.3");
  assert.match(String(free.ciphers), /:ECDHE-RSA-AES128-SHA$/);
  for (const policy of ["fips-140-2", "pqc"]) {
    const profile = tlsProfileOf(policy);
    assert.deepEqual(limitsOf(tls, profile), profile.outside);
  }
});

test("a compliance policy that is misspelt is refused: it must not mean none", () => {
  for (const policy of COMPLIANCE_POLICIES) assert.equal(tlsProfileOf(policy).policy, policy);
  for (const policy of ["fips", "FIPS-140-2", "pqc ", "none", "__proto__"])
    assert.throws(() => tlsProfileOf(policy), { code: "BW_COMPLIANCE_POLICY" });
});
