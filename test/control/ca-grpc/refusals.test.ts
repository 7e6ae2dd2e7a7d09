import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openCa } from "../../../src/identity/ca.ts";
import { decodePem, encodePem } from "../../../src/identity/pem.ts";
import { parseTrustDomain, workloadSpiffeId } from "../../../src/model/spiffe-id.ts";
import { type AskOptions, CaFixture, csrPem, identityOf, validFrom } from "./ca-fixture.ts";
import { wishfulCsr } from "./wishful-csr.ts";

const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;
const UNAUTHENTICATED = 16;
const MINUTE_MS = 60_000;

const attacker = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
let fixture: CaFixture;
let once: CaFixture;
before(async () => {
  fixture = await CaFixture.open();
  once = await CaFixture.open({ oidc: [fixture.oidcRule(true)] });
});
after(async () => {
  await once.close();
  await fixture.close();
});

const seconds = (offset: number) => Math.floor(Date.now() / 1000) + offset;
const bearing = async (csr: string | Promise<string>): Promise<AskOptions> => ({
  token: await fixture.token(),
  csr: await csr,
});
const agentAsking = async (identity: string, account = "ztunnel"): Promise<AskOptions> => ({
  token: await fixture.token(account),
  metadata: { ImpersonatedIdentity: identity },
});

interface BadRequest {
  readonly what: string;
  readonly ask: () => Promise<AskOptions>;
  readonly status: number;
  readonly code: string;
  /** Whose audit record says so; default the fixture that most share. */
  readonly at?: () => CaFixture;
}

const unauthenticated = (what: string, code: string, ask: BadRequest["ask"]): BadRequest => ({
  what,
  ask,
  code,
  status: UNAUTHENTICATED,
});
const invalid = (what: string, code: string, ask: BadRequest["ask"]): BadRequest => ({
  what,
  ask,
  code,
  status: INVALID_ARGUMENT,
});

const TOKENS: readonly BadRequest[] = [
  unauthenticated("nothing to say who asks", "BW_CA_NO_CREDENTIALS", async () => ({})),
  unauthenticated("a forged token under the issuer's key id", "BW_TOKEN_SIGNATURE", async () => ({
    token: await fixture.token("auditor", {}, {}, attacker),
  })),
  unauthenticated("a token of an unknown key", "BW_TOKEN_UNKNOWN_KEY", async () => ({
    token: await fixture.token("auditor", {}, { kid: "another" }, attacker),
  })),
  unauthenticated("a token whose claims were changed", "BW_TOKEN_SIGNATURE", async () => {
    const [header, , signature] = (await fixture.token("auditor")).split(".");
    const [, payload] = (await fixture.token("payroll")).split(".");
    return { token: `${header}.${payload}.${signature}` };
  }),
  unauthenticated("an expired token", "BW_TOKEN_EXPIRED", async () => ({
    token: await fixture.token("auditor", { iat: seconds(-900), exp: seconds(-300) }),
  })),
  unauthenticated("a token that is not valid yet", "BW_TOKEN_NOT_YET_VALID", async () => ({
    token: await fixture.token("auditor", { nbf: seconds(300) }),
  })),
  unauthenticated("a token that was issued in the future", "BW_TOKEN_NOT_YET_VALID", async () => ({
    token: await fixture.token("auditor", { iat: seconds(400) }),
  })),
  unauthenticated("a token without an end", "BW_TOKEN_CLAIMS", async () => ({
    token: await fixture.token("auditor", { exp: undefined }),
  })),
  unauthenticated("a token for another audience", "BW_TOKEN_AUDIENCE", async () => ({
    token: await fixture.token("auditor", { aud: ["https://kubernetes.default.svc"] }),
  })),
  unauthenticated("a token of another issuer", "BW_TOKEN_ISSUER", async () => ({
    token: await fixture.token("auditor", { iss: "https://evil.example" }),
  })),
  unauthenticated("a token with the algorithm none", "BW_TOKEN_ALGORITHM", async () => {
    const [, payload] = (await fixture.token()).split(".");
    return { token: `${Buffer.from('{"alg":"none"}').toString("base64url")}.${payload}.` };
  }),
  unauthenticated(
    "a token signed HS256 with the public key as the secret",
    "BW_TOKEN_ALGORITHM",
    async () => ({
      token: await fixture.token("auditor", {}, { alg: "HS256" }, fixture.issuerPublicPem),
    }),
  ),
  unauthenticated("a token that is none", "BW_TOKEN_MALFORMED", async () => ({ token: "x" })),
  unauthenticated("a token of 9,000 characters", "BW_TOKEN_MALFORMED", async () => ({
    token: "x".repeat(9000),
  })),
  unauthenticated("a token that is bound to no pod", "BW_TOKEN_CLAIMS", async () => ({
    token: await fixture.token("auditor", {
      "kubernetes.io": { namespace: "finance", serviceaccount: { name: "auditor", uid: "" } },
    }),
  })),
  unauthenticated(
    "a token whose subject is another account than its claims",
    "BW_TOKEN_CLAIMS",
    async () => ({
      token: await fixture.token("auditor", { sub: "system:serviceaccount:finance:payroll" }),
    }),
  ),
  unauthenticated("the token of a pod that is gone", "BW_TOKEN_POD_GONE", async () => ({
    token: await fixture.token("auditor", {
      "kubernetes.io": {
        namespace: "finance",
        serviceaccount: { name: "auditor", uid: "" },
        pod: { name: "auditor-9", uid: "uid-auditor-9" },
      },
    }),
  })),
  unauthenticated("the token of a pod's predecessor of the same name", "BW_TOKEN_POD_GONE", async () => ({
    token: await fixture.token("auditor", {
      "kubernetes.io": {
        namespace: "finance",
        serviceaccount: { name: "auditor", uid: "" },
        pod: { name: "auditor-0", uid: "another" },
      },
    }),
  })),
  unauthenticated("a token replayed from another address", "BW_TOKEN_REPLAYED", async () => {
    const token = await fixture.token();
    assert.equal((await fixture.ask({ token })).status, 0);
    return { token, from: "127.0.0.2" };
  }),
  unauthenticated(
    "a token replayed from elsewhere under its other signature",
    "BW_TOKEN_REPLAYED",
    async () => {
      const token = await fixture.token("auditor", { jti: undefined });
      assert.equal((await fixture.ask({ token })).status, 0);
      return { token: otherSignature(token), from: "127.0.0.2" };
    },
  ),
  unauthenticated("a token from before its identity was revoked", "BW_CA_CREDENTIAL_CUT_OFF", async () => {
    const token = await fixture.token("cut", { iat: seconds(-60) });
    await revoke("cut");
    return { token };
  }),
  unauthenticated(
    "a token of an identity that is blocked, however new",
    "BW_CA_IDENTITY_BLOCKED",
    async () => {
      await block("barred");
      return { token: await fixture.token("barred", { iat: seconds(5) }) };
    },
  ),
];

const AGENTS: readonly BadRequest[] = [
  unauthenticated("another's identity, by who is no node agent", "BW_CA_IMPERSONATION_NOT_ALLOWED", () =>
    agentAsking(identityOf("payroll"), "auditor"),
  ),
  unauthenticated(
    "another's identity, by a node agent's certificate alone",
    "BW_CA_IMPERSONATION_NOT_ALLOWED",
    async () => ({
      certificate: await fixture.issued(identityOf("ztunnel", "istio-system")),
      metadata: { ImpersonatedIdentity: identityOf("auditor") },
    }),
  ),
  unauthenticated("the identity of a pod on another node", "BW_CA_IMPERSONATION_NODE", () =>
    agentAsking(identityOf("payroll")),
  ),
  unauthenticated("the identity of no pod at all", "BW_CA_IMPERSONATION_NODE", () =>
    agentAsking(identityOf("nobody")),
  ),
  unauthenticated("a pod's identity in another trust domain", "BW_CA_IMPERSONATION_FOREIGN", () =>
    agentAsking("spiffe://evil.example/ns/finance/sa/auditor"),
  ),
  unauthenticated("an identity that is no workload's", "BW_CA_IMPERSONATION_INVALID", () =>
    agentAsking("spiffe://cluster.local/ns/finance/sa/auditor/../payroll"),
  ),
  unauthenticated("the node agent's token names another node", "BW_CA_IMPERSONATION_NODE", async () => ({
    token: await fixture.token("ztunnel", {
      "kubernetes.io": {
        namespace: "istio-system",
        serviceaccount: { name: "ztunnel", uid: "" },
        pod: { name: "ztunnel-a", uid: "uid-ztunnel-a" },
        node: { name: "node-2", uid: "" },
      },
    }),
    metadata: { ImpersonatedIdentity: identityOf("auditor") },
  })),
  unauthenticated(
    "an identity revoked since the node agent was attested",
    "BW_CA_CREDENTIAL_CUT_OFF",
    async () => {
      await revoke("cut");
      return {
        token: await fixture.token("ztunnel", { iat: seconds(-60) }),
        metadata: { ImpersonatedIdentity: identityOf("cut") },
      };
    },
  ),
  unauthenticated("an identity that is blocked, by a node agent", "BW_CA_IDENTITY_BLOCKED", async () => {
    await block("barred");
    return {
      token: await fixture.token("ztunnel"),
      metadata: { ImpersonatedIdentity: identityOf("barred") },
    };
  }),
  invalid("an identity that is no text", "BW_CA_METADATA", async () => ({
    token: await fixture.token("ztunnel"),
    metadata: { ImpersonatedIdentity: true },
  })),
  invalid("a signer of its own choice", "BW_CA_METADATA", async () => ({
    token: await fixture.token(),
    metadata: { CertSigner: "signers.example/other" },
  })),
];

const CERTIFICATES: readonly BadRequest[] = [
  unauthenticated("a revoked certificate", "BW_CA_CERTIFICATE_REVOKED", async () => {
    const certificate = await fixture.issued(identityOf("payroll"));
    const how = { reason: "keyCompromise", by: "test", atMs: Date.now() } as const;
    await fixture.ca.store.revoke({ serial: certificate.serial }, how);
    return { certificate };
  }),
  unauthenticated(
    "a certificate from before its identity was revoked",
    "BW_CA_CREDENTIAL_CUT_OFF",
    async () => {
      await revoke("cut");
      return { certificate: await fixture.signed(identityOf("cut"), validFrom(Date.now() - MINUTE_MS)) };
    },
  ),
  unauthenticated("an expired certificate", "BW_PEER_EXPIRED", async () => ({
    certificate: await fixture.signed(identityOf("payroll"), validFrom(Date.now() - 60 * MINUTE_MS)),
  })),
  unauthenticated("a certificate that is not valid yet", "BW_PEER_NOT_YET_VALID", async () => ({
    certificate: await fixture.signed(identityOf("payroll"), validFrom(Date.now() + 60 * MINUTE_MS)),
  })),
  unauthenticated("a certificate of another CA", "BW_CA_CERTIFICATE_UNTRUSTED", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ca-foreign-"));
    const foreign = await openCa(folder, { trustDomain: fixture.ca.trustDomain });
    try {
      return { certificate: await fixture.signed(identityOf("payroll"), validFrom(Date.now()), foreign) };
    } finally {
      await foreign.close();
      rmSync(folder, { recursive: true });
    }
  }),
  unauthenticated(
    "a certificate of another trust domain, signed by our key",
    "BW_CA_CERTIFICATE_UNTRUSTED",
    async () => {
      const foreign = parseTrustDomain("evil.example") ?? assert.fail();
      const identity = workloadSpiffeId(foreign, "finance", "payroll");
      return { certificate: await fixture.signed(identity, validFrom(Date.now())) };
    },
  ),
  unauthenticated(
    "a server's certificate in place of a client's",
    "BW_CA_CERTIFICATE_UNTRUSTED",
    async () => ({
      certificate: fixture.servingCertificate,
    }),
  ),
  unauthenticated("a token and a certificate of two identities", "BW_CA_CREDENTIALS_DISAGREE", async () => ({
    certificate: await fixture.issued(identityOf("payroll")),
    token: await fixture.token("auditor"),
  })),
  unauthenticated("a good token beside a bad certificate", "BW_PEER_EXPIRED", async () => ({
    certificate: await fixture.signed(identityOf("auditor"), validFrom(Date.now() - 60 * MINUTE_MS)),
    token: await fixture.token("auditor"),
  })),
];

const OIDC: readonly BadRequest[] = [
  unauthenticated("an outside token whose claims no rule maps", "BW_OIDC_UNMAPPED", async () => ({
    token: await fixture.oidcToken({ repository: "bank/other" }),
  })),
  unauthenticated(
    "an outside token whose claim is a list that holds the right text",
    "BW_OIDC_UNMAPPED",
    async () => ({
      token: await fixture.oidcToken({ repository: ["bank/auditor"] }),
    }),
  ),
  unauthenticated("an outside token for another audience", "BW_TOKEN_AUDIENCE", async () => ({
    token: await fixture.oidcToken({ aud: "istio-ca" }),
  })),
  unauthenticated("an outside token signed by a stranger", "BW_TOKEN_SIGNATURE", async () => ({
    token: await fixture.oidcToken({}, {}, attacker),
  })),
  unauthenticated(
    "an outside token signed HS256 with the public key as the secret",
    "BW_TOKEN_ALGORITHM",
    async () => ({
      token: await fixture.oidcToken({}, { alg: "HS256" }, Buffer.from(JSON.stringify(fixture.oidcKey.jwk))),
    }),
  ),
  unauthenticated("an outside token that has expired", "BW_TOKEN_EXPIRED", async () => ({
    token: await fixture.oidcToken({ exp: seconds(-10) }),
  })),
  unauthenticated(
    "an outside token under the name of the cluster's issuer",
    "BW_TOKEN_UNKNOWN_KEY",
    async () => ({
      token: await fixture.oidcToken({ ...fixture.claims("auditor") }),
    }),
  ),
  {
    ...unauthenticated("a reused nonce, from the same peer", "BW_TOKEN_REPLAYED", async () => {
      const claims = { jti: undefined, nonce: randomBytes(8).toString("hex") };
      assert.equal((await once.ask({ token: await fixture.oidcToken(claims) })).status, 0);
      return { token: await fixture.oidcToken(claims) };
    }),
    at: () => once,
  },
  {
    ...unauthenticated("a token for one use without a name", "BW_TOKEN_CLAIMS", async () => ({
      token: await fixture.oidcToken({ jti: undefined }),
    })),
    at: () => once,
  },
];

const REQUESTS: readonly BadRequest[] = [
  invalid("another identity in the CSR", "BW_CA_CSR_IDENTITY", () =>
    bearing(wishfulCsr({ uris: [identityOf("payroll")] })),
  ),
  invalid("its own identity and another in the CSR", "BW_CA_CSR_IDENTITY", () =>
    bearing(wishfulCsr({ uris: [identityOf("auditor"), identityOf("payroll")] })),
  ),
  invalid("a host's name in the CSR", "BW_CA_CSR_IDENTITY", () =>
    bearing(wishfulCsr({ dnsNames: ["payroll.finance"] })),
  ),
  invalid("the wish to be a CA", "BW_CA_CSR_SIGNER", () => bearing(wishfulCsr({ ca: true }))),
  invalid("the wish to sign certificates", "BW_CA_CSR_SIGNER", () => bearing(wishfulCsr({ certSign: true }))),
  invalid("an RSA key of 1,024 bits", "BW_CA_CSR_WEAK_KEY", () =>
    bearing(
      wishfulCsr({
        key: {
          name: "RSASSA-PKCS1-v1_5",
          hash: "SHA-256",
          modulusLength: 1024,
          publicExponent: new Uint8Array([1, 0, 1]),
        },
      }),
    ),
  ),
  invalid("a key on another curve", "BW_CA_CSR_WEAK_KEY", () =>
    bearing(wishfulCsr({ key: { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" } })),
  ),
  invalid("a CSR whose DER breaks off", "BW_CA_CSR_MALFORMED", () =>
    bearing(changedCsr((der) => der.subarray(0, -7))),
  ),
  invalid("a CSR with bytes behind its end", "BW_CA_CSR_MALFORMED", () =>
    bearing(changedCsr((der) => Buffer.concat([der, Buffer.from([5, 0])]))),
  ),
  invalid("a CSR of random bytes", "BW_CA_CSR_MALFORMED", () =>
    bearing(encodePem("CERTIFICATE REQUEST", randomBytes(300))),
  ),
  invalid("a CSR that is no PEM", "BW_CA_CSR_MALFORMED", () => bearing("let me in")),
  invalid("no CSR", "BW_CA_CSR_MALFORMED", () => bearing("")),
  invalid("two CSRs", "BW_CA_CSR_MALFORMED", async () => bearing((await csrPem()) + (await csrPem()))),
  invalid("a CSR of 30,000 characters", "BW_CA_CSR_TOO_LARGE", () =>
    bearing(encodePem("CERTIFICATE REQUEST", randomBytes(22_000))),
  ),
  invalid("a CSR of 17,000 bytes", "BW_CA_CSR_TOO_LARGE", () => bearing(changedCsr(grown))),
  invalid("a CSR with a wrong signature", "BW_CA_CSR_PROOF_OF_POSSESSION", () => bearing(signedByAnother())),
  invalid("a lifetime beyond the maximum", "BW_CA_TTL_TOO_LONG", async () => ({
    token: await fixture.token(),
    ttlSeconds: 100 * 86_400,
  })),
  invalid("a message that is no protobuf", "BW_PROTOBUF", async () => ({
    token: await fixture.token(),
    raw: Buffer.from([0x0a, 0xff, 0x01]),
  })),
];

async function revoke(account: string): Promise<void> {
  const how = { reason: "keyCompromise", by: "test", atMs: Date.now() } as const;
  await fixture.ca.store.revoke({ spiffeId: identityOf(account) }, how);
}

async function block(account: string): Promise<void> {
  const how = { reason: "keyCompromise", by: "test", atMs: Date.now() - MINUTE_MS, block: true } as const;
  await fixture.ca.store.revoke({ spiffeId: identityOf(account) }, how);
}

/** The same token with the other of the two forms that each ECDSA signature has: (r, n − s). */
function otherSignature(token: string): string {
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const dot = token.lastIndexOf(".");
  const signature = Buffer.from(token.slice(dot + 1), "base64url");
  const s = n - BigInt(`0x${signature.toString("hex", 32)}`);
  signature.write(s.toString(16).padStart(64, "0"), 32, "hex");
  return `${token.slice(0, dot)}.${signature.toString("base64url")}`;
}

async function changedCsr(change: (der: Buffer) => Buffer): Promise<string> {
  const [der] = decodePem("CERTIFICATE REQUEST", await csrPem());
  return encodePem("CERTIFICATE REQUEST", change(der ?? assert.fail()));
}

/** In one piece of DER, so that its size is all that is wrong with it at first sight. */
function grown(der: Buffer): Buffer {
  const content = Buffer.concat([der, Buffer.alloc(17_000)]);
  const head = Buffer.from([0x30, 0x82, content.length >> 8, content.length & 0xff]);
  return Buffer.concat([head, content]);
}

/** The request of one key with the signature of another. */
async function signedByAnother(): Promise<string> {
  const [first, second] = (await Promise.all([csrPem(), csrPem()])).map(partsOf);
  const content = Buffer.concat([first?.info ?? assert.fail(), second?.proof ?? assert.fail()]);
  return encodePem(
    "CERTIFICATE REQUEST",
    Buffer.concat([Buffer.from([0x30, 0x81, content.length]), content]),
  );
}

/** What is signed, and algorithm and signature behind it. */
function partsOf(pem: string): { readonly info: Buffer; readonly proof: Buffer } {
  const [der] = decodePem("CERTIFICATE REQUEST", pem);
  assert.ok(der?.[0] === 0x30 && der[1] === 0x81 && der[3] === 0x30);
  const end = der[4] === 0x81 ? 6 + (der[5] ?? 0) : 5 + (der[4] ?? 0);
  return { info: der.subarray(3, end), proof: der.subarray(end) };
}

for (const { what, ask, status, code, at } of [...TOKENS, ...AGENTS, ...CERTIFICATES, ...OIDC, ...REQUESTS]) {
  test(`CreateCertificate refuses ${what}, and the audit says ${code}`, async () => {
    const asked = at?.() ?? fixture;
    const options = await ask();
    const { issued } = asked.counts;
    const answer = await asked.ask(options);
    assert.equal(answer.status, status, answer.message);
    assert.equal(answer.body.length, 0);
    const last = await asked.lastAudit();
    assert.deepEqual([last.kind, last.code, last.serial], ["refused", code, null]);
    assert.match(last.message, /^[A-Za-z].{10,}/);
    const flow = asked.flows.at(-1);
    assert.deepEqual([flow?.verdict, flow?.layer, flow?.reason], ["deny", "ca", code]);
    assert.equal(asked.counts.issued, issued);
    checkSilence(options.token, [answer.message, JSON.stringify(last), JSON.stringify(flow)]);
    // Who failed to say who it is learns nothing of why; for the rest everything is said.
    if (status === UNAUTHENTICATED)
      assert.match(answer.message, /^request (impersonation )?authenticat(e|ion) failure$/);
  });
}

/** No part of a token of any length stands anywhere. */
function checkSilence(token: string | undefined, texts: readonly string[]): void {
  for (const part of (token ?? "").split(".").filter(({ length }) => length > 20))
    for (const text of texts) assert.ok(!text.includes(part.slice(0, 20)), "a part of the token is told");
}

test("CreateCertificate refuses what comes past the rate of an identity, tells it once, and others go on", async () => {
  const token = await fixture.token("limited");
  const refusedBefore = fixture.counts.refused;
  let answer = await fixture.ask({ token });
  for (let asked = 1; answer.status === 0 && asked < 60; asked++) answer = await fixture.ask({ token });
  assert.equal(answer.status, RESOURCE_EXHAUSTED, answer.message);
  const last = await fixture.lastAudit();
  assert.deepEqual(
    [last.kind, last.code, last.caller],
    ["refused", "BW_CA_RATE_LIMIT", identityOf("limited")],
  );
  for (let i = 0; i < 5; i++) assert.equal((await fixture.ask({ token })).status, RESOURCE_EXHAUSTED);
  assert.equal(fixture.counts.refused, refusedBefore + 6);
  assert.equal((await fixture.ask({ token: await fixture.token("payroll") })).status, 0);
});

test("where every pod is known, a certificate whose identity runs no more renews nothing, one that runs does", async () => {
  const known = await CaFixture.open({ oidc: [] });
  try {
    const gone = await known.issued(identityOf("gone"));
    assert.equal((await known.ask({ certificate: gone })).status, UNAUTHENTICATED);
    assert.equal((await known.lastAudit()).code, "BW_CA_IDENTITY_GONE");
    assert.equal((await known.ask({ certificate: await known.issued(identityOf("payroll")) })).status, 0);
    const other = await CaFixture.open();
    const answer = await other.ask({ certificate: await other.issued(identityOf("gone")) });
    await other.close();
    assert.equal(answer.status, 0, answer.message);
  } finally {
    await known.close();
  }
});

test("an address past its rate is refused before anything is looked at, others are not", async () => {
  const limited = await CaFixture.open({
    limits: { perAddress: { ratePerSecond: 0.001, burst: 3 } },
    oidc: [],
  });
  try {
    for (let i = 0; i < 3; i++) assert.equal((await limited.ask({ token: "x" })).status, UNAUTHENTICATED);
    assert.equal((await limited.ask({ token: await limited.token() })).status, RESOURCE_EXHAUSTED);
    assert.equal((await limited.lastAudit()).code, "BW_CA_RATE_LIMIT");
    assert.equal((await limited.ask({ token: await limited.token(), from: "127.0.0.3" })).status, 0);
  } finally {
    await limited.close();
  }
});

test("the table of bad requests has more than 25 kinds, no two with one name", () => {
  const all = [...TOKENS, ...AGENTS, ...CERTIFICATES, ...OIDC, ...REQUESTS];
  assert.ok(all.length >= 25);
  assert.equal(new Set(all.map(({ what }) => what)).size, all.length);
});
