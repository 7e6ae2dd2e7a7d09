/** From evidence to rules: what callers were seen to do, within what the rules that let them through allow. */
import type {
  AuthorizationSpec,
  OperationSpec,
  RuleSpec,
  SourceSpec,
  WhenSpec,
} from "../../policy/authorization-spec.ts";
import type { PortEvidence, Use } from "./evidence.ts";
import type { Fit } from "./judge-record.ts";
import { limitedTo } from "./limit-paths.ts";
import { type PathPattern, pathPatterns } from "./path-patterns.ts";
import type { PathThresholds } from "./path-thresholds.ts";

/** What one rule is to allow, with the evidence for it. */
export interface Grant {
  readonly principals: readonly string[];
  readonly operations: readonly GrantedOperation[];
  /** Conditions of today's rule that no record tells of: they stay. */
  readonly kept: Kept;
}

export interface GrantedOperation {
  readonly port: number;
  /** Null: whatever is said on the connection. */
  readonly methods: readonly string[] | null;
  readonly paths: readonly PathPattern[] | null;
  /** Server names of TLS, at gateways. */
  readonly sni: string | null;
  readonly requests: number;
  readonly kept: OperationSpec;
}

export interface Kept {
  readonly source: SourceSpec;
  readonly when: readonly WhenSpec[];
}

/** `readable` leaves out of today's rules what the identities, methods, paths and ports that are named make sure of; `whole` leaves nothing out. */
export type Carry = "readable" | "whole";

export interface GrantOptions {
  readonly thresholds: PathThresholds;
  readonly carry: Carry;
  /** The rules of a policy, by `AuthorizationPolicy namespace/name`. */
  readonly specOf: (policy: string) => AuthorizationSpec | undefined;
}

/** One caller, one way, one method. */
interface Atom {
  readonly principal: string;
  readonly kept: Kept;
  readonly keptOperation: OperationSpec;
  readonly port: number;
  readonly method: string | null;
  readonly sni: string | null;
  readonly paths: readonly PathPattern[] | null;
  readonly requests: number;
}

/** @param ports the evidence of all workloads that the policy is to be for. */
export function grantsOf(
  ports: Iterable<readonly [number, PortEvidence]>,
  options: GrantOptions,
): readonly Grant[] {
  const atoms: Atom[] = [];
  for (const [port, evidence] of ports) {
    const patterns = pathPatterns(evidence.paths, options.thresholds);
    const told = new Set(evidence.uses.flatMap(({ isUntold, principal }) => (isUntold ? [] : [principal])));
    for (const [number, use] of evidence.uses.entries()) {
      // Another log tells what was asked for on these connections.
      if (use.isUntold && told.has(use.principal)) continue;
      const paths = use.method === null ? null : (patterns.get(number) ?? []);
      for (const fit of use.fits === "open" ? [null] : use.fits)
        atoms.push(atomOf(use, port, paths, fit, options));
    }
  }
  return joinCallers(joinOperations(atoms));
}

function atomOf(
  use: Use,
  port: number,
  paths: readonly PathPattern[] | null,
  fit: Fit | null,
  { carry, specOf }: GrantOptions,
): Atom {
  const rule: RuleSpec = (fit === null ? undefined : specOf(fit.rule.policy)?.rules?.[fit.rule.index]) ?? {};
  const source = rule.from?.[fit?.from ?? 0]?.source ?? {};
  const operation = rule.to?.[fit?.to ?? 0]?.operation ?? {};
  const own = limitedTo(paths, operation.paths);
  const isWhole = carry === "whole";
  const isPattern = own === null || own.some(({ seen }) => seen !== undefined);
  return {
    principal: use.principal,
    kept: isWhole
      ? { source: wholeSource(source), when: withoutSeenName(rule.when ?? [], use.sni) }
      : { source: keptSource(source), when: keptWhen(rule.when ?? [], use.sni) },
    keptOperation: keptOperation(operation, {
      isTold: use.method !== null,
      isPattern: isWhole || isPattern,
      isWhole,
    }),
    port,
    method: use.method,
    sni: use.sni,
    paths: own,
    requests: use.requests,
  };
}

/** What the record of an identity alone does not make sure of. */
function keptSource({
  requestPrincipals,
  notRequestPrincipals,
  ipBlocks,
  notIpBlocks,
  remoteIpBlocks,
  notRemoteIpBlocks,
}: SourceSpec): SourceSpec {
  return present({
    requestPrincipals,
    notRequestPrincipals,
    ipBlocks,
    notIpBlocks,
    remoteIpBlocks,
    notRemoteIpBlocks,
  });
}

/** Identity and port are named. */
function keptWhen(when: readonly WhenSpec[], sni: string | null): readonly WhenSpec[] {
  return withoutSeenName(when, sni).filter(({ key }) => !MADE_SURE.has(key));
}

/** A server name that was seen, and met the condition, is named itself. */
function withoutSeenName(when: readonly WhenSpec[], sni: string | null): readonly WhenSpec[] {
  return sni === null ? when : when.filter(({ key }) => key !== "connection.sni");
}

const MADE_SURE: ReadonlySet<string> = new Set([
  "source.principal",
  "source.namespace",
  "source.serviceAccount",
  "source.trustDomain",
  "destination.port",
]);

/** Istio refuses accounts beside principals; these name the account. */
function wholeSource({
  principals: _p,
  serviceAccounts: _s,
  notServiceAccounts: _n,
  ...rest
}: SourceSpec): SourceSpec {
  return rest;
}

interface Told {
  /** Whether methods and paths were seen. */
  readonly isTold: boolean;
  /** Whether paths are named by more than themselves. */
  readonly isPattern: boolean;
  readonly isWhole: boolean;
}

function keptOperation(
  { hosts, notHosts, methods, notMethods, paths, notPaths, notPorts }: OperationSpec,
  { isTold, isPattern, isWhole }: Told,
): OperationSpec {
  const untold = isTold ? {} : { methods, paths };
  const excluded = isTold && !isWhole ? {} : { notMethods };
  return present({
    hosts,
    notHosts,
    ...untold,
    ...excluded,
    notPaths: isPattern ? notPaths : undefined,
    notPorts: isWhole ? notPorts : undefined,
  });
}

function present(
  fields: { readonly [K in keyof SourceSpec | keyof OperationSpec]?: readonly string[] | undefined },
): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, values]) =>
      values === undefined || values.length === 0 ? [] : [[name, values]],
    ),
  );
}

/** Methods with the same paths stand in one operation; ports and methods of one caller in one rule. */
function joinOperations(atoms: readonly Atom[]): readonly Grant[] {
  const callers = new Map<
    string,
    {
      readonly first: Atom;
      readonly operations: Map<string, GrantedOperation & { methods: string[] | null }>;
    }
  >();
  for (const atom of joinMethods(atoms)) {
    // A rule with anything of HTTP in it is none on TCP: the two stand apart.
    const key = JSON.stringify([atom.principal, atom.kept, atom.sni, isOfHttp(atom)]);
    const caller = callers.get(key) ?? { first: atom, operations: new Map() };
    callers.set(key, caller);
    const { port, method, paths, sni, requests, keptOperation: kept } = atom;
    const name = JSON.stringify([port, method === null, paths?.map(({ pattern }) => pattern), kept]);
    const known = caller.operations.get(name);
    if (known === undefined) {
      caller.operations.set(name, {
        port,
        methods: method === null ? null : [method],
        paths,
        sni,
        requests,
        kept,
      });
      continue;
    }
    caller.operations.set(name, {
      ...known,
      methods: method === null || known.methods === null ? null : [...known.methods, method].sort(),
      paths: known.paths === null || paths === null ? null : joinPaths([...known.paths, ...paths]),
      requests: known.requests + requests,
    });
  }
  return [...callers.values()].map(({ first, operations }) => ({
    principals: [first.principal],
    operations: [...operations.values()].toSorted(byOperation),
    kept: first.kept,
  }));
}

function isOfHttp({ method, keptOperation }: Atom): boolean {
  return method !== null || HTTP_FIELDS.some((field) => keptOperation[field] !== undefined);
}

const HTTP_FIELDS = ["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"] as const;

/** One atom for each method: several logs, or several of today's rules, tell of the same one. */
function joinMethods(atoms: readonly Atom[]): Iterable<Atom> {
  const joined = new Map<string, Atom>();
  for (const atom of atoms) {
    const { principal, kept, sni, port, method, keptOperation: operation, paths, requests } = atom;
    const key = JSON.stringify([principal, kept, sni, port, method, operation]);
    const known = joined.get(key);
    if (known === undefined) joined.set(key, atom);
    else {
      const both = known.paths === null || paths === null ? null : joinPaths([...known.paths, ...paths]);
      joined.set(key, { ...known, paths: both, requests: known.requests + requests });
    }
  }
  return joined.values();
}

function joinPaths(paths: readonly PathPattern[]): readonly PathPattern[] {
  const joined = new Map<string, PathPattern>();
  for (const path of paths) {
    const known = joined.get(path.pattern);
    joined.set(
      path.pattern,
      known === undefined ? path : { ...known, requests: known.requests + path.requests },
    );
  }
  return [...joined.values()].toSorted((a, b) => (a.pattern < b.pattern ? -1 : 1));
}

function byOperation(a: GrantedOperation, b: GrantedOperation): number {
  const text = ({ methods, paths }: GrantedOperation): string =>
    JSON.stringify([paths?.[0]?.pattern, methods]);
  return a.port - b.port || (text(a) < text(b) ? -1 : 1);
}

/** Callers that may do the same stand in one rule. */
function joinCallers(grants: readonly Grant[]): readonly Grant[] {
  const joined = new Map<string, Grant>();
  for (const grant of grants) {
    const operations = grant.operations.map(operationOf);
    const key = JSON.stringify([operations, grant.operations.map(({ sni }) => sni), grant.kept]);
    const known = joined.get(key);
    joined.set(key, known === undefined ? grant : together(known, grant));
  }
  return [...joined.values()]
    .map((grant) => ({ ...grant, principals: [...new Set(grant.principals)].sort() }))
    .toSorted((a, b) => ((a.principals[0] ?? "") < (b.principals[0] ?? "") ? -1 : 1));
}

function together(a: Grant, b: Grant): Grant {
  const operations = a.operations.map((own, at) => ({
    ...own,
    requests: own.requests + (b.operations[at]?.requests ?? 0),
    paths: own.paths === null ? null : joinPaths([...own.paths, ...(b.operations[at]?.paths ?? [])]),
  }));
  return { ...a, principals: [...a.principals, ...b.principals], operations };
}

/** As AuthorizationPolicy has it. */
export function ruleOf({ principals, operations, kept }: Grant): RuleSpec {
  const names = [...new Set(operations.flatMap(({ sni }) => sni ?? []))].sort();
  const when = [...kept.when, ...(names.length === 0 ? [] : [{ key: "connection.sni", values: names }])];
  return {
    from: [{ source: { ...kept.source, principals } }],
    to: operations.map((operation) => ({ operation: operationOf(operation) })),
    ...(when.length === 0 ? {} : { when }),
  };
}

function operationOf({ port, methods, paths, kept }: GrantedOperation): OperationSpec {
  const { methods: todayMethods, paths: todayPaths, ...others } = kept;
  // Where no record tells what was asked for, today's rule says it.
  const asked = present({
    methods: methods ?? todayMethods,
    paths: paths?.map(({ pattern }) => pattern) ?? todayPaths,
  });
  return { ...asked, ports: [String(port)], ...others };
}
