import type { AmbientPolicy } from "../../policy/ambient/ambient-policy.ts";
import { type Diagram, NO, OR, YES } from "./diagram.ts";
import { ABSENT } from "./dimension.ts";
import type { RuleDiagrams } from "./rule-diagrams.ts";

/** Dimensions of the space, by their places. */
interface Places {
  readonly port: number;
  readonly identity: number;
}

/** Plaintext, DENY, ALLOW, as ztunnel goes; under strict semantics twice, of which each has to allow. Who is not of the mesh's trust domain is not looked at. */
export function ambientOutcomes(rules: RuleDiagrams, places: Places, policy: AmbientPolicy): Diagram {
  const istio = outcomesOf(rules, places, policy);
  if (policy.asWritten === null) return istio;
  return rules.diagrams.and(istio, outcomesOf(rules, places, policy.asWritten));
}

function outcomesOf(
  rules: RuleDiagrams,
  { port, identity }: Places,
  { deny, allow, plaintext }: AmbientPolicy,
): Diagram {
  const { diagrams, dimensions } = rules;
  const matched = (policies: AmbientPolicy["deny"]): Diagram => {
    const sets = policies.flatMap((policy) => policy.rules).map((rule) => rules.ofL4(rule));
    return diagrams.all(OR, sets, NO);
  };
  const dimension = dimensions[port];
  const ports = dimension?.kind === "port" ? dimension.ports : [];
  const closed = ports.flatMap((number, cell) =>
    plaintext.some(({ refuses }) => refuses(number)) ? [cell] : [],
  );
  const inClear = diagrams.and(diagrams.within(port, closed), diagrams.within(identity, [ABSENT]));
  const open = allow.length === 0 ? YES : matched(allow);
  return diagrams.minus(open, diagrams.or(inClear, matched(deny)));
}
