import { ztunnelReporter } from "../../dataplane/ztunnel/ztunnel-reporter.ts";
import type { Mesh } from "../../model/mesh.ts";
import {
  type PodAssignment,
  podsOfZtunnel,
  toPodPlacement,
  type ZtunnelAssignment,
} from "../../substrate/assignment.ts";
import type { CertificateService } from "../certificate-service.ts";
import type { FlowLog } from "../flow-log.ts";
import {
  type AmbientPod,
  type ConfigurationPush,
  type SignAnswer,
  textField,
  type ZtunnelConfigurationPush,
} from "../messages.ts";
import { resourcesFor } from "../pod-resources.ts";
import { takeFlows } from "../take-flows.ts";
import { authorizeOnBehalf } from "./authorize-on-behalf.ts";

export interface ZtunnelSideOptions {
  readonly certificates: Pick<CertificateService, "signOnBehalf">;
  readonly flowLog: FlowLog;
  readonly mesh: () => Mesh | undefined;
  readonly pods: () => readonly PodAssignment[];
  /** An ambient pod's token, as it is now. */
  readonly tokenOf: (pod: PodAssignment) => string;
}

/** Control's side of one ztunnel's session: everything it is told, given and believed ends at its node. */
export class ZtunnelSide {
  readonly ztunnel: ZtunnelAssignment;
  readonly #options: ZtunnelSideOptions;
  /** Also those that are gone by now: their last records come after. */
  readonly #workloads = new Set<string>();

  constructor(ztunnel: ZtunnelAssignment, options: ZtunnelSideOptions) {
    this.ztunnel = ztunnel;
    this.#options = options;
  }

  /** No Secret: nothing that a ztunnel does needs one. */
  partOf(push: ConfigurationPush): ZtunnelConfigurationPush {
    const pods = this.#pods();
    return {
      ...push,
      resources: resourcesFor(push.resources, this.#options.mesh(), ""),
      ambientPods: pods.flatMap(toAmbientPod),
    };
  }

  /** @throws {BulwarkError} as CertificateService.signOnBehalf. */
  sign(params: unknown): Promise<SignAnswer> {
    const { certificates, pods, tokenOf } = this.#options;
    const csr = Buffer.from(textField(params, "csr"), "base64");
    const wanted = { pod: textField(params, "pod"), identity: textField(params, "identity") };
    return certificates.signOnBehalf(
      csr,
      this.ztunnel,
      textField(params, "token"),
      () => authorizeOnBehalf(this.ztunnel, wanted, pods()),
      tokenOf,
    );
  }

  flows(params: unknown): void {
    this.#pods();
    takeFlows(this.#options.flowLog, params, {
      reporter: ztunnelReporter(this.ztunnel.node),
      workloads: this.#workloads,
    });
  }

  #pods(): readonly PodAssignment[] {
    const pods = podsOfZtunnel(this.ztunnel, this.#options.pods());
    for (const { workload } of pods) this.#workloads.add(workload);
    return pods;
  }
}

function toAmbientPod(pod: PodAssignment): AmbientPod[] {
  const { namespace, uid, spiffeId, network } = pod;
  return network === undefined
    ? []
    : [{ ...toPodPlacement(pod), namespace, uid, spiffeId, netns: network.namespace }];
}
