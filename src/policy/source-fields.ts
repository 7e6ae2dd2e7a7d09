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
import { ACCOUNT, NAMESPACE, SUBJECT } from "./rule-index/dimension.ts";
import { compileTextPatterns, type TextPatterns } from "./text-pattern.ts";
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
  keys: (values, context) => {
    const { any, exact, prefixes, suffixes } = compileTextPatterns(
      expandPrincipals(values, context.trustDomains),
    );
    const patterns: TextPatterns = {
      any,
      // As in Connection, so that equal ones are compared fast.
      exact: new Set([...exact].map((value) => ["spiffe://", value].join(""))),
      prefixes: prefixes.map((value) => `spiffe://${value}`),
      suffixes,
    };
    return {
      dimension: SUBJECT,
      patterns,
      // A suffix must not reach into the scheme, and `*` is more than elsewhere.
      decisive: !any && suffixes.length === 0,
    };
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
  keys: (values, { semantics }) => {
    // Istio's star may stand for slashes, and a value may have some: such reach beyond the namespace's own place.
    if (semantics === "istio" && values.some((value) => /[*/]/.test(value))) return null;
    if (values.some((value) => value.includes("*"))) return null;
    return { dimension: NAMESPACE, patterns: compileTextPatterns(values), decisive: false };
  },
};

/** As Istio's patterns, a star standing for anything wherever it is; but within the namespace, and all of it. */
function parsedNamespaces(values: readonly string[]): Predicate {
  const exact = new Set(values.filter((value) => !value.includes("*")));
  const globs = values.filter((value) => value.includes("*")).map((value) => value.split("*"));
  return ({ namespace }) => {
    if (namespace === "") return false;
    if (exact.has(namespace)) return true;
    for (const pieces of globs) if (matchesWhole(namespace, pieces)) return true;
    return false;
  };
}

/** @param pieces the texts between stars, at least two. */
function matchesWhole(text: string, pieces: readonly string[]): boolean {
  const first = pieces[0] as string;
  const last = pieces[pieces.length - 1] as string;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  let from = first.length;
  for (let at = 1; at < pieces.length - 1; at++) {
    const piece = pieces[at] as string;
    const found = text.indexOf(piece, from);
    if (found < 0) return false;
    from = found + piece.length;
  }
  return from + last.length <= text.length;
}

export const SERVICE_ACCOUNTS: Field = {
  http: false,
  account: true,
  compile: (values, context) =>
    context.semantics === "istio"
      ? onSubject(compileServiceAccounts(values, context.policyNamespace))
      : parsedAccounts(values, context),
  seen: identity,
  keys: (values, context) => ({
    dimension: ACCOUNT,
    patterns: { any: false, exact: accountNames(values, context), prefixes: [], suffixes: [] },
    decisive: false,
  }),
};

function accountNames(values: readonly string[], { policyNamespace }: ConditionContext): ReadonlySet<string> {
  return new Set(
    values.map((value) => {
      const { namespace, name } = splitAccount(value, policyNamespace);
      return `${namespace}/${name}`;
    }),
  );
}

function parsedAccounts(values: readonly string[], context: ConditionContext): Predicate {
  const accounts = accountNames(values, context);
  return ({ account }) => accounts.has(account);
}

type AddressOf = (
  connection: Connection,
  request: HttpRequest | null,
  context: ConditionContext,
) => IpAddress | null;

function addressField(id: string, addressOf: AddressOf): Field {
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
    keys: (values, context) => ({
      dimension: {
        kind: "address",
        id,
        addressOf: (connection, request) => addressOf(connection, request, context),
      },
      blocks: values.map(parseCidrBlock).filter((block) => block !== undefined),
    }),
  };
}

export const SOURCE_IP: Field = addressField("source.ip", (connection) => connection.sourceAddress);
export const DESTINATION_IP: Field = addressField(
  "destination.ip",
  (connection) => connection.destinationAddress,
);
export const REMOTE_IP: Field = addressField("remote.ip", (connection, request, context) =>
  request === null
    ? connection.remoteAddress
    : remoteAddressOf(connection, request.headers, context.forwardedFor),
);
