/** Ambient mode, layer 4: what ztunnel decides (the format is in the corpus' README). */
import { findWorkload } from "../../src/model/build-mesh.ts";
import type { Mesh, Workload } from "../../src/model/mesh.ts";
import {
  type AmbientPolicy,
  compileAmbient,
  decideAmbient,
  matchingPolicies,
} from "../../src/policy/ambient/ambient-policy.ts";
import { Connection } from "../../src/policy/connection.ts";
import { loadCase } from "./load-case.ts";
import type { CorpusRunner } from "./runner.ts";

export interface RecordedAmbient {
  readonly id: string;
  readonly from: { readonly principal: string | null; readonly ip: string };
  readonly to: { readonly workload: string; readonly port: number };
}

export interface RecordedAmbientDecision {
  readonly id: string;
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly details: string;
}

export const ambientRunner: CorpusRunner = {
  corpus: "corpus-ambient",
  runCase: async (folder) => {
    const { mesh, requests, decisions } = await loadCase<RecordedAmbient, RecordedAmbientDecision>(folder);
    const compiled = new Map<string, AmbientPolicy>();
    return requests.map((request, index) => {
      const policy = compiled.get(request.to.workload) ?? compile(mesh, request.to.workload);
      compiled.set(request.to.workload, policy);
      const recorded = decisions[index];
      if (recorded?.id !== request.id)
        throw new Error(`${folder}: decisions are not in the order of requests`);
      const { id, details, ...expected } = recorded;
      const connection = connectionTo(policy.workload, request);
      const { allowed, code, reason } = decideAmbient(policy, connection);
      const allowing = allowed && details.startsWith("allow:");
      return {
        id,
        expected: { ...expected, ...(allowing ? { details } : {}) },
        actual: {
          allowed,
          code,
          reason,
          ...(allowing ? { details: `allow: ${matchingPolicies(policy.allow, connection).join(", ")}` } : {}),
        },
      };
    });
  },
};

function compile(mesh: Mesh, key: string): AmbientPolicy {
  const workload = findWorkload(mesh, key);
  if (workload === undefined) throw new Error(`no workload ${key}`);
  return compileAmbient(mesh, workload, { semantics: "istio" });
}

export function connectionTo(workload: Workload, { from, to }: RecordedAmbient): Connection {
  return new Connection({
    tls: from.principal === null ? "plaintext" : "mtls",
    principal: from.principal,
    sourceIp: from.ip,
    destinationIp: workload.addresses[0] ?? "",
    destinationPort: to.port,
    speaksHttp: false,
  });
}
