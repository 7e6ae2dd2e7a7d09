/** Conditions as ztunnel knows them: addresses, ports and names of the caller, and nothing of HTTP. */
import type { Connection } from "../connection.ts";
import { compileTrustDomains, splitAccount } from "../identity-pattern.ts";
import { cidrContains, formatIpAddress, type IpAddress, parseCidrBlock } from "../ip-address.ts";
import { expandTrustDomains, type TrustDomains } from "../trust-domain-alias.ts";

type Strings = readonly string[];
type Test = (connection: Connection) => boolean;

export interface L4Condition {
  readonly field: string;
  readonly values: Strings;
  readonly notValues: Strings;
  readonly matches: Test;
  /** What came, for a person. */
  readonly seen: (connection: Connection) => string;
}

/** One kind of field: what a list of its values matches. */
export interface L4Field {
  readonly anyOf: (values: Strings, policyNamespace: string, trustDomains: TrustDomains) => Test;
  readonly seen: (connection: Connection) => string;
}

/** Positive and negative lists of one field; null where both are empty, as then it asks for nothing. */
export function l4Condition(
  field: string,
  { anyOf, seen }: L4Field,
  values: Strings = [],
  notValues: Strings = [],
  context: { readonly policyNamespace: string; readonly trustDomains: TrustDomains },
): L4Condition | null {
  if (values.length + notValues.length === 0) return null;
  const wanted = anyOf(values, context.policyNamespace, context.trustDomains);
  const unwanted = anyOf(notValues, context.policyNamespace, context.trustDomains);
  const matches: Test = (connection) =>
    (values.length === 0 || wanted(connection)) && !(notValues.length > 0 && unwanted(connection));
  return { field, values, notValues, matches, seen };
}

/** Case counts. `*` is presence, a leading `*` a suffix, else a trailing one a prefix; a second `*` is literal. */
function textTest(pattern: string): (text: string) => boolean {
  if (pattern === "*") return (text) => text !== "";
  if (pattern.startsWith("*")) return (text) => text.endsWith(pattern.slice(1));
  if (pattern.endsWith("*")) return (text) => text.startsWith(pattern.slice(0, -1));
  return (text) => text === pattern;
}

/** Of a caller without a certificate nothing is known: no positive value matches. */
function textField(textOf: (connection: Connection) => string): L4Field {
  return {
    anyOf: (values) => {
      const tests = values.map(textTest);
      return (connection) => {
        const text = textOf(connection);
        return connection.principal !== null && tests.some((test) => test(text));
      };
    },
    seen: identity,
  };
}

function identity({ principal }: Connection): string {
  return principal ?? "no client certificate";
}

/** Compared literally: aliases of the trust domain do not stand for it here. */
export const L4_PRINCIPALS: L4Field = textField(({ principal }) => principal ?? "");
export const L4_NAMESPACES: L4Field = textField(({ namespace }) => namespace);

/** A bare name is an account of the policy's namespace; the trust domain is not compared. */
export const L4_SERVICE_ACCOUNTS: L4Field = {
  anyOf: (values, policyNamespace) => {
    const accounts = new Set(
      values.map((value) => {
        const { namespace, name } = splitAccount(value, policyNamespace);
        return `${namespace}/${name}`;
      }),
    );
    return ({ account }) => accounts.has(account);
  },
  seen: identity,
};

/** Strict semantics only: istiod does not send it. */
export const L4_TRUST_DOMAINS: L4Field = {
  anyOf: (values, _namespace, trustDomains) => {
    const test = compileTrustDomains(expandTrustDomains(values, trustDomains));
    return ({ subject }) => subject !== null && test(subject);
  },
  seen: identity,
};

function addressField(addressOf: (connection: Connection) => IpAddress | null): L4Field {
  return {
    anyOf: (values) => {
      const blocks = values.map(parseCidrBlock).filter((block) => block !== undefined);
      return (connection) => {
        const address = addressOf(connection);
        return address !== null && blocks.some((block) => cidrContains(block, address));
      };
    },
    seen: (connection) => {
      const address = addressOf(connection);
      return address === null ? "an unknown address" : formatIpAddress(address);
    },
  };
}

export const L4_SOURCE_IP: L4Field = addressField(({ sourceAddress }) => sourceAddress);
/** The pod's own address, never a Service's. */
export const L4_DESTINATION_IP: L4Field = addressField(({ destinationAddress }) => destinationAddress);

export const L4_PORTS: L4Field = {
  anyOf: (values) => {
    const ports = new Set(values.map(Number));
    return ({ destinationPort }) => ports.has(destinationPort);
  },
  seen: ({ destinationPort }) => String(destinationPort),
};
