import { warn } from "../child-life.ts";
import type { SignAnswer, ZtunnelConfigurationPush, ZtunnelWelcome } from "../messages.ts";
import { SessionProcess } from "../session-process.ts";
import { RunningZtunnel } from "./running-ztunnel.ts";

export interface ZtunnelProcessOptions {
  readonly statePath: string;
  /** `namespace/name` of the ztunnel. */
  readonly ztunnel: string;
}

/** Runs the ztunnel of one node, as the machine's root in a network of its own: its sockets are inside of the pods. */
export function runZtunnelProcess({ statePath, ztunnel }: ZtunnelProcessOptions): void {
  new SessionProcess<ZtunnelWelcome, ZtunnelConfigurationPush>({
    statePath,
    key: ztunnel,
    start: ({ ztunnel: { node } }, handle) =>
      new RunningZtunnel({
        ...handle,
        node,
        sign: async (csr, pod, identity) => (await handle.sign(csr, { pod, identity })) as SignAnswer,
        onWarning: warn,
      }),
  });
}
