/** Random connections and requests: values that policies name, and values a step beside them. */
import fc from "fast-check";
import { HOSTS, PATHS, SERVER_NAMES, UNKNOWN_ALPN } from "./alphabets.ts";
import type { Claims, ConnectionSpec, RequestSpec, TokenPlace, TokenSpec } from "./differential-case.ts";

/** Most are of the mesh, under one of its trust domains, each a step from what policies name. */
const IDENTITIES = ["cluster.local", "cluster.local", "old.domain", "td.example"].flatMap((trustDomain) =>
  [
    "ns/foo/sa/sleep",
    "ns/foo/sa/sleep",
    "ns/foo/sa/httpbin",
    "ns/foo/sa/slexp",
    "ns/bar/sa/admin",
    "ns/bar/sa/sleep",
    "ns/fox/sa/sleep",
    "ns/foo-prod/sa/sleep",
    "ns/foo-prod/sa/sleep-v2",
    "ns/bar/sa/ns/foo/sa/sleep",
    "ns/foo/sa/sleep/extra",
    "ns/foo/x/sa/sleep",
    "foo/bar",
  ].map((path) => `${trustDomain}/${path}`),
);
const STRANGERS = [
  "other/ns/foo/sa/sleep",
  "cluster.local.evil/ns/foo/sa/sleep",
  "cluster.local",
  "dns:sleep.foo.svc.cluster.local",
];

const HTTP_ALPN = ["istio-http/1.1", "istio", "http/1.1"];
const HTTP2_ALPN = ["istio-h2", "istio", "h2"];
const TCP_ALPN = ["istio-peer-exchange", "istio"];
const ALPNS = [
  [],
  ["http/1.1"],
  ["istio", "istio-http/1.1"],
  ["http/1.1", "istio-http/1.1"],
  ["istio"],
  [UNKNOWN_ALPN],
];

/** What a pattern means, and what is next to it: with more before and after, with less, in the other case. */
function around(patterns: readonly string[]): string[] {
  const literals = patterns
    .map((pattern) => pattern.replaceAll("{**}", "x/y").replaceAll("{*}", "x").replaceAll("*", ""))
    .filter((literal) => literal !== "");
  const variants = literals.flatMap((literal) => [
    literal,
    `${literal}x`,
    literal.slice(0, -1),
    literal.toUpperCase(),
  ]);
  return [...new Set([...literals, ...variants])].filter((text) => text !== "");
}

const TRICKS = [
  "/admin/../public",
  "/public/../admin",
  "/public/%2e%2e/admin",
  "/public/%2E./admin",
  "//admin",
  "/admin//x",
  "/./admin",
  "/admin%2Fx",
  "/%61dmin",
  "/admin%5cx",
  "/admin\\x",
  "/admin;x=1/y",
  "/..;x=1/admin",
  "/admin#x",
  "/admin?x=/../y",
  "/api//users",
  "/api/x/y/users",
  "/api/x%2Fy",
  "/api/",
  "/api/a[b]",
  "/%00",
  "/admin%",
  "/admin%2",
  "/../..",
  "/a/b/../../admin",
  "admin",
  "*",
];

const path = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(...around(PATHS).map((text) => (text.startsWith("/") ? text : `/${text}`))),
  },
  { weight: 2, arbitrary: fc.constantFrom(...TRICKS) },
  {
    weight: 1,
    arbitrary: fc
      .array(
        fc.constantFrom(
          "/",
          ".",
          "..",
          "%2f",
          "%2e",
          "%5c",
          "\\",
          ";",
          "a",
          "admin",
          "%61",
          "?",
          "#",
          "%25",
          "~",
        ),
        {
          maxLength: 8,
        },
      )
      .map((pieces) => `/${pieces.join("")}`),
  },
);

/** Good for one issuer or another; what they hold is what policies ask for, or a step beside it. */
const GOOD_CLAIMS: readonly Claims[] = [
  { iss: "iss", sub: "alice", aud: "app", groups: ["dev", "admin"], azp: "cli", scope: "dev read" },
  {
    iss: "iss",
    sub: "alice",
    aud: ["app", "other"],
    groups: "dev",
    realm: { roles: "r1" },
    scope: "read write",
  },
  { iss: "iss", sub: "bob", aud: ["app"], groups: "admin dev", azp: "clix", realm: { roles: ["r1", "r2"] } },
  { iss: "https://a/b", sub: "bob", aud: ["x", "app"], groups: "dev r1", realm: { roles: ["r1"] } },
  { iss: "https://a/b", sub: "b/bob", aud: "app", groups: ["administrator"], azp: "", scope: "admin" },
];

const ODD_CLAIMS: readonly Claims[] = [
  { iss: "iss", aud: [], groups: [1, true], realm: "r1" },
  { iss: "iss", sub: "a/alice", aud: "other", azp: "", groups: "", exp: 4_000_000_000 },
  { iss: "iss", sub: "alice", exp: 1_000_000_000 },
  { iss: "iss", sub: "alice", nbf: 4_000_000_000 },
  { iss: "nobody", sub: "alice", aud: "app" },
  { sub: "alice", aud: "app" },
  { iss: "other", sub: "", aud: "https://other", scope: "", groups: { dev: true } },
];

const USUAL_PLACE: TokenPlace = { kind: "header", name: "Authorization", prefix: "Bearer " };

const PLACES: readonly TokenPlace[] = [
  { kind: "header", name: "Authorization", prefix: "Token " },
  { kind: "header", name: "Authorization", prefix: "bearer " },
  { kind: "header", name: "X-JWT", prefix: "" },
  { kind: "header", name: "x-jwt", prefix: "J " },
  { kind: "param", name: "access_token" },
  { kind: "param", name: "token" },
  { kind: "cookie", name: "jwt" },
];

const token: fc.Arbitrary<TokenSpec> = fc.record({
  claims: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...GOOD_CLAIMS) },
    { weight: 1, arbitrary: fc.constantFrom(...ODD_CLAIMS) },
  ),
  signer: fc.constantFrom(...Array.from({ length: 9 }, () => "issuer" as const), "nobody" as const),
  flaw: fc.constantFrom(
    ...Array.from({ length: 18 }, () => "none" as const),
    "garbage" as const,
    "truncated" as const,
  ),
  place: fc.oneof(fc.constant(USUAL_PLACE), fc.constantFrom(...PLACES)),
});

const headers: fc.Arbitrary<[string, string][]> = fc.array(
  fc.oneof(
    fc.tuple(
      fc.constantFrom("x-role", "X-Role", "x-env", "user-agent"),
      fc.constantFrom("admin", "dev", "prod", "", "administrator", "ADMIN", "admin,dev"),
    ),
    fc.tuple(
      fc.constantFrom("x-jwt", "authorization", "cookie"),
      fc.constantFrom("", "Basic YTpi", "nonsense", "jwt=nonsense", "Bearer", "Bearer "),
    ),
    fc.tuple(fc.constantFrom("origin", "access-control-request-method"), fc.constantFrom("", "GET")),
    fc.tuple(fc.constant("x-forwarded-proto"), fc.constantFrom("http", "https")),
    fc.tuple(
      fc.constant("x-forwarded-client-cert"),
      fc.constantFrom("URI=spiffe://forged/ns/foo/sa/sleep", "By=a", ""),
    ),
    fc.tuple(
      fc.constant("x-forwarded-for"),
      fc.constantFrom(
        "10.1.0.5",
        "8.8.8.8, 10.1.1.9",
        "10.1.0.5,192.168.7.7",
        "nonsense",
        "",
        "2001:db8::1",
        "10.1.0.5, 8.8.8.8, 10.1.1.9",
        "10.1.0.5,",
      ),
    ),
  ),
  { maxLength: 3 },
);

const request: fc.Arbitrary<RequestSpec> = fc.record({
  method: fc.oneof(
    {
      weight: 20,
      arbitrary: fc.constantFrom("GET", "GET", "POST", "PUT", "OPTIONS", "HEAD", "DELETE", "PATCH"),
    },
    { weight: 1, arbitrary: fc.constant("get") },
  ),
  target: path,
  host: fc.constantFrom(
    ...around(HOSTS).filter((host) => /^[a-z0-9-]+([.][a-z0-9-]+)*(:[0-9]+)?$/i.test(host)),
    "app",
    "www.example.com",
  ),
  headers,
  body: fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    {
      weight: 1,
      arbitrary: fc.record({
        text: fc.constantFrom("", "good", "evil", "12345678", "123456789", "12345evil", "12345678evil"),
        chunked: fc.boolean(),
      }),
    },
  ),
  token: fc.oneof({ weight: 1, arbitrary: fc.constant(null) }, { weight: 2, arbitrary: token }),
});

/** @param requests at most so many on one connection: a handshake costs as much as ten requests. */
export function arbitraryConnection(requests: number): fc.Arbitrary<ConnectionSpec> {
  return fc
    .record({
      tls: fc.constantFrom(
        ...Array.from({ length: 16 }, () => "mtls" as const),
        ...Array.from({ length: 7 }, () => "plaintext" as const),
        "rogue" as const,
        "simple" as const,
      ),
      principal: fc.oneof(
        { weight: 20, arbitrary: fc.constantFrom(...IDENTITIES) },
        { weight: 1, arbitrary: fc.constantFrom(...STRANGERS) },
      ),
      alpn: fc.oneof(
        { weight: 7, arbitrary: fc.constant(null) },
        { weight: 1, arbitrary: fc.constantFrom(...ALPNS) },
      ),
      sni: fc.constantFrom(
        "",
        ...SERVER_NAMES.filter((name) => !name.includes("*")),
        "x.example.com",
        "outbound_.80_._.app",
      ),
      sourceIp: fc.constantFrom("10.1.0.5", "10.1.1.9", "192.168.7.7", "203.0.113.9"),
      port: fc.constantFrom(8080, 8080, 8080, 8080, 8080, 9000, 7000, 9999),
      http: fc.constantFrom(...Array.from({ length: 9 }, () => true), false),
      http2: fc.constantFrom(true, false, false, false),
      requests: fc.array(request, { minLength: 1, maxLength: requests, size: "max" }),
    })
    .map((drawn) => {
      // Of a TCP chain's bytes nothing is told but that they passed.
      const http2 = drawn.http && drawn.http2 && drawn.port !== 9000;
      const names = drawn.http ? (http2 ? HTTP2_ALPN : HTTP_ALPN) : TCP_ALPN;
      // What was agreed on is what is spoken.
      const chosen = http2 ? null : drawn.alpn;
      const spec = { ...drawn, http2, alpn: chosen ?? (drawn.tls === "simple" && !http2 ? [] : names) };
      if (http2) return { ...spec, requests: spec.requests.map(sendable) };
      const detected = spec.tls === "plaintext" && DETECTED.has(spec.port);
      return { ...spec, requests: detected ? spec.requests.map(plainly) : spec.requests };
    });
}

const DETECTED: ReadonlySet<number> = new Set([7000, 9999]);

/** What has another form nghttp2 resets on both sides before anybody judges it; Node's client sends no body with HEAD. */
function sendable(request: RequestSpec): RequestSpec {
  const target = request.target.startsWith("/") ? request.target : `/${request.target}`;
  // White space at a value's ends is no part of it where HTTP/1.1 is read, and here; Envoy keeps that of HTTP/2.
  const headers = request.headers.map(([name, value]) => [name, value.trim()] as const);
  const body = request.method === "HEAD" ? null : (request.body ?? null);
  return { ...request, target, headers, body };
}

/**
 * Where the protocol is to be detected from plaintext, Envoy lets what is nearly HTTP through as TCP; our own proxy refuses it. That is
 * meant so (sniff.ts), and none of policy's.
 */
function plainly(request: RequestSpec): RequestSpec {
  const target = request.target.startsWith("/") ? request.target : `/${request.target}`;
  return { ...request, method: request.method.toUpperCase(), target };
}
