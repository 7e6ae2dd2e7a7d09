import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkRequest, checkSurvey, type RequestProblem } from "../../../src/policy/path/check-request.ts";
import type { SurveyQuestion } from "../../../src/policy/path/survey.ts";
import { app, meshOf } from "../outbound/mesh-of.ts";

const MESH = meshOf(`${app("team-a", "client")}${app("finance", "payroll")}
apiVersion: v1
kind: Namespace
metadata: {name: team-a}
---
apiVersion: v1
kind: Namespace
metadata: {name: finance}
---
apiVersion: v1
kind: Pod
metadata: {name: ingress, namespace: team-a, labels: {istio: gw}}
spec: {serviceAccountName: ingress, containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: team-a}
spec: {selector: {istio: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: team-a}
spec: {hosts: [www.example.com], ports: [{number: 443, name: tls, protocol: TLS}], location: MESH_EXTERNAL, resolution: DNS}
`);

const TO = { service: "payroll.finance", port: 80 };
const EXAMPLE = 'as in {"from": {"workload": "team-a/app-a"}, "to": {"host": "payroll.finance", "port": 80}}';
const KNOWN =
  "known are from, to, id, via, protocol, method, path, host, authority, headers, sni, jwt, extAuthz";

function wrong(
  path: RequestProblem["path"],
  message: string,
  more: Partial<RequestProblem> = {},
): RequestProblem {
  return { code: "BW1501_REQUEST_FIELD", path, message, ...more };
}

function unknown(path: RequestProblem["path"], message: string, help?: string): RequestProblem {
  return { code: "BW1502_REQUEST_NAME", path, message, ...(help === undefined ? {} : { help }) };
}

function assertProblems(value: unknown, ...expected: readonly RequestProblem[]): void {
  assert.deepEqual(checkRequest(MESH, value), expected, JSON.stringify(value));
}

describe("every field of a request takes what the documentation says", () => {
  const values: readonly (readonly [
    field: string,
    good: readonly unknown[],
    bad: readonly unknown[],
    wanted: string,
  ])[] = [
    ["id", ["", "r1"], [1, null, ["r1"]], "a string"],
    ["via", ["team-a/ingress"], ["", 1, null], "a name"],
    ["protocol", ["http", "grpc", "tcp", "tls"], ["", "udp-lite", 1], "one of http, grpc, tcp, tls"],
    ["method", ["GET", "x"], ["", 7], "a name"],
    ["path", ["", "/a"], [false], "a string"],
    ["host", ["", "h"], [{}], "a string"],
    ["authority", ["", "h"], [[]], "a string"],
    [
      "headers",
      [
        [],
        [["a", "b"]],
        [
          ["a", ""],
          ["b", "c"],
        ],
      ],
      ["a: b", {}, [["a"]], [["a", "b", "c"]], [["a", 1]], [["a", "b"], "c"]],
      "a list of [name, value]",
    ],
    ["sni", ["", "a.example"], [443], "a string"],
    [
      "jwt",
      ["", "e30.e30.", { claims: {} }, { claims: { sub: "a" } }],
      [1, null, {}, { claims: 1 }, { claims: null }, { claims: [] }, { claims: {}, iss: "a" }, []],
      'a compact token, or {"claims": {…}}',
    ],
    ["extAuthz", ["allow", "deny"], ["maybe", true], "one of allow, deny"],
    ["from.workload", ["team-a/client"], ["", 1], "a name"],
    ["from.principal", [null, "cluster.local/ns/a/sa/b"], ["", 1, {}], "an identity, or null"],
    ["from.ip", ["10.0.0.1", "::1"], ["10.0.0", "host", 10], "an IP address"],
    ["from.tls", ["simple", "rogue"], ["mutual", null], "one of simple, rogue"],
    ["from.alpn", [[], ["istio", "h2"]], ["istio", ["h2", 1], { 0: "h2" }], "a list of strings"],
    ["to.port", [1, 80, 65535], [0, 65536, -1, 1.5, Number.NaN, "80", null], "a port (1 to 65535)"],
    ["to.ip", ["10.0.0.1"], ["", 1], "an IP address"],
  ];

  function request(field: string, value: unknown): unknown {
    const [part = "", own] = field.split(".");
    if (own === undefined) return { to: TO, [part]: value };
    return part === "to" ? { to: { ...TO, [own]: value } } : { to: TO, from: { [own]: value } };
  }

  for (const [field, good, bad, wanted] of values)
    test(`${field}: ${wanted}`, () => {
      for (const value of [...good, undefined].filter((own) => own !== undefined || field !== "to.port"))
        assertProblems(request(field, value));
      for (const value of bad)
        assertProblems(request(field, value), wrong(field.split("."), `\`${field}\` has to be ${wanted}`));
    });

  test("names of destinations: a name, of whatever kind", () => {
    for (const key of ["workload", "service", "host"])
      for (const value of ["", 1, null])
        assertProblems(
          { to: { [key]: value, port: 80 } },
          wrong(["to", key], `\`to.${key}\` has to be a name`),
        );
  });

  test("a word that is nearly one of a list is told", () => {
    assertProblems(
      { to: TO, protocol: "htpp" },
      wrong(["protocol"], "`protocol` has to be one of http, grpc, tcp, tls", {
        help: "did you mean `http`?",
      }),
    );
    assertProblems(
      { to: TO, from: { tls: "rouge" } },
      wrong(["from", "tls"], "`from.tls` has to be one of simple, rogue", { help: "did you mean `rogue`?" }),
    );
    assertProblems(
      { to: TO, extAuthz: "alow" },
      wrong(["extAuthz"], "`extAuthz` has to be one of allow, deny", { help: "did you mean `allow`?" }),
    );
  });
});

describe("the shape of a request", () => {
  test("only an object is one, and an example is given", () => {
    for (const value of [null, undefined, "x", 1, [], [TO]])
      assertProblems(value, wrong([], "a request has to be an object", { help: EXAMPLE }));
  });

  test("whom it is for has to be said", () => {
    const missing = wrong([], "the request does not say whom it is for: `to` is missing", { help: EXAMPLE });
    assertProblems({}, missing);
    assertProblems({ from: {}, id: "a" }, missing);
  });

  test("from and to are objects", () => {
    for (const value of [null, "a", 1, []]) {
      assertProblems({ from: value, to: TO }, wrong(["from"], "`from` has to be an object"));
      assertProblems({ to: value }, wrong(["to"], "`to` has to be an object"));
    }
    assertProblems(
      { from: 1, to: 2 },
      wrong(["from"], "`from` has to be an object"),
      wrong(["to"], "`to` has to be an object"),
    );
  });

  test("exactly one destination, and its port", () => {
    const one = (has: string): RequestProblem =>
      wrong(["to"], `\`to\` has to have exactly one of workload, service and host; it has ${has}`);
    const port = wrong(["to"], "`to.port` is missing");
    assertProblems({ to: {} }, one("none"), port);
    assertProblems({ to: { port: 80 } }, one("none"));
    assertProblems({ to: { host: "a" } }, port);
    assertProblems({ to: { host: "a", port: undefined } }, port);
    assertProblems({ to: { host: "a", service: "b", port: 80 } }, one("service, host"));
    assertProblems(
      { to: { host: "a", service: "b", workload: "c", port: 80 } },
      one("workload, service, host"),
    );
    assertProblems({ to: { host: "a", service: undefined, port: 80 } });
  });

  test("an unknown field is told at its key, with what was meant or what there is", () => {
    const none = (path: RequestProblem["path"], help: string): RequestProblem =>
      wrong(path, `there is no field \`${path.join(".")}\``, { atKey: true, help });
    assertProblems({ to: TO, pth: "/" }, none(["pth"], "did you mean `path`?"));
    assertProblems({ to: TO, tto: 1 }, none(["tto"], "did you mean `to`?"));
    assertProblems({ to: TO, form: 1 }, none(["form"], "did you mean `from`?"));
    assertProblems({ to: TO, zzzzzzzzzzzz: 1 }, none(["zzzzzzzzzzzz"], KNOWN));
    assertProblems({ to: TO, toString: 1 }, none(["toString"], KNOWN));
    assertProblems(
      { to: TO, from: { workload: "team-a/client", zzzzzzzz: undefined } },
      none(["from", "zzzzzzzz"], "known are workload, principal, ip, tls, alpn"),
    );
    assertProblems(
      { to: { ...TO, prt: 80, qqqqqqqqq: 1 } },
      none(["to", "prt"], "did you mean `port`?"),
      none(["to", "qqqqqqqqq"], "known are workload, service, host, port, ip"),
    );
  });

  test("every problem is told, in the order of fields, source and destination; names only of what is well formed", () => {
    assertProblems(
      { id: 1, path: 2, from: { workload: "team-a/nobody", ip: "x" }, to: { workload: "no/body", port: 0 } },
      wrong(["id"], "`id` has to be a string"),
      wrong(["path"], "`path` has to be a string"),
      wrong(["from", "ip"], "`from.ip` has to be an IP address"),
      wrong(["to", "port"], "`to.port` has to be a port (1 to 65535)"),
    );
  });
});

describe("names that the mesh has to have", () => {
  test("workloads, with the nearest that there is", () => {
    assertProblems({ from: { workload: "team-a/client" }, to: { workload: "finance/payroll", port: 1 } });
    assertProblems(
      { from: { workload: "team-a/clint" }, to: { workload: "finance/payrol", port: 1 } },
      unknown(
        ["from", "workload"],
        "the mesh has no workload `team-a/clint`",
        "did you mean `team-a/client`?",
      ),
      unknown(
        ["to", "workload"],
        "the mesh has no workload `finance/payrol`",
        "did you mean `finance/payroll`?",
      ),
    );
    assertProblems(
      { from: { workload: "zz" }, to: TO },
      unknown(["from", "workload"], "the mesh has no workload `zz`"),
    );
  });

  test("services: by their whole name, name and namespace, or a name in the client's own", () => {
    for (const service of [
      "payroll.finance",
      "payroll.finance.svc.cluster.local",
      "PAYROLL.finance.svc",
      "www.example.com",
    ])
      assertProblems({ to: { service, port: 80 } });
    assertProblems({ from: { workload: "finance/payroll" }, to: { service: "payroll", port: 80 } });
    const none = (name: string, help: string): RequestProblem =>
      unknown(["to", "service"], `the mesh has no service \`${name}\``, `did you mean \`${help}\`?`);
    assertProblems(
      { from: { workload: "team-a/client" }, to: { service: "payrol.finance", port: 80 } },
      none("payrol.finance", "payroll.finance"),
    );
    assertProblems(
      { to: { service: "payroll", port: 80 } },
      unknown(["to", "service"], "the mesh has no service `payroll`"),
    );
    assertProblems(
      { to: { service: "ww.example.com", port: 443 } },
      none("ww.example.com", "www.example.com"),
    );
    assertProblems(
      { to: { service: "payrol.finance.svc.cluster.local", port: 80 } },
      none("payrol.finance.svc.cluster.local", "payroll.finance.svc.cluster.local"),
    );
  });

  test("a host of a ServiceEntry has no name by the resource's", () => {
    assertProblems(
      { to: { service: "out.team-aa", port: 443 } },
      unknown(["to", "service"], "the mesh has no service `out.team-aa`"),
    );
  });

  test("a host may be any, and an identity as well", () => {
    assertProblems({ from: { principal: "who.knows/ns/a/sa/b" }, to: { host: "nobody.example", port: 80 } });
  });

  test("a gateway is one that a Gateway selects, and leads to services or hosts alone", () => {
    assertProblems({ via: "team-a/ingress", to: { host: "a.example", port: 80 } });
    assertProblems(
      { via: "team-a/ingres", to: TO },
      unknown(["via"], "the mesh has no workload `team-a/ingres`", "did you mean `team-a/ingress`?"),
    );
    assertProblems(
      { via: "team-a/client", to: TO },
      unknown(["via"], "`team-a/client` is no gateway: no Gateway selects it"),
    );
    assertProblems(
      { via: "team-a/ingress", to: { workload: "finance/payroll", port: 8080 } },
      wrong(["via"], "`via` goes with `to.host` or `to.service`: the gateway itself chooses the workload"),
    );
  });
});

describe("a question about every pair", () => {
  const asked = (question: SurveyQuestion): readonly RequestProblem[] => checkSurvey(MESH, question);

  test("names one workload", () => {
    const one = wrong([], "name one workload: `to`, whom others may reach, or `from`, who may reach others");
    assert.deepEqual(asked({}), [one]);
    assert.deepEqual(asked({ to: "finance/payroll", from: "team-a/client" }), [one]);
    assert.deepEqual(asked({ to: "finance/payroll" }), []);
    assert.deepEqual(asked({ from: "team-a/client", port: 65535, requests: [] }), []);
  });

  test("workload, port and namespace have to be there", () => {
    const none = unknown(
      ["to", "workload"],
      "the mesh has no workload `finance/payrol`",
      "did you mean `finance/payroll`?",
    );
    assert.deepEqual(asked({ to: "finance/payrol" }), [none]);
    assert.deepEqual(asked({ from: "finance/payrol", requests: [] }), [none]);
    assert.deepEqual(asked({ to: "finance/payroll", port: 0 }), [
      wrong(["to", "port"], "`to.port` has to be a port (1 to 65535)"),
    ]);
    assert.deepEqual(asked({ to: "finance/payroll", namespace: "team-a" }), []);
    assert.deepEqual(asked({ to: "finance/payroll", namespace: "financ" }), [
      unknown(["namespace"], "the mesh has no namespace `financ`", "did you mean `finance`?"),
    ]);
    assert.deepEqual(asked({ to: "finance/payrol", namespace: "zzzzzzz" }), [
      none,
      unknown(["namespace"], "the mesh has no namespace `zzzzzzz`"),
    ]);
  });

  test("each of its requests has to be one", () => {
    const requests = [{ path: "/" }, { pth: "/" } as object, { method: "" }];
    assert.deepEqual(asked({ to: "finance/payroll", requests }), [
      wrong(["pth"], "there is no field `pth`", { atKey: true, help: "did you mean `path`?" }),
      wrong(["method"], "`method` has to be a name"),
    ]);
  });
});
