/** Which server of a gateway takes a connection: the one that routing chooses, as identity and authorization see it. */
import type { Mesh, Workload } from "../model/mesh.ts";
import type { FilterChain, FirstBytes } from "./filter-chain.ts";
import { compileGateway } from "./outbound/compile-gateway.ts";
import type { GatewayPolicy, GatewayServer } from "./outbound/types.ts";
import type { Verdict } from "./verdict.ts";
import { NO_CHAIN, NO_LISTENER, PLAINTEXT_TO_TLS_PORT, TLS_TO_PLAINTEXT_PORT } from "./verdict-catalogue.ts";

/** The servers of a gateway, by the port that its pod listens on. */
export interface GatewayChains {
  /** INVARIANT: routing's own choice, so that what is authorized is what is forwarded. */
  readonly selectServer: GatewayPolicy["selectServer"];
  readonly ports: ReadonlySet<number>;
}

function refusal(verdict: Verdict): FilterChain {
  return Object.freeze({ tls: "none", protocol: "tcp", inspectsTls: true, refusal: verdict });
}

const CLOSED = refusal(NO_LISTENER);
const NO_SERVER = refusal(NO_CHAIN);
const NOT_TLS = refusal(PLAINTEXT_TO_TLS_PORT);
const UNEXPECTED_TLS = refusal(TLS_TO_PLAINTEXT_PORT);

function accepting(
  tls: FilterChain["tls"],
  protocol: FilterChain["protocol"],
  inspectsTls: boolean,
): FilterChain {
  return Object.freeze({ tls, protocol, inspectsTls, refusal: null });
}

const PLAIN_HTTP = accepting("none", "http", true);
const PLAIN_TCP = accepting("none", "tcp", true);
/** Opaque TCP servers take TLS as bytes; HTTP ones cannot read it. */
const UNSEEN_TLS = accepting("pass", "tcp", false);
const PASSED = accepting("pass", "tcp", true);
const MUTUAL_HTTP = accepting("terminate", "http", true);
const MUTUAL_TCP = accepting("terminate", "tcp", true);
const SIMPLE_HTTP = accepting("terminate-simple", "http", true);
const SIMPLE_TCP = accepting("terminate-simple", "tcp", true);

/** @param sni in lower case; empty for none. */
export function gatewayChain(
  chains: GatewayChains,
  port: number,
  first: FirstBytes,
  sni: string,
): FilterChain {
  if (!chains.ports.has(port)) return CLOSED;
  const server = chains.selectServer(port, first.tls && sni !== "" ? sni : undefined);
  if (server === undefined) return first.tls ? NO_SERVER : NOT_TLS;
  return first.tls ? tlsChain(server) : plainChain(server);
}

function plainChain({ tls, protocol }: GatewayServer): FilterChain {
  if (protocol === "http") return PLAIN_HTTP;
  return tls === undefined ? PLAIN_TCP : NOT_TLS;
}

function tlsChain({ tls, protocol }: GatewayServer): FilterChain {
  if (protocol === "http") return UNEXPECTED_TLS;
  switch (tls?.mode) {
    case undefined:
      return UNSEEN_TLS;
    case "PASSTHROUGH":
    case "AUTO_PASSTHROUGH":
      return PASSED;
    case "ISTIO_MUTUAL":
      return protocol === "https" ? MUTUAL_HTTP : MUTUAL_TCP;
    default:
      return protocol === "https" ? SIMPLE_HTTP : SIMPLE_TCP;
  }
}

export function compileGatewayChains(mesh: Mesh, gateway: Workload): GatewayChains {
  const { listeners: routed, selectServer } = compileGateway(mesh, gateway);
  return {
    selectServer,
    ports: new Set(routed.map(({ port }) => port)),
  };
}
