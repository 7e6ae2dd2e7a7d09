import assert from "node:assert/strict";
import { test } from "node:test";
import type { FirstBytes } from "../../src/policy/filter-chain.ts";
import { type GatewayChains, gatewayChain } from "../../src/policy/gateway-chain.ts";
import type { GatewayServer } from "../../src/policy/outbound/types.ts";
import {
  NO_CHAIN,
  NO_LISTENER,
  PLAINTEXT_TO_TLS_PORT,
  TLS_TO_PLAINTEXT_PORT,
} from "../../src/policy/verdict-catalogue.ts";

const TLS: FirstBytes = { tls: true, alpn: [], speaksHttp: false };
const PLAIN: FirstBytes = { tls: false, alpn: [], speaksHttp: true };

/** A gateway with one port, 8443, where one server takes all names; and what it was asked for. */
function chains(server: Partial<GatewayServer> | undefined, asked: unknown[] = []): GatewayChains {
  const only = server === undefined ? undefined : ({ hosts: ["*"], port: 443, ...server } as GatewayServer);
  return {
    ports: new Set([8443]),
    selectServer: (port, name) => {
      asked.push([port, name]);
      return only;
    },
  };
}

const refusal = (verdict: unknown) => ({ tls: "none", protocol: "tcp", inspectsTls: true, refusal: verdict });
const accepted = (tls: string, protocol: string, inspectsTls = true) => ({
  tls,
  protocol,
  inspectsTls,
  refusal: null,
});

/** Server, and what becomes of TLS and of plaintext. */
const SERVERS: readonly (readonly [Pick<GatewayServer, "protocol"> & { mode?: string }, object, object])[] = [
  [{ protocol: "http" }, refusal(TLS_TO_PLAINTEXT_PORT), accepted("none", "http")],
  [{ protocol: "tcp" }, accepted("pass", "tcp", false), accepted("none", "tcp")],
  [{ protocol: "tls" }, accepted("pass", "tcp", false), accepted("none", "tcp")],
  [{ protocol: "tls", mode: "PASSTHROUGH" }, accepted("pass", "tcp"), refusal(PLAINTEXT_TO_TLS_PORT)],
  [{ protocol: "https", mode: "PASSTHROUGH" }, accepted("pass", "tcp"), refusal(PLAINTEXT_TO_TLS_PORT)],
  [{ protocol: "tls", mode: "AUTO_PASSTHROUGH" }, accepted("pass", "tcp"), refusal(PLAINTEXT_TO_TLS_PORT)],
  [{ protocol: "tls", mode: "ISTIO_MUTUAL" }, accepted("terminate", "tcp"), refusal(PLAINTEXT_TO_TLS_PORT)],
  [
    { protocol: "https", mode: "ISTIO_MUTUAL" },
    accepted("terminate", "http"),
    refusal(PLAINTEXT_TO_TLS_PORT),
  ],
  [{ protocol: "tls", mode: "SIMPLE" }, accepted("terminate-simple", "tcp"), refusal(PLAINTEXT_TO_TLS_PORT)],
  [
    { protocol: "https", mode: "SIMPLE" },
    accepted("terminate-simple", "http"),
    refusal(PLAINTEXT_TO_TLS_PORT),
  ],
  [
    { protocol: "https", mode: "MUTUAL" },
    accepted("terminate-simple", "http"),
    refusal(PLAINTEXT_TO_TLS_PORT),
  ],
  [
    { protocol: "https", mode: "OPTIONAL_MUTUAL" },
    accepted("terminate-simple", "http"),
    refusal(PLAINTEXT_TO_TLS_PORT),
  ],
];

for (const [{ protocol, mode }, overTls, plain] of SERVERS)
  test(`a gateway's server of protocol ${protocol}${mode === undefined ? "" : ` in TLS mode ${mode}`}`, () => {
    const server = { protocol, ...(mode === undefined ? {} : { tls: { mode } }) } as Partial<GatewayServer>;
    assert.deepEqual(gatewayChain(chains(server), 8443, TLS, "a"), overTls);
    assert.deepEqual(gatewayChain(chains(server), 8443, PLAIN, ""), plain);
    assert.ok(Object.isFrozen(gatewayChain(chains(server), 8443, TLS, "a")));
  });

test("a gateway has no listener on other ports, no chain for unknown names, and no chain for plaintext where no server takes it", () => {
  assert.deepEqual(gatewayChain(chains({ protocol: "http" }), 443, PLAIN, ""), refusal(NO_LISTENER));
  assert.deepEqual(gatewayChain(chains(undefined), 8443, TLS, "a"), refusal(NO_CHAIN));
  assert.deepEqual(gatewayChain(chains(undefined), 8443, PLAIN, ""), refusal(PLAINTEXT_TO_TLS_PORT));
});

test("the server is asked for by the name that TLS brought; without TLS or a name, by the port alone", () => {
  const asked: unknown[] = [];
  const own = chains({ protocol: "tcp" }, asked);
  for (const [first, sni] of [
    [TLS, "a"],
    [TLS, ""],
    [PLAIN, ""],
    [PLAIN, "a"],
  ] as const)
    gatewayChain(own, 8443, first, sni);
  assert.deepEqual(asked, [
    [8443, "a"],
    [8443, undefined],
    [8443, undefined],
    [8443, undefined],
  ]);
});
