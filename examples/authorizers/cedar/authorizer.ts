/**
 * An external authorizer for Envoy's protocol (envoy.service.auth.v3, gRPC) that lets Cedar decide.
 * `node authorizer.ts POLICY.cedar ENTITIES.json`; listens on $HOST:$PORT.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadPackageDefinition, Server, ServerCredentials, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { CedarPolicies, type Question, type Verdict } from "./cedar-policies.ts";

const PERMISSION_DENIED = 7;

interface CheckRequest {
  readonly attributes?: {
    readonly source?: { readonly principal?: string };
    readonly request?: { readonly http?: { readonly method?: string; readonly path?: string } };
  };
}

function questionOf({ attributes }: CheckRequest): Question {
  const { method = "", path = "" } = attributes?.request?.http ?? {};
  return { principal: attributes?.source?.principal ?? "", method, path };
}

function responseTo(verdict: Verdict): object {
  if (!verdict.allowed) {
    const { status: code, reason: body } = verdict;
    const denied_response = { status: { code }, headers: [field("x-denied-by", "cedar")], body };
    return { status: { code: PERMISSION_DENIED }, denied_response };
  }
  const ok_response = {
    // The application learns whose orders are meant from nobody else.
    headers: [field("x-customer", verdict.customer)],
    headers_to_remove: ["x-debug"],
    response_headers_to_add: [field("x-decided-by", "cedar")],
  };
  return { status: { code: 0 }, ok_response };
}

function field(key: string, value: string): object {
  return { header: { key, value } };
}

const [policyPath, entitiesPath] = process.argv.slice(2);
if (policyPath === undefined || entitiesPath === undefined) {
  console.error("usage: node authorizer.ts POLICY.cedar ENTITIES.json");
  process.exit(2);
}
const policies = new CedarPolicies(readFileSync(policyPath, "utf8"), readFileSync(entitiesPath, "utf8"));
const proto = loadPackageDefinition(
  loadSync(join(import.meta.dirname, "external_auth.proto"), { keepCase: true }),
) as any;
const server = new Server();
server.addService(proto.envoy.service.auth.v3.Authorization.service, {
  // What Cedar cannot decide is an error of the call, which the provider's failOpen is about; never an allow.
  Check: (call: { request: CheckRequest }, answer: (error: object | null, response?: object) => void) => {
    let response: object;
    try {
      response = responseTo(policies.decide(questionOf(call.request)));
    } catch {
      answer({ code: status.INTERNAL, details: "the policies cannot be evaluated" });
      return;
    }
    answer(null, response);
  },
});
const { HOST = "127.0.0.1", PORT = "9191" } = process.env;
server.bindAsync(`${HOST}:${PORT}`, ServerCredentials.createInsecure(), (error) => {
  if (error === null) console.log(`listening on ${HOST}:${PORT}`);
  else {
    console.error(error.message);
    process.exit(1);
  }
});
