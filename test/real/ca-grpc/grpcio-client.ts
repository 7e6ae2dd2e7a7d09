import assert from "node:assert/strict";
import { join } from "node:path";
import { program, run } from "../programs.ts";

export interface GrpcioAsk {
  readonly target: string;
  /** PEM of the mesh's roots. */
  readonly ca: string;
  readonly token?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly csr: string;
  /** Seconds. */
  readonly ttl?: number;
  readonly impersonate?: string;
}

export interface GrpcioAnswer {
  readonly code: string;
  readonly details: string;
  readonly chain: readonly string[];
}

/** Has grpcio call CreateCertificate, each on a connection of its own. */
export async function grpcio(...asks: readonly GrpcioAsk[]): Promise<readonly GrpcioAnswer[]> {
  const lines = asks.map((ask) => `${JSON.stringify({ name: "istiod.istio-system.svc", ...ask })}\n`);
  const script = join(import.meta.dirname, "create_certificate.py");
  const { code, stdout, stderr } = await run(program("python"), [script], {
    input: lines.join(""),
    timeoutMs: 120_000,
  });
  assert.equal(code, 0, stderr);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as GrpcioAnswer);
}
