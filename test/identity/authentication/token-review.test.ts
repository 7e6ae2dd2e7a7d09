import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { SignJWT } from "jose";
import { TokenReviewer, type TokenReviewOptions } from "../../../src/identity/authentication/token-review.ts";
import { spkiOf } from "../../../src/identity/key-algorithm.ts";
import { encodePem } from "../../../src/identity/pem.ts";
import { signCertificate, signerFrom } from "../../../src/identity/sign.ts";
import {
  authorityTemplate,
  serialFrom,
  serverTemplate,
  validityFrom,
} from "../../../src/identity/template.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { CLUSTER_LOCAL } from "../mesh-fixture.ts";

const ISSUER = "https://cluster.example";
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** What an API server says of the token of a pod's account, as changed. */
function review(
  change: Readonly<Record<string, unknown>> = {},
  user: Readonly<Record<string, unknown>> = {},
): Answer {
  return (_request, response) => {
    response.writeHead(201, { "content-type": "application/json" });
    response.end(
      JSON.stringify({
        kind: "TokenReview",
        status: {
          authenticated: true,
          audiences: ["istio-ca"],
          user: {
            username: "system:serviceaccount:finance:auditor",
            uid: "sa-1",
            groups: ["system:serviceaccounts", "system:serviceaccounts:finance"],
            extra: {
              "authentication.kubernetes.io/pod-name": ["auditor-0"],
              "authentication.kubernetes.io/pod-uid": ["pod-1"],
              "authentication.kubernetes.io/node-name": ["node-1"],
            },
            ...user,
          },
          ...change,
        },
      }),
    );
  };
}

let answer: Answer = review();
const asked: { body: string; authorization: string | undefined; path: string | undefined }[] = [];
let server: Server;
let caPem = "";

before(async () => {
  const pair = serverPair("localhost");
  caPem = pair.caPem;
  server = createServer({ key: pair.keyPem, cert: pair.certPem }, (request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      asked.push({ body, authorization: request.headers.authorization, path: request.url });
      answer(request, response, body);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
});
after(() => {
  server.closeAllConnections();
  server.close();
});

function serverPair(name: string) {
  const nowMs = Date.now();
  const root = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const random = () => serialFrom(Buffer.from(crypto.getRandomValues(new Uint8Array(16))));
  const authority = authorityTemplate({
    trustDomain: CLUSTER_LOCAL,
    spki: spkiOf(root),
    validity: validityFrom(nowMs, 3600),
    serial: random(),
  });
  const signer = signerFrom(signCertificate(authority, root), root);
  const leaf = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const template = serverTemplate({
    dnsNames: [name],
    spki: spkiOf(leaf),
    validity: validityFrom(nowMs, 3600, signer),
    serial: random(),
    issuer: signer,
  });
  return {
    caPem: encodePem("CERTIFICATE", signer.certificate),
    certPem: encodePem("CERTIFICATE", signCertificate(template, root)),
    keyPem: pemOf(leaf),
  };
}

function pemOf(privateKey: KeyObject): string {
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

function token(change: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: ISSUER,
    aud: ["istio-ca"],
    sub: "system:serviceaccount:finance:auditor",
    iat: now,
    exp: now + 600,
  };
  return new SignJWT({ ...claims, jti: crypto.randomUUID(), ...change })
    .setProtectedHeader({ alg: "ES256" })
    .sign(key);
}

function reviewer(change: Partial<TokenReviewOptions> = {}): TokenReviewer {
  return new TokenReviewer({
    server: new URL(`https://localhost:${(server.address() as AddressInfo).port}`),
    caPem: () => caPem,
    ownToken: () => "own-token\n",
    issuer: ISSUER,
    timeoutMs: 30_000,
    ...change,
  });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return error instanceof BulwarkError ? error.code : assert.fail(String(error));
  }
}

async function withReviewer(
  change: Partial<TokenReviewOptions>,
  body: (reviewer: TokenReviewer) => Promise<void>,
): Promise<void> {
  const own = reviewer(change);
  try {
    await body(own);
  } finally {
    own.close();
    answer = review();
  }
}

test("a review is asked with our own token and for our audience, and its yes gives the pod, its node and the token's dates", async () => {
  await withReviewer({}, async ({ check }) => {
    const jwt = await token();
    const { namespace, serviceAccount, pod, node } = await check(jwt);
    assert.deepEqual(
      { namespace, serviceAccount, pod, node },
      {
        namespace: "finance",
        serviceAccount: { name: "auditor", uid: "sa-1" },
        pod: { name: "auditor-0", uid: "pod-1" },
        node: "node-1",
      },
    );
    const last = asked.at(-1) ?? assert.fail();
    assert.equal(last.path, "/apis/authentication.k8s.io/v1/tokenreviews");
    assert.equal(last.authorization, "Bearer own-token");
    assert.deepEqual(JSON.parse(last.body), {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token: jwt, audiences: ["istio-ca"] },
    });
  });
});

test("a yes is remembered for its time and no longer than the token lives; a no is not", async () => {
  let nowMs = Date.now();
  await withReviewer({ cacheMs: 10_000, clock: () => nowMs }, async ({ check }) => {
    const long = await token();
    const short = await token({ exp: Math.floor(nowMs / 1000) + 4 });
    const count = async (jwt: string) => {
      const before = asked.length;
      await check(jwt).catch(() => {});
      return asked.length - before;
    };
    assert.deepEqual([await count(long), await count(long), await count(short)], [1, 0, 1]);
    nowMs += 5000;
    assert.deepEqual([await count(long), await codeOf(check(short))], [0, "BW_TOKEN_EXPIRED"]);
    nowMs += 6000;
    assert.equal(await count(long), 1);
    answer = review({ authenticated: false });
    const bad = await token();
    assert.deepEqual([await count(bad), await count(bad)], [1, 1]);
  });
});

test("those who show one token at the same time share one review", async () => {
  await withReviewer({}, async ({ check }) => {
    const jwt = await token();
    const before = asked.length;
    await Promise.all([check(jwt), check(jwt), check(jwt)]);
    assert.equal(asked.length, before + 1);
  });
});

const NOT_ASKED: readonly (readonly [string, string, () => Promise<string>])[] = [
  ["no JWT", "BW_TOKEN_MALFORMED", async () => "x.y.z"],
  ["another issuer", "BW_TOKEN_ISSUER", () => token({ iss: "https://other.example" })],
  ["another audience", "BW_TOKEN_AUDIENCE", () => token({ aud: ["api"] })],
  ["a past end", "BW_TOKEN_EXPIRED", () => token({ exp: 1 })],
  ["no beginning", "BW_TOKEN_CLAIMS", () => token({ iat: undefined })],
];
for (const [what, code, make] of NOT_ASKED)
  test(`an API server is not asked about a token with ${what}: ${code}`, async () => {
    await withReviewer({}, async ({ check }) => {
      const before = asked.length;
      assert.equal(await codeOf(check(await make())), code);
      assert.equal(asked.length, before);
    });
  });

const plain =
  (status: number, body: string): Answer =>
  (_request, response) =>
    response.writeHead(status).end(body);
const ANSWERS: readonly (readonly [string, string, Answer])[] = [
  ["a no", "BW_TOKEN_REVIEW_REFUSED", review({ authenticated: false })],
  ["a yes with an error", "BW_TOKEN_REVIEW_REFUSED", review({ error: "but" })],
  ["a yes that is text", "BW_TOKEN_REVIEW_REFUSED", review({ authenticated: "true" })],
  ["a yes for another audience", "BW_TOKEN_AUDIENCE", review({ audiences: ["api"] })],
  ["a yes of a server that knows no audiences", "BW_TOKEN_AUDIENCE", review({ audiences: undefined })],
  ["a user", "BW_TOKEN_CLAIMS", review({}, { username: "admin", groups: ["system:masters"] })],
  [
    "another account than the token's",
    "BW_TOKEN_CLAIMS",
    review({}, { username: "system:serviceaccount:finance:payroll" }),
  ],
  [
    "an account's name outside of their group",
    "BW_TOKEN_CLAIMS",
    review({}, { groups: ["system:authenticated"] }),
  ],
  ["no pod", "BW_TOKEN_CLAIMS", review({}, { extra: {} })],
  [
    "two pods",
    "BW_TOKEN_CLAIMS",
    review(
      {},
      {
        extra: {
          "authentication.kubernetes.io/pod-name": ["a", "b"],
          "authentication.kubernetes.io/pod-uid": ["1"],
        },
      },
    ),
  ],
  ["403", "BW_TOKEN_REVIEW_UNAVAILABLE", plain(403, "{}")],
  ["500", "BW_TOKEN_REVIEW_UNAVAILABLE", plain(500, "boom")],
  ["no JSON", "BW_TOKEN_REVIEW_UNAVAILABLE", plain(201, "<html>")],
  ["JSON of another kind", "BW_TOKEN_REVIEW_REFUSED", plain(201, "[]")],
  ["a megabyte", "BW_TOKEN_REVIEW_UNAVAILABLE", plain(201, " ".repeat(1 << 20))],
  [
    "half an answer",
    "BW_TOKEN_REVIEW_UNAVAILABLE",
    (_request, response) => {
      response.writeHead(201, { "content-length": "1000" });
      response.write("{", () => response.destroy());
    },
  ],
];
for (const [what, code, given] of ANSWERS)
  test(`an API server that answers with ${what} vouches for nobody: ${code}`, async () => {
    await withReviewer({}, async ({ check }) => {
      answer = given;
      const jwt = await token();
      const error = await check(jwt).then(
        () => assert.fail("accepted"),
        (caught: unknown) => caught,
      );
      assert.ok(error instanceof BulwarkError);
      assert.equal(error.code, code);
      assert.ok(!error.message.includes(jwt.slice(0, 20)));
    });
  });

test("an API server that does not answer in time is not waited for", async () => {
  await withReviewer({ timeoutMs: 50 }, async ({ check }) => {
    answer = () => {};
    assert.equal(await codeOf(check(await token())), "BW_TOKEN_REVIEW_UNAVAILABLE");
  });
});

test("an API server that another authority vouches for is not told the token", async () => {
  await withReviewer({ caPem: () => serverPair("localhost").caPem }, async ({ check }) => {
    const before = asked.length;
    assert.equal(await codeOf(check(await token())), "BW_TOKEN_REVIEW_UNAVAILABLE");
    assert.equal(asked.length, before);
  });
});

test("at most 64 reviews are under way; the next is refused at once", async () => {
  await withReviewer({}, async ({ check }) => {
    const held: ServerResponse[] = [];
    answer = (_request, response) => held.push(response);
    const waiting = await Promise.all(Array.from({ length: 64 }, () => token()));
    const checks = waiting.map((jwt) => codeOf(check(jwt)));
    assert.equal(await codeOf(check(await token())), "BW_TOKEN_REVIEW_UNAVAILABLE");
    answer = (_request, response) => response.destroy();
    for (const response of held) response.destroy();
    for (const code of await Promise.all(checks.slice(0, 8)))
      assert.equal(code, "BW_TOKEN_REVIEW_UNAVAILABLE");
    server.closeAllConnections();
    await Promise.all(checks);
  });
});
