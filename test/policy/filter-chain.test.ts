import assert from "node:assert/strict";
import { test } from "node:test";
import { type FilterChain, sidecarChain } from "../../src/policy/filter-chain.ts";
import type { MutualTlsMode } from "../../src/policy/peer-authentication.ts";
import type { ChainProtocol } from "../../src/policy/port-protocol.ts";
import { NO_CHAIN, TLS_TO_PLAINTEXT_PORT } from "../../src/policy/verdict-catalogue.ts";

const CHAINS = {
  "mutual HTTP": { tls: "terminate", protocol: "http", inspectsTls: true, refusal: null },
  "mutual TCP": { tls: "terminate", protocol: "tcp", inspectsTls: true, refusal: null },
  "plain HTTP": { tls: "none", protocol: "http", inspectsTls: true, refusal: null },
  "plain TCP": { tls: "none", protocol: "tcp", inspectsTls: true, refusal: null },
  passed: { tls: "pass", protocol: "tcp", inspectsTls: true, refusal: null },
  "passed unseen": { tls: "pass", protocol: "tcp", inspectsTls: false, refusal: null },
  "TLS to plain HTTP": {
    tls: "none",
    protocol: "http",
    inspectsTls: true,
    refusal: TLS_TO_PLAINTEXT_PORT,
  },
  none: { tls: "none", protocol: "tcp", inspectsTls: true, refusal: NO_CHAIN },
} as const satisfies Readonly<Record<string, FilterChain>>;

type Came =
  | "plaintext HTTP"
  | "other plaintext"
  | "TLS without ALPN"
  | "TLS of others"
  | "TLS, istio-http"
  | "TLS, istio";

const FIRST_BYTES: Readonly<Record<Came, Parameters<typeof sidecarChain>[2]>> = {
  "plaintext HTTP": { tls: false, alpn: [], speaksHttp: true },
  "other plaintext": { tls: false, alpn: [], speaksHttp: false },
  "TLS without ALPN": { tls: true, alpn: [], speaksHttp: true },
  "TLS of others": { tls: true, alpn: ["h2", "http/1.1"], speaksHttp: false },
  "TLS, istio-http": { tls: true, alpn: ["istio-http/1.1", "istio", "http/1.1"], speaksHttp: false },
  "TLS, istio": { tls: true, alpn: ["istio-peer-exchange", "istio"], speaksHttp: true },
};

type Outcomes = Readonly<Record<Came, keyof typeof CHAINS>>;
const only = (chain: keyof typeof CHAINS): Pick<Outcomes, "TLS, istio-http" | "TLS, istio"> => ({
  "TLS, istio-http": chain,
  "TLS, istio": chain,
});
const anyTls = (chain: keyof typeof CHAINS): Omit<Outcomes, "plaintext HTTP" | "other plaintext"> => ({
  "TLS without ALPN": chain,
  "TLS of others": chain,
  ...only(chain),
});
const anyPlaintext = (chain: keyof typeof CHAINS): Pick<Outcomes, "plaintext HTTP" | "other plaintext"> => ({
  "plaintext HTTP": chain,
  "other plaintext": chain,
});
const detected = { "plaintext HTTP": "plain HTTP", "other plaintext": "plain TCP" } as const;
const noMeshAlpn = (chain: keyof typeof CHAINS): Pick<Outcomes, "TLS without ALPN" | "TLS of others"> => ({
  "TLS without ALPN": chain,
  "TLS of others": chain,
});

const TABLE: readonly (readonly [law: string, MutualTlsMode, ChainProtocol, Outcomes])[] = [
  [
    "STRICT, HTTP: all TLS is the mesh's, no plaintext is taken",
    "STRICT",
    "http",
    { ...anyPlaintext("none"), ...anyTls("mutual HTTP") },
  ],
  [
    "STRICT, TCP: all TLS is the mesh's, no plaintext is taken",
    "STRICT",
    "tcp",
    { ...anyPlaintext("none"), ...anyTls("mutual TCP") },
  ],
  [
    "STRICT, detected: only HTTP's names make it HTTP",
    "STRICT",
    "auto",
    { ...anyPlaintext("none"), ...anyTls("mutual TCP"), "TLS, istio-http": "mutual HTTP" },
  ],
  [
    "PERMISSIVE, HTTP: TLS without the mesh's ALPN finds no chain",
    "PERMISSIVE",
    "http",
    { ...anyPlaintext("plain HTTP"), ...noMeshAlpn("none"), ...only("mutual HTTP") },
  ],
  [
    "PERMISSIVE, TCP: TLS without the mesh's ALPN is the application's own",
    "PERMISSIVE",
    "tcp",
    { ...anyPlaintext("plain TCP"), ...noMeshAlpn("passed"), ...only("mutual TCP") },
  ],
  [
    "PERMISSIVE, detected: by the first bytes, or by the mesh's ALPN",
    "PERMISSIVE",
    "auto",
    {
      ...detected,
      ...noMeshAlpn("passed"),
      "TLS, istio-http": "mutual HTTP",
      "TLS, istio": "mutual TCP",
    },
  ],
  [
    "DISABLE, HTTP: TLS cannot be spoken to",
    "DISABLE",
    "http",
    { ...anyPlaintext("plain HTTP"), ...anyTls("TLS to plain HTTP") },
  ],
  [
    "DISABLE, TCP: nobody looks for TLS",
    "DISABLE",
    "tcp",
    { ...anyPlaintext("plain TCP"), ...anyTls("passed unseen") },
  ],
  ["DISABLE, detected: nobody looks for TLS", "DISABLE", "auto", { ...detected, ...anyTls("passed unseen") }],
];

for (const [law, mode, protocol, outcomes] of TABLE) {
  test(`sidecarChain(): ${law}`, () => {
    for (const came of Object.keys(outcomes) as Came[]) {
      const chain = sidecarChain(mode, protocol, FIRST_BYTES[came]);
      assert.deepEqual(chain, CHAINS[outcomes[came]], came);
      assert.ok(Object.isFrozen(chain));
    }
  });
}

const taken = (mode: MutualTlsMode, ...alpn: readonly string[]): string =>
  sidecarChain(mode, "auto", { tls: true, alpn, speaksHttp: true }).protocol;

test("sidecarChain(): each name of the mesh's ALPN says HTTP or TCP", () => {
  for (const name of ["istio-http/1.0", "istio-http/1.1", "istio-h2"]) {
    assert.equal(taken("PERMISSIVE", name), "http", name);
    assert.equal(taken("STRICT", name), "http", name);
  }
  for (const name of ["istio-peer-exchange", "istio"]) {
    const chain = sidecarChain("PERMISSIVE", "auto", { tls: true, alpn: [name], speaksHttp: true });
    assert.deepEqual(chain, CHAINS["mutual TCP"], name);
  }
});

test("sidecarChain(): of several names PERMISSIVE takes the client's first that the mesh knows, STRICT one of HTTP wherever it is", () => {
  assert.equal(taken("PERMISSIVE", "h2", "istio", "istio-h2"), "tcp");
  assert.equal(taken("PERMISSIVE", "h2", "istio-h2", "istio"), "http");
  assert.equal(taken("STRICT", "h2", "istio", "istio-h2"), "http");
});
