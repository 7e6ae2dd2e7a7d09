/** Fields about who is calling: the certificate's name and addresses. */

import type { ConditionContext, Field, Predicate } from "./condition.ts";
import type { Connection } from "./connection.ts";
import { remoteAddressOf } from "./forwarded-for.ts";
import type { HttpRequest } from "./http-request.ts";
import {
  compileNamespaces,
  compilePrincipals,
  compileServiceAccounts,
  compileTrustDomains,
  type SubjectTest,
  splitAccount,
} from "./identity-pattern.ts";
import { cidrContains, formatIpAddress, type IpAddress, parseCidrBlock } from "./ip-address.ts";
import { compileTextPatterns, matchesText } from "./text-pattern.ts";
import { expandPrincipals, expandTrustDomains } from "./trust-domain-alias.ts";

/** A caller without a certificate matches no pattern; what is negated then holds (ISTIO-SECURITY-2021-004). */
function onSubject(test: SubjectTest): Predicate {
  return ({ subject }) => subject !== null && test(subject);
}

function identity(connection: Connection): string {
  return connection.principal ?? "no client certificate";
}

export const PRINCIPALS: Field = {
  http: false,
  compile: (values, context) => onSubject(compilePrincipals(expandPrincipals(values, context.trustDomains))),
  seen: identity,
  exactSubjects: (values, context) => {
    const expanded = expandPrincipals(values, context.trustDomains);
    const patterned = expanded.some((value) => value.startsWith("*") || value.endsWith("*"));
    return patterned ? null : expanded.map((value) => `spiffe://${value}`);
  },
};

export const TRUST_DOMAINS: Field = {
  http: false,
  compile: (values, context) =>
    onSubject(compileTrustDomains(expandTrustDomains(values, context.trustDomains))),
  seen: identity,
};

export const NAMESPACES: Field = {
  http: false,
  account: true,
  compile: (values, context) =>
    context.semantics === "istio" ? onSubject(compileNamespaces(values)) : parsedNamespaces(values),
  seen: identity,
};

function parsedNamespaces(values: readonly string[]): Predicate {
  const patterns = compileTextPatterns(values);
  return ({ namespace }) => namespace !== "" && matchesText(patterns, namespace);
}

export const SERVICE_ACCOUNTS: Field = {
  http: false,
  account: true,
  compile: (values, context) =>
    context.semantics === "istio"
      ? onSubject(compileServiceAccounts(values, context.policyNamespace))
      : parsedAccounts(values, context),
  seen: identity,
};

function parsedAccounts(values: readonly string[], context: ConditionContext): Predicate {
  const accounts = new Set(
    values.map((value) => {
      const { namespace, name } = splitAccount(value, context.policyNamespace);
      return `${namespace}/${name}`;
    }),
  );
  return ({ account }) => account !== "" && accounts.has(account);
}

type AddressOf = (
  connection: Connection,
  request: HttpRequest | null,
  context: ConditionContext,
) => IpAddress | null;

function addressField(addressOf: AddressOf): Field {
  return {
    http: false,
    compile: (values, context) => {
      const blocks = values.map(parseCidrBlock);
      const known = blocks.filter((block) => block !== undefined);
      if (known.length < blocks.length) return undefined;
      return (connection, request) => {
        const address = addressOf(connection, request, context);
        if (address === null) return false;
        for (const block of known) if (cidrContains(block, address)) return true;
        return false;
      };
    },
    seen: (connection, request, context) => {
      const address = addressOf(connection, request, context);
      return address === null ? "an unknown address" : formatIpAddress(address);
    },
  };
}

export const SOURCE_IP: Field = addressField((connection) => connection.sourceAddress);
export const DESTINATION_IP: Field = addressField((connection) => connection.destinationAddress);
export const REMOTE_IP: Field = addressField((connection, request, context) =>
  request === null
    ? connection.remoteAddress
    : remoteAddressOf(connection, request.headers, context.forwardedFor),
);
