import { type FlowDraft, nowRfc3339Nanos } from "../../model/flow-record.ts";
import type { Mesh } from "../../model/mesh.ts";
import { addressesOf } from "../../model/placement.ts";
import { addressRange } from "../../policy/network/address-range.ts";
import type { NetworkProtocol } from "../../policy/network/connection-set.ts";
import { decideNetwork, type NetworkEnd } from "../../policy/network/decide-network.ts";
import { explainNetwork } from "../../policy/network/explain-network.ts";
import type { NetworkPod } from "../../policy/network/network-pod.ts";
import {
  type NetworkDirection,
  type NetworkPolicies,
  networkPolicies,
} from "../../policy/network/network-policies.ts";
import type { Assignments, PodAssignment } from "../../substrate/assignment.ts";
import type { DroppedAttempt } from "../../substrate/netns/drop-reader.ts";
import type { DropReason } from "../../substrate/netns/fabric-rules.ts";
import { NETWORK_REPORTER } from "./network-reporter.ts";
import { networkPods } from "./policy-rules.ts";

/** Attempts that are remembered as told; they leave the kernel's sets after two minutes of silence. */
const MAX_TOLD = 100_000;

/** Turns what the firewall dropped into records of the flow log: one for each attempt, however many packets it had. */
export class DropRecords {
  readonly #told = new Map<string, number>();
  #byLink = new Map<string, PodAssignment>();
  #byAddress = new Map<string, string>();
  #byPod: ReadonlyMap<PodAssignment, NetworkPod> = new Map();
  #policies: NetworkPolicies | undefined;
  #gateways = "";

  /** Takes who is where now. */
  follow(assignments: Assignments, mesh: Mesh): void {
    const { pods, standIns } = assignments;
    this.#policies = networkPolicies(mesh);
    this.#byPod = networkPods(mesh, assignments);
    this.#byLink = new Map(
      pods.flatMap((pod) => (pod.network === undefined ? [] : [[pod.network.link, pod]])),
    );
    this.#byAddress = new Map([
      ...pods.flatMap((pod) => addressesOf(pod).map((address) => [address, pod.workload] as const)),
      ...standIns.flatMap((standIn) =>
        addressesOf(standIn).map((address) => [address, standIn.host] as const),
      ),
    ]);
    const leaving = pods.filter(({ network }) => network?.mayLeave === true);
    this.#gateways = [...new Set(leaving.map(({ workload }) => workload))].join(", ");
  }

  /** @returns a record for each attempt that was not told yet. */
  take(attempts: readonly DroppedAttempt[]): FlowDraft[] {
    const records: FlowDraft[] = [];
    const seen = new Set<string>();
    for (const attempt of attempts) {
      const key = keyOf(attempt);
      seen.add(key);
      const before = this.#told.get(key) ?? 0;
      this.#told.set(key, attempt.packets);
      // Fewer than before: the element ended and came again, which is another attempt.
      if (before === 0 || attempt.packets < before) records.push(this.#record(attempt));
    }
    for (const key of this.#told.keys()) if (!seen.has(key)) this.#told.delete(key);
    if (this.#told.size > MAX_TOLD) this.#told.clear();
    return records;
  }

  #record(attempt: DroppedAttempt): FlowDraft {
    const { reason, link, sourceIp, destinationIp, protocol, sourcePort, destinationPort } = attempt;
    const source = link === undefined ? this.#byAddress.get(sourceIp) : this.#byLink.get(link)?.workload;
    const known = this.#byAddress.get(destinationIp);
    const refusal = reason === "network-policy" ? this.#refusalOf(attempt) : undefined;
    const isWorkload = known?.includes("/");
    return {
      time: nowRfc3339Nanos(),
      kind: "connection",
      source: {
        workload: source?.includes("/") === true ? source : undefined,
        principal: null,
        ip: sourceIp,
        port: sourcePort,
      },
      destination: {
        workload: isWorkload ? known : undefined,
        host: isWorkload ? undefined : known,
        ip: destinationIp,
        port: destinationPort,
      },
      reporter: NETWORK_REPORTER,
      direction: "outbound",
      protocol,
      verdict: "deny",
      layer: "network",
      reason,
      policy: refusal?.policy ?? null,
      rule: refusal?.rule ?? null,
      explanation: [
        `dropped outside of the pod: ${this.#why(reason, protocol)}`,
        ...(refusal?.explanation ?? []),
      ],
      durationMs: 0,
    };
  }

  /** The kernel's rules are those of the decision, which has the words: the source's side is asked first, as there. */
  #refusalOf({
    sourceIp,
    destinationIp,
    protocol,
    destinationPort,
  }: DroppedAttempt): NetworkRefusal | undefined {
    const policies = this.#policies;
    if (policies === undefined || destinationPort === undefined) return undefined;
    const podAt = (ip: string) => [...this.#byPod.values()].find(({ addresses }) => addresses.includes(ip));
    const [source, destination] = [podAt(sourceIp), podAt(destinationIp)];
    const family = addressRange(destinationIp)?.family;
    const endOf = (pod: NetworkPod | undefined, address: string) =>
      pod === undefined ? { address } : { pod };
    const ask = (direction: NetworkDirection, subject: NetworkPod | undefined, other: NetworkEnd) =>
      subject === undefined
        ? []
        : [
            {
              direction,
              subject,
              other,
              protocol: protocol.toUpperCase() as NetworkProtocol,
              port: destinationPort,
              ...(family === undefined ? {} : { family }),
            },
          ];
    const questions = [
      ...ask("egress", source, endOf(destination, destinationIp)),
      ...ask("ingress", destination, endOf(source, sourceIp)),
    ];
    for (const question of questions) {
      const verdict = decideNetwork(policies, question);
      if (verdict.outcome === "allow") continue;
      return {
        policy: verdict.policy?.name ?? null,
        rule: verdict.rule?.index ?? null,
        explanation: explainNetwork(policies, question, verdict),
      };
    }
    return undefined;
  }

  #why(reason: DropReason, protocol: string): string {
    switch (reason) {
      case "not-the-gateway":
        return `only ${this.#gateways} may leave the mesh`;
      case "not-tcp":
        return `${protocol} is judged by no proxy: where one stands, at either end, only TCP goes; elsewhere UDP and SCTP do, too`;
      case "spoofed-address":
        return "the source address is not the pod's";
      case "from-outside":
        return "from outside only gateways are reached";
      case "to-the-node":
        return "of the network itself pods reach nothing but DNS";
      case "network-policy":
        return "no network policy lets it through";
    }
  }
}

interface NetworkRefusal {
  readonly policy: string | null;
  readonly rule: number | null;
  readonly explanation: readonly string[];
}

function keyOf(attempt: DroppedAttempt): string {
  const { packets: _, ...key } = attempt;
  return JSON.stringify(key);
}
