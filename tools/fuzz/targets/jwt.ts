import { createPrivateKey, createPublicKey, hash, type KeyObject } from "node:crypto";
import { decodeJwt, importJWK, type JWK, type JWTHeaderParameters, jwtVerify, SignJWT } from "jose";
import type { HttpRequest as Request } from "../../../src/policy/http-request.ts";
import { HttpRequest } from "../../../src/policy/http-request.ts";
import type { JwtPolicy } from "../../../src/policy/jwt/jwt-policy.ts";
import type { Claims } from "../../../src/policy/jwt/jwt-result.ts";
import { splitSpaceDelimited, verifyRequestJwt } from "../../../src/policy/jwt/verify-jwt.ts";
import { policyOf, resource } from "../../../test/policy/inbound-fixture.ts";
import { type FuzzTarget, law } from "../target.ts";

const NOW = 1_800_000_000;
const LIST_CLAIMS: ReadonlySet<string> = new Set(["scope", "permission"]);

interface Key {
  readonly private: KeyObject;
  readonly jwk: JWK;
}

/** The same keys in every run, so that saved tokens stay good; they are of no other use. */
function ecKey(kid: string): Key {
  const order = Buffer.from("30770201010420", "hex");
  const curve = Buffer.from("a00a06082a8648ce3d030107", "hex");
  const body = Buffer.concat([order.subarray(2), hash("sha256", `fuzz ${kid}`, "buffer"), curve]);
  const der = Buffer.concat([Buffer.from([0x30, body.length]), body]);
  return keyOf(createPrivateKey({ key: der, format: "der", type: "sec1" }), kid, "ES256");
}

function edKey(kid: string): Key {
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  const der = Buffer.concat([prefix, hash("sha256", `fuzz ${kid}`, "buffer")]);
  return keyOf(createPrivateKey({ key: der, format: "der", type: "pkcs8" }), kid, "EdDSA");
}

function keyOf(key: KeyObject, kid: string, alg: string): Key {
  return { private: key, jwk: { ...createPublicKey(key).export({ format: "jwk" }), kid, alg } as JWK };
}

/** The head of a request with tokens: the target in the first line, header lines after it. */
export const jwtTarget: FuzzTarget = {
  name: "jwt",
  about:
    "requests with tokens: claims are believed only of a token that jose verifies with the same keys, bit for bit as signed",
  open: async () => {
    const keys = [ecKey("k1"), edKey("k2"), ecKey("")];
    const stranger = ecKey("stranger");
    const good = await Promise.all(
      GOOD.map(([key, header, claims]) => signed(keys[key] ?? stranger, header, claims)),
    );
    const bad = await badTokens(stranger, keys);
    const policies = policiesFor(keys);
    return {
      seeds: [...good, ...bad]
        .flatMap((token, index) => requestsWith(token, good[(index + 1) % good.length] ?? ""))
        .map((text) => Buffer.from(text, "latin1")),
      words: wordsOf([...good, ...bad]),
      maxInputBytes: 16 * 1024,
      check: async (input) => {
        const request = requestOf(input.toString("latin1"));
        if (request === null) return "no request";
        const outcomes: string[] = [];
        for (const policy of policies) outcomes.push(await checkPolicy(policy, request, keys, good));
        return outcomes.join(" ");
      },
    };
  },
};

const GOOD: readonly (readonly [
  key: number,
  header: Omit<JWTHeaderParameters, "alg">,
  claims: Record<string, unknown>,
])[] = [
  [0, { kid: "k1" }, { iss: "a", sub: "s", aud: "app", exp: NOW + 600 }],
  [0, {}, { iss: "a", scope: "read write", groups: ["g"], nested: { a: [1] }, nbf: NOW - 5, iat: NOW }],
  [1, { kid: "k2", typ: "JWT" }, { iss: "b", aud: ["x", "https://app/"] }],
  [2, {}, { iss: "b", sub: "é", aud: "app" }],
  [1, { kid: "k2" }, { iss: "a" }],
];

function signed(
  { private: key, jwk }: Key,
  header: object,
  claims: Record<string, unknown>,
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ ...header, alg: jwk.alg ?? "" }).sign(key);
}

/** Forged in the ways that are known. */
async function badTokens(stranger: Key, keys: readonly Key[]): Promise<string[]> {
  const claims = { iss: "a", aud: "app" };
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const publicKey = new TextEncoder().encode(JSON.stringify(keys[0]?.jwk));
  return [
    await signed(stranger, { kid: "k1" }, claims),
    await signed(stranger, { jwk: stranger.jwk }, claims),
    await signed(keys[0] ?? stranger, { kid: "k1" }, { ...claims, exp: NOW - 100 }),
    await signed(keys[0] ?? stranger, { kid: "k1" }, { ...claims, nbf: NOW + 100 }),
    await signed(keys[0] ?? stranger, { kid: "k9" }, claims),
    await new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "k1" }).sign(publicKey),
    `${part({ alg: "none" })}.${part(claims)}.`,
    `${part({ alg: "none", kid: "k1" })}.${part(claims)}.AA`,
    `${part({ alg: "ES256", kid: "k1" })}.${part(claims)}.${Buffer.alloc(64).toString("base64url")}`,
    `${part({ alg: "ES256", kid: "k1", b64: false, crit: ["b64"] })}.${part(claims)}.AA`,
  ];
}

function policiesFor(keys: readonly Key[]): JwtPolicy[] {
  const jwks = JSON.stringify({
    keys: keys.map(({ jwk: { kid, ...jwk } }) => (kid === "" ? jwk : { ...jwk, kid })),
  });
  const first = JSON.stringify({ keys: [keys[0]?.jwk] });
  const places = {
    fromHeaders: [{ name: "x-token" }, { name: "authorization", prefix: "Bearer " }],
    fromParams: ["t"],
    fromCookies: ["c"],
  };
  return [
    [{ issuer: "a", jwks: first, audiences: ["app"] }],
    [
      { issuer: "a", jwks, ...places },
      {
        issuer: "b",
        jwks,
        ...places,
        forwardOriginalToken: true,
        outputClaimToHeaders: [{ header: "x-sub", claim: "sub" }],
      },
    ],
    [{ issuer: "b", jwks, audiences: ["app"], fromHeaders: [{ name: "x-token", prefix: "T " }] }],
  ].map((jwtRules, index) => {
    const { jwt } = policyOf([resource("RequestAuthentication", `jwt-${index}`, { jwtRules })]);
    if (jwt === null) throw new Error("BUG: a policy without rules for tokens");
    return jwt;
  });
}

function requestsWith(token: string, other: string): string[] {
  return [
    `/\nauthorization: Bearer ${token}`,
    `/?a=b&t=${token}\nx-token: ${other}`,
    `/x\nx-token: T ${token}\nauthorization: Bearer ${other}\ncookie: b=1; c="${token}"`,
  ];
}

function wordsOf(tokens: readonly string[]): Buffer[] {
  const parts = tokens.flatMap((token) => token.split("."));
  const syntax = [
    "authorization: ",
    "Bearer ",
    "x-token: ",
    "cookie: ",
    "c=",
    "T ",
    "?t=",
    "&t=",
    "%2e",
    "\n",
    ".",
    "..",
    "=",
    ",",
    ";",
    '"',
    "A",
    "_",
    "-",
    "+",
    "/",
    "é",
    " ",
  ];
  return [...new Set([...tokens, ...parts, ...syntax])]
    .filter((word) => word !== "")
    .map((word) => Buffer.from(word, "latin1"));
}

function requestOf(text: string): Request | null {
  const [target = "", ...lines] = text.split("\n");
  const headers = lines.flatMap((line) => {
    const colon = line.indexOf(":");
    // As heads are read: names in lower case, values without outer white space.
    return colon < 1
      ? []
      : [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")];
  });
  return HttpRequest.read("BASE", "GET", target, "h", headers);
}

async function checkPolicy(
  policy: JwtPolicy,
  request: Request,
  keys: readonly Key[],
  good: readonly string[],
): Promise<string> {
  const noKeys = () => Promise.reject(new Error("no keys"));
  const result = await verifyRequestJwt(policy, request, { fetchJwks: noKeys, nowSeconds: () => NOW });
  request.jwt = result;
  request.jwt = undefined;
  const { claims, refusal, setHeaders } = result;
  if (claims === null) {
    law(setHeaders.length === 0, "no header is made of a token that is not believed");
    return refusal?.cause ?? "none";
  }
  law(refusal === null, "a refused request has no claims");
  const texts = [...request.headers, request.path].flatMap((text) => [text, decoded(text)]);
  const believed: string[] = [];
  for (const token of new Set(texts.flatMap(tokensIn)))
    if (await isBelievable(token, keys, claims)) believed.push(token);
  law(believed.length > 0, "claims are those of a token that jose verifies", () => JSON.stringify(claims));
  law(
    believed.some((token) => good.some((own) => sameBytes(own, token))),
    "no token with a bit changed is believed",
    () => believed.join(" "),
  );
  return "believed";
}

/** Dots with nothing between them do not count, as in Envoy. One look at each character: a long part without a dot is no token's. */
function tokensIn(text: string): string[] {
  return (text.match(/[\w.-]+/g) ?? []).flatMap((run) => {
    const parts = run.split(".").filter((part) => part !== "");
    const tokens = Math.floor(parts.length / 3);
    return Array.from({ length: tokens }, (_, index) => parts.slice(3 * index, 3 * index + 3).join("."));
  });
}

function decoded(text: string): string {
  return text.replace(/%([0-9a-fA-F]{2})/g, (_match, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

async function isBelievable(token: string, keys: readonly Key[], claims: Claims): Promise<boolean> {
  for (const { jwk } of keys) {
    try {
      await jwtVerify(token, await importJWK(jwk), {
        algorithms: [jwk.alg ?? ""],
        currentDate: new Date(NOW * 1000),
        clockTolerance: 60,
      });
      if (JSON.stringify(splitSpaceDelimited(decodeJwt(token), LIST_CLAIMS)) === JSON.stringify(claims))
        return true;
    } catch {
      // Another key may fit.
    }
  }
  return false;
}

/** ECDSA's signatures differ from run to run: of those that were saved only the signed part can be told. */
function sameBytes(own: string, token: string): boolean {
  const signedPart = (text: string): string => text.slice(0, text.lastIndexOf("."));
  return signedPart(own) === signedPart(token);
}
