/** Whether a value is a request that can be asked of a mesh: every problem, each with its place and what was meant. */
import { gatewaysSelecting } from "../../model/gateway-role.ts";
import type { Mesh, Workload } from "../../model/mesh.ts";
import { didYouMean, suggestion } from "../../resources/did-you-mean.ts";
import { type FieldPath, resourceName } from "../../resources/resource.ts";
import { parseIpAddress } from "../ip-address.ts";
import type { AccessRequest } from "./access-request.ts";
import { findService, meshDirectory } from "./compiled-policies.ts";
import { isHost } from "./read-access.ts";
import type { SurveyQuestion } from "./survey.ts";

export interface RequestProblem {
  readonly code: "BW1501_REQUEST_FIELD" | "BW1502_REQUEST_NAME";
  readonly path: FieldPath;
  /** Point at the key rather than at its value. */
  readonly atKey?: boolean;
  /** One line. */
  readonly message: string;
  readonly help?: string;
}

/** A field's own rule: undefined where the value will do, else what it has to be. */
type Rule = (value: unknown) => string | undefined;

const text: Rule = (value) => (typeof value === "string" ? undefined : "a string");
const name: Rule = (value) => (typeof value === "string" && value !== "" ? undefined : "a name");
const textOrNull: Rule = (value) =>
  value === null || name(value) === undefined ? undefined : "an identity, or null";
const address: Rule = (value) =>
  typeof value === "string" && parseIpAddress(value) !== undefined ? undefined : "an IP address";
const port: Rule = (value) =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65535
    ? undefined
    : "a port (1 to 65535)";
const texts: Rule = (value) =>
  Array.isArray(value) && value.every((entry) => typeof entry === "string") ? undefined : "a list of strings";
const pairs: Rule = (value) =>
  Array.isArray(value) && value.every((pair) => texts(pair) === undefined && (pair as unknown[]).length === 2)
    ? undefined
    : "a list of [name, value]";
const token: Rule = (value) => {
  const claims = isRecord(value) && Object.keys(value).length === 1 ? value.claims : undefined;
  return typeof value === "string" || isRecord(claims) ? undefined : 'a compact token, or {"claims": {…}}';
};

function oneOf(...words: readonly string[]): Rule {
  return (value) => (words.includes(value as string) ? undefined : `one of ${words.join(", ")}`);
}

/** What the corpora and docs/can.md say, field by field. */
const FIELDS: Readonly<Record<string, Rule>> = {
  id: text,
  via: name,
  protocol: oneOf("http", "grpc", "tcp", "tls"),
  method: name,
  path: text,
  host: text,
  authority: text,
  headers: pairs,
  sni: text,
  jwt: token,
  extAuthz: oneOf("allow", "deny"),
};
const FROM_FIELDS: Readonly<Record<string, Rule>> = {
  workload: name,
  principal: textOrNull,
  ip: address,
  tls: oneOf("simple", "rogue"),
  alpn: texts,
};
const TO_FIELDS: Readonly<Record<string, Rule>> = {
  workload: name,
  service: name,
  host: name,
  port,
  ip: address,
};

/** @param value one request, as JSON or a program gives it; its identity may carry `spiffe://`. */
export function checkRequest(mesh: Mesh, value: unknown): readonly RequestProblem[] {
  if (!isRecord(value)) return [{ ...field([], "a request has to be an object"), help: EXAMPLE }];
  const { from = {}, to, ...rest } = value;
  const problems = [...fieldProblems(rest, FIELDS, [], ["from", "to"])];
  if (!isRecord(from)) problems.push(field(["from"], "`from` has to be an object"));
  else problems.push(...fieldProblems(from, FROM_FIELDS, ["from"], []));
  if (to === undefined)
    problems.push({
      ...field([], "the request does not say whom it is for: `to` is missing"),
      help: EXAMPLE,
    });
  else if (!isRecord(to)) problems.push(field(["to"], "`to` has to be an object"));
  else problems.push(...fieldProblems(to, TO_FIELDS, ["to"], []), ...destinationProblems(to));
  if (problems.length > 0) return problems;
  const request = value as unknown as AccessRequest;
  const inHead = headProblems(request);
  return inHead.length > 0 ? inHead : nameProblems(mesh, request);
}

/** @param question of a program: every name in it has to be one of the mesh's. */
export function checkSurvey(mesh: Mesh, question: SurveyQuestion): readonly RequestProblem[] {
  const { to, from, port = 1, namespace, requests = [] } = question;
  const own = to ?? from;
  if (own === undefined || (to !== undefined && from !== undefined))
    return [field([], "name one workload: `to`, whom others may reach, or `from`, who may reach others")];
  const asked = requests.length === 0 ? [{}] : requests;
  const problems = asked.flatMap((request) =>
    checkRequest(mesh, { ...request, to: { workload: own, port } }),
  );
  if (namespace === undefined || mesh.namespaces.has(namespace)) return problems;
  const message = `the mesh has no namespace \`${namespace}\``;
  return [...problems, unknownName(["namespace"], message, namespace, mesh.namespaces.keys())];
}

const EXAMPLE = 'as in {"from": {"workload": "team-a/app-a"}, "to": {"host": "payroll.finance", "port": 80}}';

function fieldProblems(
  record: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, Rule>>,
  at: FieldPath,
  others: readonly string[],
): RequestProblem[] {
  return Object.entries(record).flatMap(([key, value]): RequestProblem[] => {
    const path = [...at, key];
    const named = path.join(".");
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
    if (rule === undefined) {
      const help = suggestion(key, [...Object.keys(rules), ...others]);
      const known = `known are ${[...others, ...Object.keys(rules)].join(", ")}`;
      return [
        { ...field(path, `there is no field \`${named}\``), atKey: true, help: help === "" ? known : help },
      ];
    }
    const wanted = value === undefined ? undefined : rule(value);
    if (wanted === undefined) return [];
    const meant =
      typeof value === "string" ? didYouMean(value, wanted.replace("one of ", "").split(", ")) : undefined;
    return [
      {
        ...field(path, `\`${named}\` has to be ${wanted}`),
        ...(meant === undefined ? {} : { help: `did you mean \`${meant}\`?` }),
      },
    ];
  });
}

const DESTINATIONS = ["workload", "service", "host"] as const;

function destinationProblems(to: Readonly<Record<string, unknown>>): RequestProblem[] {
  const named = DESTINATIONS.filter((key) => to[key] !== undefined);
  const problems: RequestProblem[] = [];
  if (named.length !== 1)
    problems.push(
      field(
        ["to"],
        `\`to\` has to have exactly one of workload, service and host; it has ${named.join(", ") || "none"}`,
      ),
    );
  if (to.port === undefined) problems.push(field(["to"], "`to.port` is missing"));
  return problems;
}

const LINE_BREAK = /[\r\n]/;

/** What cannot be one field of one head, and a Host that says something else than `host` does. */
function headProblems({ host, authority, headers = [] }: AccessRequest): readonly RequestProblem[] {
  const problems: RequestProblem[] = [];
  for (const [key, value] of Object.entries({ host, authority }))
    if (value !== undefined && LINE_BREAK.test(value))
      problems.push(field([key], `\`${key}\` has a line break: it cannot be one field`));
  const said = authority ?? host;
  let before = said;
  for (const [index, header] of headers.entries()) {
    if (header.some((part) => LINE_BREAK.test(part)))
      problems.push(
        field(["headers", index], "a header with a line break is more than one: write each by itself"),
      );
    if (!isHost(header)) continue;
    const value = header[1].trim();
    if (before !== undefined && before !== value)
      problems.push(
        field(
          ["headers", index, 1],
          `Host is \`${value}\` here, and ${said === undefined ? "another header says" : authority === undefined ? "`host` is" : "`authority` is"} \`${before}\``,
        ),
      );
    before ??= value;
  }
  return problems;
}

/** Names that the mesh has to know. A `to.host` may be anything: whether it is known is the question. */
function nameProblems(mesh: Mesh, { from = {}, to, via }: AccessRequest): readonly RequestProblem[] {
  const directory = meshDirectory(mesh);
  const problems: RequestProblem[] = [];
  const workload = (key: string | undefined, path: FieldPath): void => {
    if (key === undefined || directory.workloads.has(key)) return;
    problems.push(unknownName(path, `the mesh has no workload \`${key}\``, key, directory.workloads.keys()));
  };
  workload(from.workload, ["from", "workload"]);
  workload(to.workload, ["to", "workload"]);
  workload(via, ["via"]);
  if (via !== undefined && to.workload !== undefined)
    problems.push(
      field(["via"], "`via` goes with `to.host` or `to.service`: the gateway itself chooses the workload"),
    );
  const entered = via === undefined ? undefined : directory.workloads.get(via);
  if (entered?.role === "application")
    problems.push({
      ...field(["via"], `\`${via}\` is no gateway: ${whyNoGateway(mesh, entered)}`),
      code: "BW1502_REQUEST_NAME",
    });
  const namespace = from.workload?.split("/", 1)[0];
  if (to.service !== undefined && findService(directory, to.service, namespace) === undefined)
    problems.push(
      unknownName(
        ["to", "service"],
        `the mesh has no service \`${to.service}\``,
        to.service,
        serviceNames(mesh),
      ),
    );
  return problems;
}

function unknownName(
  path: FieldPath,
  message: string,
  written: string,
  names: Iterable<string>,
): RequestProblem {
  const help = suggestion(written, names);
  return { code: "BW1502_REQUEST_NAME", path, message, ...(help === "" ? {} : { help }) };
}

/** As people write them: `payroll.finance` before the whole name. */
/** Of the pods that a Gateway selects, routers alone are served it. */
function whyNoGateway(mesh: Mesh, workload: Workload): string {
  const selecting = gatewaysSelecting(mesh, workload).map(resourceName);
  return selecting.length === 0
    ? "no Gateway selects it"
    : `${selecting.join(", ")} selects it, but no file says that its pods run \`proxy router\`, and an application's ports are declared`;
}

function serviceNames(mesh: Mesh): string[] {
  return mesh.services.flatMap(({ hostname, name: own, namespace, origin }) =>
    origin === "kubernetes" ? [`${own}.${namespace}`, hostname] : [hostname],
  );
}

function field(path: FieldPath, message: string): RequestProblem {
  return { code: "BW1501_REQUEST_FIELD", path, message };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
