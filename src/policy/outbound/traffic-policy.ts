/** Which settings of a DestinationRule hold for a port of a service or subset. */
import type { MergedRule } from "./destination-rules.ts";
import type { ClientTlsSettings, PortedTrafficPolicy, Subset, TrafficPolicy } from "./resource-shapes.ts";

/**
 * The policy of a port, or of a subset's port. A port's own settings replace all others and inherit nothing; a subset's
 * replace the rule's field by field.
 */
export function policyForPort(
  rule: MergedRule | undefined,
  subset: Subset | undefined,
  port: number,
): TrafficPolicy | undefined {
  const general = onPort(rule?.trafficPolicy, port)?.policy;
  const own = onPort(subset?.trafficPolicy, port);
  if (own === undefined || general === undefined) return own?.policy ?? general;
  const pick = <K extends keyof TrafficPolicy>(key: K): Pick<TrafficPolicy, K> => {
    const value = own.policy[key] ?? (own.portLevel ? undefined : general[key]);
    return (value === undefined ? {} : { [key]: value }) as Pick<TrafficPolicy, K>;
  };
  return { ...pick("tls"), ...pick("loadBalancer"), ...pick("connectionPool") };
}

function onPort(
  policy: PortedTrafficPolicy | undefined,
  port: number,
): { readonly policy: TrafficPolicy; readonly portLevel: boolean } | undefined {
  if (policy === undefined) return undefined;
  const own = policy.portLevelSettings?.find((settings) => settings.port?.number === port);
  return own === undefined ? { policy, portLevel: false } : { policy: own, portLevel: true };
}

/**
 * The TLS mode by which endpoints are judged under auto mTLS. Unlike {@link policyForPort} a port's settings without TLS
 * do not hide the rule's: so such a port is spoken to in clear when the rule says SIMPLE.
 */
export function endpointTlsMode(
  rule: MergedRule | undefined,
  subset: Subset | undefined,
  port: number,
): ClientTlsSettings["mode"] | undefined {
  const own = subset === undefined ? undefined : portTls(subset.trafficPolicy, port);
  const settings = own ?? portTls(rule?.trafficPolicy, port);
  return settings === undefined ? undefined : (settings.mode ?? "DISABLE");
}

function portTls(policy: PortedTrafficPolicy | undefined, port: number): ClientTlsSettings | undefined {
  const own = policy?.portLevelSettings?.find(
    (settings) => settings.port?.number === port && settings.tls !== undefined,
  );
  return own?.tls ?? policy?.tls;
}

/** Whether the client dials endpoints itself and the proxy only follows. */
export function isPassthrough(policy: TrafficPolicy | undefined): boolean {
  return policy?.loadBalancer?.simple === "PASSTHROUGH";
}
