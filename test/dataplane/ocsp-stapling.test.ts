import assert from "node:assert/strict";
import { generateKeyPairSync, hash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { connect } from "node:tls";
import { TAG } from "../../src/identity/der-reader.ts";
import { der, derOid, encodeDer } from "../../src/identity/der-writer.ts";
import { memorySigner } from "../../src/identity/keys/ca-signer.ts";
import { OID } from "../../src/identity/object-ids.ts";
import { peerFromCertificateDer } from "../../src/identity/peer-certificate.ts";
import { decodePem } from "../../src/identity/pem.ts";
import { encodeOcspResponse, type OcspStatus } from "../../src/identity/revocation/ocsp-response.ts";
import { CertificateForge } from "../../tools/corpus/live-certificates.ts";
import { startMesh } from "./mesh-fixture.ts";

const HOUR_MS = 3_600_000;
const PORT = 8443;
const HOST = "shop.example";

const forge = CertificateForge.alone();
const { certificateChain, privateKey } = forge.pem([HOST]);

function meshWith(staple: Buffer | undefined): string {
  const base64 = (text: string | Buffer) => Buffer.from(text).toString("base64");
  return `
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: edge, labels: {istio: gw}, annotations: {inject.istio.io/templates: gateway}}
spec: {serviceAccountName: gw, containers: [{name: proxy, image: auto}]}
---
apiVersion: v1
kind: Secret
metadata: {name: shop, namespace: edge}
data:
  tls.crt: ${base64(certificateChain)}
  tls.key: ${base64(privateKey)}
${staple === undefined ? "" : `  tls.ocsp-staple: ${base64(staple)}`}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec:
  selector: {istio: gw}
  servers:
    - {port: {number: ${PORT}, name: https, protocol: HTTPS}, hosts: [${HOST}], tls: {mode: SIMPLE, credentialName: shop}}
`;
}

/** As a responder of the certificate's authority makes it; its signature is the client's to judge. */
async function responseAbout(
  serialHex: string,
  status: OcspStatus,
  times: { readonly fromMs: number; readonly untilMs: number },
): Promise<Buffer> {
  const key = memorySigner(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
  const serial = Buffer.from(serialHex, "hex");
  const positive = (serial[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), serial]) : serial;
  const certificateId = encodeDer(
    der(
      TAG.sequence,
      der(TAG.sequence, derOid(OID.sha1), der(TAG.null)),
      der(TAG.octetString, hash("sha1", "name", "buffer")),
      der(TAG.octetString, hash("sha1", "key", "buffer")),
      der(TAG.integer, positive),
    ),
  );
  return encodeOcspResponse({
    answers: [{ certificateId, status }],
    producedAtMs: times.fromMs,
    nextUpdateMs: times.untilMs,
    nonce: undefined,
    responder: { key, keyHash: hash("sha1", "key", "buffer"), certificate: encodeDer(der(TAG.sequence)) },
  });
}

function ownSerial(): string {
  const [leaf] = decodePem("CERTIFICATE", certificateChain);
  assert.ok(leaf !== undefined);
  const own = peerFromCertificateDer(leaf);
  assert.ok(!("error" in own));
  return own.serial;
}

/** What the gateway staples for a client that asks; the handshake must succeed in any case. */
async function stapled(
  context: TestContext,
  net: number,
  staple: Buffer | undefined,
): Promise<Buffer | null> {
  const mesh = await startMesh(context, meshWith(staple), { net });
  const { address } = mesh.pod("edge/gw").pod;
  const socket = connect({
    host: address,
    port: PORT,
    servername: HOST,
    ca: forge.rootPem,
    requestOCSP: true,
  });
  const response = await new Promise<Buffer | null>((resolve, reject) => {
    let seen: Buffer | null = null;
    socket.on("OCSPResponse", (bytes: Buffer | null) => {
      seen = bytes;
    });
    socket.once("secureConnect", () => resolve(seen)).once("error", reject);
  });
  socket.destroy();
  return response;
}

const NOW_MS = Math.floor(Date.now() / 1000) * 1000;
const CURRENT = { fromMs: NOW_MS - HOUR_MS, untilMs: NOW_MS + HOUR_MS };

test("a gateway staples the OCSP response of its Secret", async (context) => {
  const staple = await responseAbout(ownSerial(), "good", CURRENT);
  assert.deepEqual(await stapled(context, 81, staple), staple);
});

const NOT_STAPLED: Readonly<Record<string, () => Promise<Buffer | undefined>>> = {
  "there is none": async () => undefined,
  "it is no response": async () => Buffer.from("hello"),
  "it has ended": () =>
    responseAbout(ownSerial(), "good", { fromMs: NOW_MS - HOUR_MS, untilMs: NOW_MS - 1000 }),
  "it is of the future": () =>
    responseAbout(ownSerial(), "good", { fromMs: NOW_MS + HOUR_MS, untilMs: NOW_MS + 2 * HOUR_MS }),
  "it is about another certificate": () => responseAbout("0a", "good", CURRENT),
  "it says that the certificate was revoked": () =>
    responseAbout(ownSerial(), { revokedAtMs: NOW_MS - HOUR_MS, reason: "superseded" }, CURRENT),
};

for (const [index, [why, make]] of Object.entries(NOT_STAPLED).entries())
  test(`a gateway staples nothing, and serves, when ${why}`, async (context) => {
    assert.equal(await stapled(context, 82 + index, await make()), null);
  });
