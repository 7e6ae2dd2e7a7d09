import assert from "node:assert/strict";
import { test } from "node:test";
import { lookUpKind } from "../../src/resources/validate/kinds.ts";
import { KnownFields } from "../../src/resources/validate/known-fields.ts";
import { NEWER_FIELDS, NEWER_KINDS, NEWER_VALUES } from "../../src/resources/validate/newer-fields.ts";
import { loadText, placesOf, problemsOf } from "./load-fixture.ts";

const VERSIONS: Readonly<Record<string, string>> = {
  AuthorizationPolicy: "security.istio.io/v1",
  RequestAuthentication: "security.istio.io/v1",
  DestinationRule: "networking.istio.io/v1",
  VirtualService: "networking.istio.io/v1",
  Gateway: "networking.istio.io/v1",
  Sidecar: "networking.istio.io/v1",
  EnvoyFilter: "networking.istio.io/v1alpha3",
  Telemetry: "telemetry.istio.io/v1",
};

async function knownFieldsOf(kind: string): Promise<KnownFields> {
  const lookup = await lookUpKind(VERSIONS[kind] ?? "", kind);
  assert.ok(lookup.known && lookup.validate !== undefined, kind);
  return new KnownFields(lookup.validate);
}

/** An object with one field, at `spec.a[].b`. */
function objectWith(kind: string, pattern: string, leaf: unknown): Record<string, unknown> {
  let value = leaf;
  for (const step of pattern.split(".").reverse()) {
    const name = step.replace("[]", "");
    value = { [name]: step.endsWith("[]") ? [value] : value };
  }
  return { apiVersion: VERSIONS[kind], kind, metadata: { name: "a" }, ...(value as object) };
}

for (const [kind, parents] of Object.entries(NEWER_FIELDS)) {
  test(`the hand-kept fields of ${kind} are unknown to the package still, and stand where the schema has room`, async () => {
    for (const [parent, fields] of Object.entries(parents)) {
      const known = await knownFieldsOf(kind);
      const body = objectWith(
        kind,
        parent,
        Object.fromEntries(Object.keys(fields).map((name) => [name, {}])),
      );
      const unknown = known.unknownIn(body);
      assert.deepEqual(
        unknown.map(({ key }) => key).sort(),
        Object.keys(fields).sort(),
        `${parent}: delete what the package knows`,
      );
      assert.ok(unknown.every((field) => field.known.length > 0));
    }
  });
}

test("the hand-kept values of enumerations are refused by the package still", async () => {
  for (const [kind, paths] of Object.entries(NEWER_VALUES)) {
    for (const [path, values] of Object.entries(paths)) {
      const lookup = await lookUpKind(VERSIONS[kind] ?? "", kind);
      assert.ok(lookup.known);
      for (const value of values)
        assert.throws(() => lookup.validate?.(objectWith(kind, path, value)), `${kind} ${value}`);
    }
  }
});

test("the hand-kept kinds are unknown to the package still", async () => {
  for (const key of Object.keys(NEWER_KINDS)) {
    const kind = key.slice(key.lastIndexOf("/") + 1);
    await assert.rejects(import(`@kubernetes-models/istio/${key.slice(0, key.lastIndexOf("/"))}/${kind}`));
  }
});

test("newer fields and kinds are taken with the right types and refused with wrong ones", async () => {
  const policy = (source: string): string =>
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec: {rules: [{from: [{source: {${source}}}]}]}\n`;
  assert.deepEqual(problemsOf(await loadText(policy("trustDomains: [a.example]"))), []);
  assert.deepEqual(placesOf(await loadText(policy("trustDomains: a.example"))), ["BW1102_WRONG_TYPE 4:48"]);
  const extension = (spec: string): string =>
    `apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nmetadata: {name: a}\nspec: {${spec}}\n`;
  assert.deepEqual(problemsOf(await loadText(extension("lua: {inlineCode: x}, phase: AUTHZ"))), []);
  assert.deepEqual(
    placesOf(
      await loadText(extension("lua: {inlineCode: 1, code: x}, match: [{ports: [{}]}, null], phase: NEVER")),
    ).sort(),
    [
      "BW1101_UNKNOWN_FIELD 4:29",
      "BW1102_WRONG_TYPE 4:26",
      "BW1102_WRONG_TYPE 4:62",
      "BW1103_NOT_ONE_OF 4:76",
      "BW1104_MISSING_FIELD 4:56",
      "BW1248_EXTENSION 4:26",
    ],
  );
});

test("unknownIn() finds unknown fields in lists, maps of objects and at the top, and leaves free parts alone", async () => {
  const known = await knownFieldsOf("VirtualService");
  const route = (match: object): object => ({
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "a", labels: { any: "x" } },
    spec: { http: [{ match: [match] }] },
  });
  assert.deepEqual(known.unknownIn(route({ headers: { "any-header": { exact: "x" } } })), []);
  assert.deepEqual(
    known
      .unknownIn({ ...route({ headers: { h: { exakt: "x" } }, urii: {} }), extra: 1 })
      .map(({ path, key }) => [...path, key].join(".")),
    ["spec.http.0.match.0.headers.h.exakt", "spec.http.0.match.0.urii", "extra"],
  );
});

test("unknownIn() is not misled by an earlier object of the wrong shape", async () => {
  const known = await knownFieldsOf("AuthorizationPolicy");
  const policy = (from: unknown): object => ({
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: "a" },
    spec: { rules: [{ from }] },
  });
  known.unknownIn(policy({ source: { oops: 1 } }));
  known.unknownIn(policy("text"));
  known.unknownIn(policy([[{ oops: 1 }]]));
  assert.deepEqual(
    known.unknownIn(policy([{ source: { oops: [] } }])).map(({ key }) => key),
    ["oops"],
  );
});

test("all versions of an Istio kind have one schema; a version that never was is unknown", async () => {
  for (const version of ["v1", "v1beta1", "v1alpha3"]) {
    const text = `apiVersion: networking.istio.io/${version}\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: a, hots: b}\n`;
    assert.deepEqual(placesOf(await loadText(text)), ["BW1101_UNKNOWN_FIELD 4:17"], version);
  }
  const text =
    "apiVersion: networking.istio.io/v2\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: a}\n";
  assert.deepEqual(placesOf(await loadText(text)), ["BW1108_UNKNOWN_KIND 1:13"]);
});

test("a kind that is looked for in the wrong group, or misspelt, is named", async () => {
  const problems = problemsOf(
    await loadText(
      "apiVersion: v1\nkind: Deployment\nmetadata: {name: a}\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntri\nmetadata: {name: a}\n",
    ),
  );
  assert.deepEqual(
    problems.map(({ help }) => help),
    ["write `apiVersion: apps/v1`", "did you mean `ServiceEntry`?"],
  );
});

test("names in import specifiers cannot lead out of the packages", async () => {
  for (const [apiVersion, kind] of [
    ["../../x", "Pod"],
    ["v1", "../Pod"],
    ["v1", "index.js"],
    ["v1", "IContainer"],
    ["apps/v1/../v1", "Deployment"],
  ] as const) {
    assert.deepEqual(await lookUpKind(apiVersion, kind), { known: false });
  }
});

test("status is the controllers': nothing in it is checked", async () => {
  const text =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a}]}\nstatus: {podIP: 10.0.0.1, oops: 1, phase: 7}\n";
  assert.deepEqual(problemsOf(await loadText(text)), []);
});

test("CustomResourceDefinitions with descriptions and extensions are taken", async () => {
  const text = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  names: {kind: Thing, plural: things}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, description: x, x-kubernetes-preserve-unknown-fields: true}
`;
  assert.deepEqual(problemsOf(await loadText(text)), []);
});

test("a security kind in a group that is a slip of Istio's is an error, for it would be lost in silence; another product's of the same name is not", async () => {
  const errorsOf = async (apiVersion: string, kind: string): Promise<readonly string[]> => {
    const { rejected } = await loadText(
      `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: a, namespace: b}\n`,
    );
    return rejected.flatMap(({ errors }) => errors.map(({ code, help }) => `${code} ${help}`));
  };
  const slips: readonly (readonly [string, string])[] = [
    ["securityistio.io/v1", "AuthorizationPolicy"],
    ["security.istio.i/v1", "AuthorizationPolicy"],
    ["security.istio.io.x/v1", "PeerAuthentication"],
    ["secrity.isto.io/v1beta1", "RequestAuthentication"],
    ["security.istio/v1", "RequestAuthentication"],
  ];
  for (const [apiVersion, kind] of slips)
    assert.deepEqual(
      await errorsOf(apiVersion, kind),
      ["BW1108_UNKNOWN_KIND write `apiVersion: security.istio.io/v1`"],
      apiVersion,
    );
  assert.match(String(await errorsOf("networkingistio.io/v1", "Sidecar")), /networking\.istio\.io\/v1/);
  for (const [apiVersion, kind] of [
    ["policy.linkerd.io/v1alpha1", "AuthorizationPolicy"],
    ["example.com/v1", "AuthorizationPolicy"],
    ["networking.x-k8s.io/v1alpha1", "Gateway"],
    ["istio.example.com/v1", "Anything"],
  ] as const)
    assert.deepEqual(await errorsOf(apiVersion, kind), [], apiVersion);
});
