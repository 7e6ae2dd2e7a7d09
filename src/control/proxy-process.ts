import { warn } from "./child-life.ts";
import { ProxyKeys } from "./jwks/proxy-keys.ts";
import { type KeyText, listField, type PodConfigurationPush, type ProxyWelcome } from "./messages.ts";
import { RunningProxy } from "./running-proxy.ts";
import { SessionProcess } from "./session-process.ts";

export interface ProxyProcessOptions {
  readonly statePath: string;
  /** `namespace/name` */
  readonly pod: string;
}

/** Control's own limit on fetching keys comes first. */
const KEYS_GRACE_MS = 500;

/** Runs the proxy of one pod. */
export function runProxyProcess({ statePath, pod }: ProxyProcessOptions): void {
  const keys = new ProxyKeys(
    async (id, timeoutMs) =>
      (await session.link.request("refetchKeys", { id }, timeoutMs + KEYS_GRACE_MS)) as KeyText,
  );
  const session: SessionProcess<ProxyWelcome, PodConfigurationPush> = new SessionProcess({
    statePath,
    key: pod,
    start: (welcome, handle) => new RunningProxy({ ...handle, welcome, keys, onWarning: warn }),
    handlers: { keys: (params) => keys.take(listField(params, "keys") as readonly KeyText[]) },
  });
}
