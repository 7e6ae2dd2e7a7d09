/**
 * AuthorizationPolicy's fields, flat. The generated types spell every `oneof` out as a union of products, which no function
 * can be written against; these are the same fields.
 * @see https://istio.io/latest/docs/reference/config/security/authorization-policy/
 */
type Strings = readonly string[];

export interface SourceSpec {
  readonly principals?: Strings;
  readonly notPrincipals?: Strings;
  readonly requestPrincipals?: Strings;
  readonly notRequestPrincipals?: Strings;
  readonly namespaces?: Strings;
  readonly notNamespaces?: Strings;
  readonly serviceAccounts?: Strings;
  readonly notServiceAccounts?: Strings;
  readonly trustDomains?: Strings;
  readonly notTrustDomains?: Strings;
  readonly ipBlocks?: Strings;
  readonly notIpBlocks?: Strings;
  readonly remoteIpBlocks?: Strings;
  readonly notRemoteIpBlocks?: Strings;
}

export interface OperationSpec {
  readonly hosts?: Strings;
  readonly notHosts?: Strings;
  readonly ports?: Strings;
  readonly notPorts?: Strings;
  readonly methods?: Strings;
  readonly notMethods?: Strings;
  readonly paths?: Strings;
  readonly notPaths?: Strings;
}

export interface WhenSpec {
  readonly key: string;
  readonly values?: Strings;
  readonly notValues?: Strings;
}

export interface RuleSpec {
  readonly from?: readonly { readonly source?: SourceSpec }[];
  readonly to?: readonly { readonly operation?: OperationSpec }[];
  readonly when?: readonly WhenSpec[];
}

export type AuthorizationAction = "ALLOW" | "DENY" | "AUDIT" | "CUSTOM";

export interface AuthorizationSpec {
  readonly action?: AuthorizationAction;
  readonly rules?: readonly RuleSpec[];
  readonly provider?: { readonly name?: string };
}
