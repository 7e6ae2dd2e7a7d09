import { Connection } from "../../src/policy/connection.ts";
import { HttpRequest } from "../../src/policy/http-request.ts";
import { NO_TOKEN } from "../../src/policy/jwt/jwt-result.ts";
import { fresh, freshRequest } from "./engine.ts";
import type { BenchRequest } from "./workload.ts";

/** What a proxy has in hand when it decides. */
export interface ParsedRequest {
  readonly connection: Connection;
  readonly request: HttpRequest;
}

/** Each on a connection of its own, so that callers are as cold as the rest whatever the number of rules. */
export function parsed(asked: BenchRequest): ParsedRequest {
  const { principal, method, path, role, group } = freshRequest(asked);
  const headers = ["accept", "*/*", "user-agent", "bench/1.0", "x-role", role].map(fresh);
  const request = HttpRequest.read("BASE", method, path, "shop", headers);
  if (request === null) throw new Error(`${path} is no request`);
  request.jwt = { ...NO_TOKEN, claims: { iss: "https://issuer.example", sub: "user", group } };
  const connection = new Connection({
    tls: "mtls",
    principal,
    sourceIp: "10.1.0.5",
    destinationIp: "10.20.0.5",
    destinationPort: 8080,
    alpn: ["istio-http/1.1", "istio", "http/1.1"],
  });
  return { connection, request };
}
