/**
 * The fields of VirtualService, DestinationRule, Sidecar and Gateway that routing reads. The generated types spell every
 * `oneof` out as a union of products, which no function can be written against; these are the same fields, flat.
 * @see https://istio.io/latest/docs/reference/config/networking/
 */
import type { Workload } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";

type Strings = Readonly<Record<string, string>>;

export interface StringMatch {
  readonly exact?: string;
  readonly prefix?: string;
  /** Of the Gateway API alone: a path of whole segments, without slash at its end. */
  readonly pathPrefix?: string;
  readonly regex?: string;
}

export interface Destination {
  readonly host: string;
  readonly subset?: string;
  readonly port?: { readonly number?: number };
}

export interface HeaderOperations {
  readonly set?: Strings;
  readonly add?: Strings;
  readonly remove?: readonly string[];
}

export interface Headers {
  readonly request?: HeaderOperations;
  readonly response?: HeaderOperations;
}

export interface RouteDestination {
  readonly destination?: Destination;
  readonly weight?: number;
  readonly headers?: Headers;
}

export interface HttpMatch {
  readonly name?: string;
  readonly uri?: StringMatch;
  readonly scheme?: StringMatch;
  readonly method?: StringMatch;
  readonly authority?: StringMatch;
  readonly headers?: Readonly<Record<string, StringMatch>>;
  readonly withoutHeaders?: Readonly<Record<string, StringMatch>>;
  readonly queryParams?: Readonly<Record<string, StringMatch>>;
  readonly ignoreUriCase?: boolean;
  readonly port?: number;
  readonly sourceLabels?: Strings;
  readonly sourceNamespace?: string;
  readonly gateways?: readonly string[];
}

interface Percent {
  readonly value?: number;
}

export interface HttpFault {
  readonly delay?: { readonly fixedDelay?: string; readonly percentage?: Percent; readonly percent?: number };
  readonly abort?: {
    readonly httpStatus?: number;
    readonly grpcStatus?: string;
    readonly percentage?: Percent;
  };
}

export interface HttpRedirect {
  readonly uri?: string;
  readonly authority?: string;
  readonly port?: number;
  readonly derivePort?: string;
  readonly scheme?: string;
  readonly redirectCode?: number;
  readonly prefixRewrite?: string;
}

export interface HttpRewrite {
  readonly uri?: string;
  /** Of the Gateway API alone: in place of the path, whatever the condition asks for. */
  readonly wholePath?: string;
  readonly authority?: string;
  readonly uriRegexRewrite?: { readonly match?: string; readonly rewrite?: string };
}

export interface HttpRetry {
  readonly attempts?: number;
  readonly perTryTimeout?: string;
  readonly retryOn?: string;
}

export interface CorsPolicy {
  readonly allowOrigins?: readonly StringMatch[];
  readonly allowOrigin?: readonly string[];
  readonly allowMethods?: readonly string[];
  readonly allowHeaders?: readonly string[];
  readonly exposeHeaders?: readonly string[];
  readonly maxAge?: string;
  readonly allowCredentials?: boolean;
  readonly unmatchedPreflights?: string;
}

export interface HttpRoute {
  readonly name?: string;
  /** Where a route of the Gateway API is written: what leads nowhere there is answered with 500. */
  readonly origin?: { readonly ref: string; readonly rule: number };
  readonly match?: readonly HttpMatch[];
  readonly route?: readonly RouteDestination[];
  readonly redirect?: HttpRedirect;
  readonly directResponse?: { readonly status?: number; readonly body?: { string?: string; bytes?: string } };
  readonly delegate?: { readonly name?: string; readonly namespace?: string };
  readonly rewrite?: HttpRewrite;
  readonly timeout?: string;
  readonly retries?: HttpRetry;
  readonly fault?: HttpFault;
  readonly mirror?: Destination;
  readonly mirrorPercent?: number;
  readonly mirrorPercentage?: Percent;
  readonly mirrors?: readonly { readonly destination?: Destination; readonly percentage?: Percent }[];
  readonly corsPolicy?: CorsPolicy;
  readonly headers?: Headers;
}

export interface L4Match {
  readonly destinationSubnets?: readonly string[];
  readonly port?: number;
  readonly sourceLabels?: Strings;
  readonly sourceNamespace?: string;
  readonly gateways?: readonly string[];
}

export interface TlsMatch extends L4Match {
  readonly sniHosts?: readonly string[];
}

export interface TlsRoute {
  readonly match?: readonly TlsMatch[];
  readonly route?: readonly RouteDestination[];
}

export interface TcpRoute {
  readonly match?: readonly L4Match[];
  readonly route?: readonly RouteDestination[];
}

export interface VirtualServiceShape {
  readonly hosts?: readonly string[];
  readonly gateways?: readonly string[];
  readonly exportTo?: readonly string[];
  readonly http?: readonly HttpRoute[];
  readonly tls?: readonly TlsRoute[];
  readonly tcp?: readonly TcpRoute[];
}

export interface ClientTlsSettings {
  readonly mode?: "DISABLE" | "SIMPLE" | "MUTUAL" | "ISTIO_MUTUAL";
  readonly sni?: string;
  readonly subjectAltNames?: readonly string[];
  readonly caCertificates?: string;
  readonly clientCertificate?: string;
  readonly privateKey?: string;
  readonly credentialName?: string;
  readonly insecureSkipVerify?: boolean;
}

export interface TrafficPolicy {
  readonly tls?: ClientTlsSettings;
  readonly loadBalancer?: { readonly simple?: string };
  readonly connectionPool?: {
    readonly http?: { readonly h2UpgradePolicy?: string; readonly useClientProtocol?: boolean };
  };
}

export interface PortedTrafficPolicy extends TrafficPolicy {
  readonly portLevelSettings?: readonly (TrafficPolicy & { readonly port?: { readonly number?: number } })[];
}

export interface Subset {
  readonly name: string;
  readonly labels?: Strings;
  readonly trafficPolicy?: PortedTrafficPolicy;
}

export interface DestinationRuleShape {
  readonly host: string;
  readonly exportTo?: readonly string[];
  readonly workloadSelector?: { readonly matchLabels?: Strings };
  readonly trafficPolicy?: PortedTrafficPolicy;
  readonly subsets?: readonly Subset[];
}

export interface SidecarEgress {
  readonly hosts?: readonly string[];
  readonly bind?: string;
  readonly captureMode?: string;
  readonly port?: { readonly number?: number; readonly protocol?: string; readonly name?: string };
}

export interface SidecarShape {
  readonly workloadSelector?: { readonly labels?: Strings };
  readonly egress?: readonly SidecarEgress[];
  readonly outboundTrafficPolicy?: { readonly mode?: string; readonly egressProxy?: Destination };
}

export interface ServerTlsSettings {
  readonly mode?: string;
  readonly httpsRedirect?: boolean;
  readonly credentialName?: string;
  readonly credentialNames?: readonly string[];
  readonly caCertCredentialName?: string;
  /** Of the Gateway API alone: Secrets as `namespace/name` that it may use. */
  readonly grantedCredentials?: readonly string[];
  readonly serverCertificate?: string;
  readonly privateKey?: string;
  readonly caCertificates?: string;
  readonly caCrl?: string;
  readonly subjectAltNames?: readonly string[];
  readonly verifyCertificateSpki?: readonly string[];
  readonly verifyCertificateHash?: readonly string[];
  readonly minProtocolVersion?: string;
  readonly maxProtocolVersion?: string;
  readonly cipherSuites?: readonly string[];
}

export interface ServerShape {
  readonly name?: string;
  readonly bind?: string;
  readonly port?: { readonly number?: number; readonly protocol?: string; readonly name?: string };
  readonly hosts?: readonly string[];
  readonly tls?: ServerTlsSettings;
}

export interface GatewayShape {
  readonly selector?: Strings;
  /** A listener of the Gateway API: where it is written, and whose it is in place of the selector. */
  readonly origin?: {
    readonly ref: string;
    readonly index: number;
    readonly serves: (workload: Workload) => boolean;
  };
  readonly servers?: readonly ServerShape[];
}

/**
 * The spec of a resource under the flat type.
 * INVARIANT: only called with a shape above that belongs to the resource's kind; validation has rejected other forms.
 */
export function shapeOf<Shape>(resource: Resource): Shape {
  return resource.spec as Shape;
}
