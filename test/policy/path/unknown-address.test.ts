/** Rules that ask for an address which nobody knows: what hangs on it is open, in both directions, and nothing else. */
import { describe } from "node:test";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  authorizationText,
  type JourneyCase,
  meshConfigText,
  podText,
  serviceText,
  testJourneys,
  tokenText,
} from "./journey-text.ts";

const PORTS = { ports: [8080, 9000] };
/** Pods without an address, as of templates. */
const SERVER = podText("a", "s", PORTS) + serviceText("a", "s");
const PLACED = podText("a", "s", { ip: "10.0.0.2", ...PORTS }) + serviceText("a", "s");
const PROVIDER = meshConfigText({
  extensionProviders: [{ name: "x", envoyExtAuthzHttp: { service: "s.a.svc.cluster.local", port: 80 } }],
});

type Rules = readonly object[];
const of = (action: string, rules: Rules, name = action.toLowerCase()): string =>
  authorizationText("a", name, {
    action,
    rules,
    ...(action === "CUSTOM" ? { provider: { name: "x" } } : {}),
  });
const ALLOW = (...rules: Rules): string => of("ALLOW", rules);
const DENY = (...rules: Rules): string => of("DENY", rules);
const CUSTOM = (...rules: Rules): string => of("CUSTOM", rules) + PROVIDER;
const GRPC_CUSTOM = (...rules: Rules): string =>
  of("CUSTOM", rules) +
  meshConfigText({
    extensionProviders: [{ name: "x", envoyExtAuthzGrpc: { service: "s.a.svc.cluster.local", port: 81 } }],
  });
/** A CUSTOM policy whose provider nobody configured denies what it matches. */
const BROKEN = (...rules: Rules): string => of("CUSTOM", rules);

const source = (fields: object): object => ({ from: [{ source: fields }] });
const when = (key: string, ...values: readonly string[]): object => ({ when: [{ key, values }] });
const BLOCKS = source({ ipBlocks: ["10.0.0.0/8"] });
const NOT_BLOCKS = source({ notIpBlocks: ["10.0.0.0/8"] });
const REMOTE = source({ remoteIpBlocks: ["10.0.0.0/8"] });
const GET = { to: [{ operation: { methods: ["GET"] } }] };
const POST = { to: [{ operation: { methods: ["POST"] } }] };
const NOBODY = source({ principals: ["nobody"] });
const HERE = when("destination.ip", "10.0.0.0/8");

const mesh = (...policies: readonly string[]): ReturnType<typeof meshOf> =>
  meshOf(SERVER + policies.join(""));
const placed = (...policies: readonly string[]): ReturnType<typeof meshOf> =>
  meshOf(PLACED + policies.join(""));
const from = { principal: "cluster.local/ns/a/sa/c" } as const;
const known = { ...from, ip: "10.0.0.1" } as const;
const HTTP = { from, to: { workload: "a/s", port: 8080 } } as const;
const TCP = { from, to: { workload: "a/s", port: 9000 }, protocol: "tcp" } as const;
const FORWARDED = [
  ["x-z", "1"],
  ["X-Forwarded-For", "10.1.1.1"],
] as const;

const FIELDS: readonly JourneyCase[] = [
  {
    law: "ipBlocks",
    mesh: placed(ALLOW(BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
    explained: [
      ["unknown: rules ask for an address that is not known (give from.ip, or a mesh with status.podIP)"],
    ],
  },
  {
    law: "ipBlocks of a known source",
    mesh: placed(ALLOW(BLOCKS)),
    ask: { ...HTTP, from: known },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "notIpBlocks",
    mesh: placed(ALLOW(NOT_BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "source.ip",
    mesh: placed(ALLOW(when("source.ip", "10.0.0.0/8"))),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "remoteIpBlocks",
    mesh: placed(ALLOW(REMOTE)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "remote.ip",
    mesh: placed(ALLOW(when("remote.ip", "10.0.0.0/8"))),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "remoteIpBlocks where X-Forwarded-For tells it",
    mesh: placed(ALLOW(REMOTE)),
    ask: { ...HTTP, headers: FORWARDED },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "remoteIpBlocks where only a value is named so",
    mesh: placed(ALLOW(REMOTE)),
    ask: { ...HTTP, headers: [["x-a", "x-forwarded-for"]] },
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "ipBlocks although X-Forwarded-For tells the original client",
    mesh: placed(ALLOW(BLOCKS)),
    ask: { ...HTTP, headers: FORWARDED },
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "destination.ip",
    mesh: mesh(ALLOW(HERE)),
    ask: { ...HTTP, from: known },
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "destination.ip of a placed server",
    mesh: placed(ALLOW(HERE)),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "ipBlocks of a known source at a server without an address",
    mesh: mesh(ALLOW(BLOCKS)),
    ask: { ...HTTP, from: known },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "remoteIpBlocks of a known source at a server without an address",
    mesh: mesh(ALLOW(REMOTE)),
    ask: { ...HTTP, from: known },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "other fields",
    mesh: mesh(ALLOW(source({ namespaces: ["a"] }))),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
];

const BY_RULES: readonly JourneyCase[] = [
  {
    law: "a DENY rule that matches anyway decides",
    mesh: mesh(ALLOW(BLOCKS), DENY(GET)),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 rbac/deny-matched at authorization, by AuthorizationPolicy a/deny #0",
      ],
    ],
  },
  {
    law: "a DENY rule that may match leaves an allowed request open",
    mesh: mesh(ALLOW(GET), DENY(BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "a DENY rule that may match leaves one open where no ALLOW policy applies",
    mesh: mesh(DENY(BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "a DENY rule that may match is of no account to what no ALLOW rule allows",
    mesh: mesh(ALLOW(POST), DENY(BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "a DENY rule that cannot match whatever the address",
    mesh: mesh(DENY({ ...BLOCKS, ...POST })),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "an ALLOW rule that cannot match whatever the address",
    mesh: mesh(ALLOW({ ...BLOCKS, ...POST })),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "an ALLOW rule that matches anyway decides beside one that may",
    mesh: mesh(ALLOW(BLOCKS, GET)),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #1",
      ],
    ],
  },
  {
    law: "one of several sources of an ALLOW rule that matches anyway decides",
    mesh: mesh(
      ALLOW({ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }, { source: { namespaces: ["a"] } }] }),
    ),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "a source that wants more than the address cannot match without it",
    mesh: mesh(ALLOW({ from: [{ source: { ipBlocks: ["10.0.0.0/8"], principals: ["nobody"] } }] })),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "no ALLOW rule at all denies",
    mesh: mesh(authorizationText("a", "none", {}), DENY(BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 rbac/no-allow-matched at authorization, by none"]],
  },
];

const AUTHORIZERS: readonly JourneyCase[] = [
  {
    law: "whether an external authorizer is asked may hang on it",
    mesh: mesh(CUSTOM(BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "an answer that allows is asked for in vain: nothing else is open",
    mesh: mesh(CUSTOM(BLOCKS)),
    ask: { ...HTTP, extAuthz: "allow" },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "an answer that refuses hangs on whether the rule matches",
    mesh: mesh(CUSTOM(BLOCKS)),
    ask: { ...HTTP, extAuthz: "deny" },
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "an answer that refuses what matches anyway refuses",
    mesh: mesh(CUSTOM(GET), DENY(BLOCKS)),
    ask: { ...HTTP, extAuthz: "deny" },
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 rbac/ext-authz-denied at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "an answer that refuses what cannot match is of no account",
    mesh: mesh(CUSTOM({ ...BLOCKS, ...POST })),
    ask: { ...HTTP, extAuthz: "deny" },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "an authorizer that cannot be asked for this is not",
    mesh: mesh(CUSTOM({ ...BLOCKS, ...POST })),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "an authorizer that is asked anyway leaves its answer open",
    mesh: mesh(CUSTOM(GET), DENY(BLOCKS)),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 unknown/ext-authz-unanswered at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "an authorizer of nobody denies what it matches anyway",
    mesh: mesh(BROKEN(GET), DENY(BLOCKS)),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 rbac/ext-authz-misconfigured at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "an authorizer of nobody leaves open what it may match",
    mesh: mesh(BROKEN(BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "an authorizer of nobody that may match is of no account to what is denied anyway",
    mesh: mesh(BROKEN(BLOCKS), ALLOW(POST)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "an authorizer of nobody that cannot match leaves nothing open",
    mesh: mesh(BROKEN({ ...BLOCKS, ...POST }), ALLOW(GET)),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
];

const BYTES: readonly JourneyCase[] = [
  {
    law: "bytes: ipBlocks",
    mesh: placed(ALLOW(BLOCKS)),
    ask: TCP,
    ways: [[["a/s:9000"], "a/s server refused 0 unknown/address-unknown at authorization, by none"]],
    explained: [
      ["unknown: rules ask for an address that is not known (give from.ip, or a mesh with status.podIP)"],
    ],
  },
  {
    law: "bytes: remoteIpBlocks, no header tells them",
    mesh: placed(ALLOW(REMOTE)),
    ask: TCP,
    ways: [[["a/s:9000"], "a/s server refused 0 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "bytes of a known source",
    mesh: placed(ALLOW(BLOCKS)),
    ask: { ...TCP, from: known },
    ways: [
      [
        ["a/s:9000"],
        "a/s server allowed 0 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "bytes: nothing asks for it",
    mesh: mesh(ALLOW(source({ namespaces: ["a"] }))),
    ask: TCP,
    ways: [
      [
        ["a/s:9000"],
        "a/s server allowed 0 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "bytes: a rule with HTTP attributes is none",
    mesh: mesh(ALLOW({ ...BLOCKS, ...GET })),
    ask: TCP,
    ways: [[["a/s:9000"], "a/s server refused 0 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "bytes: a DENY rule loses its HTTP attributes, and what is left may match",
    mesh: mesh(DENY({ ...BLOCKS, ...POST })),
    ask: TCP,
    ways: [[["a/s:9000"], "a/s server refused 0 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "bytes: a DENY rule that matches anyway decides",
    mesh: mesh(DENY(POST), ALLOW(BLOCKS)),
    ask: TCP,
    ways: [
      [
        ["a/s:9000"],
        "a/s server refused 0 rbac/deny-matched at authorization, by AuthorizationPolicy a/deny #0",
      ],
    ],
  },
  {
    law: "bytes: an authorizer over HTTP is not asked",
    mesh: mesh(CUSTOM(BLOCKS)),
    ask: TCP,
    ways: [[["a/s:9000"], "a/s server allowed 0 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "bytes: an authorizer that may be asked",
    mesh: mesh(GRPC_CUSTOM(BLOCKS)),
    ask: TCP,
    ways: [[["a/s:9000"], "a/s server refused 0 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "bytes: an authorizer that is asked anyway",
    mesh: mesh(GRPC_CUSTOM(GET)),
    ask: TCP,
    ways: [
      [
        ["a/s:9000"],
        "a/s server refused 0 unknown/ext-authz-unanswered at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "bytes: an authorizer that allows",
    mesh: mesh(GRPC_CUSTOM(GET)),
    ask: { ...TCP, extAuthz: "allow" },
    ways: [[["a/s:9000"], "a/s server allowed 0 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "bytes: an authorizer that refuses",
    mesh: mesh(GRPC_CUSTOM(GET)),
    ask: { ...TCP, extAuthz: "deny" },
    ways: [
      [
        ["a/s:9000"],
        "a/s server refused 0 rbac/ext-authz-denied at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "bytes: an authorizer that refuses what it may be asked",
    mesh: mesh(GRPC_CUSTOM(BLOCKS)),
    ask: { ...TCP, extAuthz: "deny" },
    ways: [[["a/s:9000"], "a/s server refused 0 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "bytes: an authorizer that allows what it may be asked",
    mesh: mesh(GRPC_CUSTOM(BLOCKS)),
    ask: { ...TCP, extAuthz: "allow" },
    ways: [[["a/s:9000"], "a/s server allowed 0 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "bytes: an authorizer of nobody that may match",
    mesh: mesh(BROKEN(BLOCKS)),
    ask: TCP,
    ways: [[["a/s:9000"], "a/s server refused 0 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "bytes inside the application's own TLS have no identity",
    mesh: mesh(ALLOW(source({ ipBlocks: ["10.0.0.0/8"], principals: ["cluster.local/ns/a/sa/c"] }))),
    ask: { ...TCP, from: { tls: "simple" }, protocol: "tls" },
    ways: [[["a/s:9000"], "a/s server refused 0 rbac/no-allow-matched at authorization, by none"]],
    explained: [
      [
        "denied: ALLOW policies apply to the workload and none of their rules matches",
        "the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy a/allow",
        "it wants principals in [cluster.local/ns/a/sa/c]; came no client certificate",
        "it wants ipBlocks in [10.0.0.0/8]; came an unknown address",
      ],
    ],
  },
  {
    law: "HTTP at a TCP port is judged as bytes, and answered by the application",
    mesh: mesh(ALLOW(NOBODY), DENY(BLOCKS)),
    ask: { ...TCP, protocol: "http" },
    ways: [[["a/s:9000"], "a/s server refused 0 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "a refused connection is refused whatever the address",
    mesh: mesh(ALLOW(BLOCKS)),
    ask: { ...TCP, from: { principal: "other.domain/ns/a/sa/c" } },
    ways: [[["a/s:9000"], "a/s server refused 0 tls/foreign-trust-domain at transport, by none"]],
  },
];

const TOKENS = tokenText("a", "t", { jwtRules: [{ issuer: "i", jwks: '{"keys":[]}' }] });
const FETCHED = tokenText("a", "t", { jwtRules: [{ issuer: "i", jwksUri: "https://i/keys" }] });
const UNSIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIn0.AAAA";
const anyIssuer = (more: object): string =>
  tokenText("a", "t", { jwtRules: [{ jwks: '{"keys":[]}', ...more }] });
const CLAIMS = { from: known, to: HTTP.to } as const;
const wantsToken = ALLOW(source({ requestPrincipals: ["*"] }));
const wantsAnything = ALLOW({});

const ASKED: readonly JourneyCase[] = [
  {
    law: "what hangs on an authorizer is told: an ALLOW rule",
    mesh: placed(CUSTOM(GET), ALLOW(POST, GET)),
    ask: { ...HTTP, from: known },
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 unknown/ext-authz-unanswered at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
    explained: [
      [
        "unknown: an external authorizer has to be asked (provider `x`, http, s.a.svc.cluster.local:80): AuthorizationPolicy a/custom rule 0",
        "methods in [GET]: came `GET`",
        "its answer decides: give --ext-authz allow or deny (`extAuthz` in a file of requests)",
        "were it to allow, the request would be allowed (allow-matched, AuthorizationPolicy a/allow rule 1)",
      ],
    ],
  },
  {
    law: "what hangs on an authorizer is told: nobody else",
    mesh: placed(CUSTOM(GET)),
    ask: { ...HTTP, from: known },
    explained: [
      [
        "unknown: an external authorizer has to be asked (provider `x`, http, s.a.svc.cluster.local:80): AuthorizationPolicy a/custom rule 0",
        "methods in [GET]: came `GET`",
        "its answer decides: give --ext-authz allow or deny (`extAuthz` in a file of requests)",
        "were it to allow, the request would be allowed (no-allow-policies)",
      ],
    ],
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 unknown/ext-authz-unanswered at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "what hangs on an authorizer is told: no rule",
    mesh: placed(CUSTOM(GET), ALLOW(POST)),
    ask: { ...HTTP, from: known },
    explained: [
      [
        "unknown: an external authorizer has to be asked (provider `x`, http, s.a.svc.cluster.local:80): AuthorizationPolicy a/custom rule 0",
        "methods in [GET]: came `GET`",
        "its answer decides: give --ext-authz allow or deny (`extAuthz` in a file of requests)",
        "were it to allow, the request would be denied (no-allow-matched)",
      ],
    ],
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 unknown/ext-authz-unanswered at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "what hangs on an authorizer is told: a token",
    mesh: placed(CUSTOM(GET), TOKENS),
    ask: { ...HTTP, from: known, jwt: "x.y.z" },
    explained: [
      [
        "unknown: an external authorizer has to be asked (provider `x`, http, s.a.svc.cluster.local:80): AuthorizationPolicy a/custom rule 0",
        "methods in [GET]: came `GET`",
        "its answer decides: give --ext-authz allow or deny (`extAuthz` in a file of requests)",
        "were it to allow, the request would be denied (jwt-invalid, RequestAuthentication a/t)",
      ],
    ],
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 unknown/ext-authz-unanswered at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "what hangs on an authorizer of bytes is its answer",
    mesh: placed(GRPC_CUSTOM(GET)),
    ask: { ...TCP, from: known },
    explained: [
      [
        "unknown: an external authorizer has to be asked (provider `x`, grpc, s.a.svc.cluster.local:81): AuthorizationPolicy a/custom rule 0",
        "the rule matches everything",
        "its answer decides: give --ext-authz allow or deny (`extAuthz` in a file of requests)",
      ],
    ],
    ways: [
      [
        ["a/s:9000"],
        "a/s server refused 0 unknown/ext-authz-unanswered at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "an authorizer that refuses comes before tokens whose keys are not known",
    mesh: placed(CUSTOM(GET), FETCHED),
    ask: { ...HTTP, from: known, extAuthz: "deny", jwt: UNSIGNED },
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 rbac/ext-authz-denied at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "tokens whose keys are not known come after one that allows",
    mesh: placed(CUSTOM(GET), FETCHED),
    ask: { ...HTTP, from: known, extAuthz: "allow", jwt: UNSIGNED },
    ways: [[["a/s:8080"], "a/s server refused 401 unknown/jwks-not-fetched at jwt, by none"]],
    explained: [
      [
        'unknown: the token\'s keys are fetched by HTTP, which is not done here (give {"claims": …} to take it as verified)',
      ],
    ],
  },
];

const CLAIMED: readonly JourneyCase[] = [
  {
    law: "claims of any issuer are taken by a rule that names none",
    mesh: placed(anyIssuer({}), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "who", sub: "me" } } },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "claims of another issuer are refused",
    mesh: placed(anyIssuer({ issuer: "i" }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "who", sub: "me" } } },
    ways: [[["a/s:8080"], "a/s server refused 401 jwt/jwt-unknown-issuer at jwt, by none"]],
    explained: [["refused with 401: the token is of an issuer that no RequestAuthentication names"]],
  },
  {
    law: "claims whose issuer is no text are the first rule's",
    mesh: placed(anyIssuer({ issuer: "i" }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: 7, sub: "me" } } },
    ways: [[["a/s:8080"], "a/s server refused 403 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "claims for an audience of the rule",
    mesh: placed(anyIssuer({ issuer: "i", audiences: ["api", "web"] }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "i", sub: "me", aud: "web" } } },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "claims for one of several audiences",
    mesh: placed(anyIssuer({ issuer: "i", audiences: ["7"] }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "i", sub: "me", aud: ["x", 7] } } },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "claims for other audiences are refused",
    mesh: placed(anyIssuer({ issuer: "i", audiences: ["api"] }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "i", sub: "me", aud: ["x"] } } },
    ways: [
      [["a/s:8080"], "a/s server refused 403 jwt/jwt-wrong-audience at jwt, by RequestAuthentication a/t"],
    ],
    explained: [["refused with 403: the token is for another audience (RequestAuthentication a/t)"]],
  },
  {
    law: "claims for no audience at all are refused",
    mesh: placed(anyIssuer({ issuer: "i", audiences: ["api"] }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "i", sub: "me", aud: [] } } },
    ways: [
      [["a/s:8080"], "a/s server refused 403 jwt/jwt-wrong-audience at jwt, by RequestAuthentication a/t"],
    ],
  },
  {
    law: "claims with an issuer are a whole token: without an audience it is refused where the rule wants one",
    mesh: placed(anyIssuer({ issuer: "i", audiences: ["api"] }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "i", sub: "me" } } },
    ways: [
      [["a/s:8080"], "a/s server refused 403 jwt/jwt-wrong-audience at jwt, by RequestAuthentication a/t"],
    ],
  },
  {
    law: "claims with an issuer and without an audience are taken where the rule wants none",
    mesh: placed(anyIssuer({ issuer: "i" }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "i", sub: "me" } } },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "claims without issuer and audience are those of a token of the first rule's",
    mesh: placed(anyIssuer({ issuer: "i", audiences: ["api"] }), wantsAnything),
    ask: { ...CLAIMS, jwt: { claims: { sub: "me" } } },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/allow #0",
      ],
    ],
  },
  {
    law: "claims without issuer that name another audience are refused",
    mesh: placed(anyIssuer({ issuer: "i", audiences: ["api"] }), wantsAnything),
    ask: { ...CLAIMS, jwt: { claims: { sub: "me", aud: "web" } } },
    ways: [
      [["a/s:8080"], "a/s server refused 403 jwt/jwt-wrong-audience at jwt, by RequestAuthentication a/t"],
    ],
  },
  {
    law: "claims whose audience is neither a text nor a list are no token",
    mesh: placed(anyIssuer({ issuer: "i", audiences: ["api"] }), wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "i", sub: "me", aud: 7 } } },
    ways: [[["a/s:8080"], "a/s server refused 401 jwt/jwt-invalid at jwt, by RequestAuthentication a/t"]],
  },
  {
    law: "claims are nothing where no RequestAuthentication asks",
    mesh: placed(wantsToken),
    ask: { ...CLAIMS, jwt: { claims: { iss: "i", sub: "me" } } },
    ways: [[["a/s:8080"], "a/s server refused 403 rbac/no-allow-matched at authorization, by none"]],
  },
];

/** A CUSTOM policy that is only tried denies what it matches (Istio since 1.30). */
const DRY_RUN = (...rules: Rules): string =>
  CUSTOM(...rules).replace('"metadata":{', '"metadata":{"annotations":{"istio.io/dry-run":"true"},');

const NOT_FROM: readonly JourneyCase[] = [
  {
    law: "an authorizer of nobody: what it does not match because an address is unknown is open",
    mesh: mesh(BROKEN(NOT_BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "an authorizer of nobody: the same of bytes",
    mesh: mesh(BROKEN(NOT_BLOCKS)),
    ask: TCP,
    ways: [[["a/s:9000"], "a/s server refused 0 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "an authorizer that is only tried: the same",
    mesh: mesh(DRY_RUN(NOT_BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "an authorizer that is only tried denies what it matches",
    mesh: mesh(DRY_RUN(GET), ALLOW(BLOCKS)),
    ask: HTTP,
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 403 rbac/ext-authz-dry-run at ext-authz, by AuthorizationPolicy a/custom #0",
      ],
    ],
  },
  {
    law: "a DENY rule of all but an unknown address",
    mesh: mesh(DENY(NOT_BLOCKS)),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
  {
    law: "one of several operations is enough",
    mesh: mesh(
      ALLOW({ ...BLOCKS, to: [{ operation: { methods: ["POST"] } }, { operation: { methods: ["GET"] } }] }),
    ),
    ask: HTTP,
    ways: [[["a/s:8080"], "a/s server refused 403 unknown/address-unknown at authorization, by none"]],
  },
];

describe("fields of an unknown address", () => testJourneys(FIELDS));
describe("what hangs on an unknown address", () => testJourneys(BY_RULES));
describe("external authorizers and an unknown address", () => testJourneys(AUTHORIZERS));
describe("bytes from an unknown address", () => testJourneys(BYTES));
describe("what hangs on an external authorizer", () => testJourneys(ASKED));
describe("claims that are taken as verified", () => testJourneys(CLAIMED));
describe("negative lists, and authorizers that deny unasked", () => testJourneys(NOT_FROM));
