/** Which DestinationRule holds: https://istio.io/latest/docs/reference/config/networking/destination-rule/#DestinationRule */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type DestinationRules,
  indexDestinationRules,
  type MergedRule,
  ruleForClient,
} from "../../../src/policy/outbound/destination-rules.ts";
import { buildRegistry, type RegistryService } from "../../../src/policy/outbound/registry.ts";
import { app, meshOf } from "./mesh-of.ts";

const WEB = "web.foo.svc.cluster.local";

interface Indexed {
  readonly rules: DestinationRules;
  readonly web: RegistryService;
}

/** Rules are as old as they stand. */
function index(rules: string, config = ""): Indexed {
  const mesh = meshOf(`${app("foo", "web")}${config}${rules}`);
  const web = buildRegistry(mesh).find(WEB, "foo");
  if (web === undefined) throw new Error("the fixture has no service");
  return { rules: indexDestinationRules(mesh), web };
}

function rule(name: string, spec: string, namespace = "foo"): string {
  return `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
`;
}

const CONFIG = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "defaultDestinationRuleExportTo: ['.']"}
`;

/** What rules a client of a namespace has to choose from, each by those that it was merged from. */
function seen({ rules, web }: Indexed, client: string): readonly (readonly string[])[] {
  return rules.candidates(client, web).map(({ from }) => from.map((name) => name.split("/")[1] ?? ""));
}

describe("look-up", () => {
  test("the client's namespace first, then the service's, then the root's", () => {
    const host = `{host: ${WEB}}`;
    const all = index(rule("own", host, "bar") + rule("owner", host) + rule("root", host, "istio-system"));
    assert.deepEqual(seen(all, "bar"), [["own"]]);
    assert.deepEqual(seen(all, "baz"), [["owner"]]);
    assert.deepEqual(seen(all, "foo"), [["owner"]]);
    const rootOnly = index(rule("root", host, "istio-system"));
    assert.deepEqual(seen(rootOnly, "bar"), [["root"]]);
    assert.deepEqual(seen(rootOnly, "istio-system"), [["root"]]);
    assert.deepEqual(seen(index(rule("elsewhere", host, "baz")), "bar"), []);
    assert.deepEqual(seen(index(""), "bar"), []);
  });

  test("the most specific host of a namespace, short names being its own services", () => {
    const rules = index(
      rule("all", "{host: '*'}") +
        rule("domain", "{host: '*.foo.svc.cluster.local'}") +
        rule("short", "{host: web}"),
    );
    assert.deepEqual(seen(rules, "bar"), [["short"]]);
    assert.deepEqual(seen(index(rule("all", "{host: '*'}") + rule("other", "{host: other}")), "bar"), [
      ["all"],
    ]);
    assert.deepEqual(seen(index(rule("short", "{host: web}", "bar")), "bar"), [], "bar's web is another");
  });

  test("a rule without a fitting host in a nearer namespace does not end the search", () => {
    const rules = index(
      rule("other", "{host: other}", "bar") +
        rule("other", "{host: other}") +
        rule("root", "{host: '*'}", "istio-system"),
    );
    assert.deepEqual(seen(rules, "bar"), [["root"]]);
  });
});

describe("exportTo", () => {
  const from = (exportTo: string, config = "", namespace = "foo"): Record<string, boolean> => {
    const rules = index(rule("r", `{host: ${WEB}, exportTo: [${exportTo}]}`, namespace), config);
    return Object.fromEntries(
      ["foo", "bar", "baz", "istio-system"].map((client) => [client, seen(rules, client).length > 0]),
    );
  };
  const FOO_ONLY = { foo: true, bar: false, baz: false, "istio-system": false };
  const ALL = { foo: true, bar: true, baz: true, "istio-system": true };

  test("names who may use a rule of the service's namespace", () => {
    assert.deepEqual(from(""), ALL);
    assert.deepEqual(from("'*'"), ALL);
    assert.deepEqual(from("."), FOO_ONLY);
    assert.deepEqual(from("foo"), FOO_ONLY);
    assert.deepEqual(from("bar"), { ...FOO_ONLY, foo: false, bar: true });
    assert.deepEqual(from("foo, bar"), { ...FOO_ONLY, bar: true });
    assert.deepEqual(from("., bar"), { ...FOO_ONLY, bar: true });
    assert.deepEqual(from("bar, bar, baz"), { ...FOO_ONLY, foo: false, bar: true, baz: true });
  });

  test("the mesh's default counts for rules that say nothing", () => {
    assert.deepEqual(from("", CONFIG), FOO_ONLY);
    assert.deepEqual(from("'*'", CONFIG), ALL);
  });

  test("a client's own rule holds for it unless it is exported to others only", () => {
    assert.deepEqual(from("''", "", "bar"), { ...FOO_ONLY, foo: false });
    assert.deepEqual(from("bar", "", "bar"), { ...FOO_ONLY, foo: false, bar: true });
    assert.deepEqual(from(".", "", "bar"), { ...FOO_ONLY, foo: false, bar: true });
    assert.deepEqual(from("'*'", "", "bar"), { ...FOO_ONLY, foo: false, bar: true });
    assert.deepEqual(from("baz", "", "bar"), { ...FOO_ONLY, foo: false });
  });

  test("the root namespace's private rules are for its own workloads, its exported ones come last for them, too", () => {
    assert.deepEqual(from(".", "", "istio-system"), {
      foo: false,
      bar: false,
      baz: false,
      "istio-system": true,
    });
    assert.deepEqual(from("", CONFIG, "istio-system"), {
      foo: false,
      bar: false,
      baz: false,
      "istio-system": true,
    });
    const both = index(rule("root", "{host: '*'}", "istio-system") + rule("owner", "{host: web}"));
    assert.deepEqual(seen(both, "istio-system"), [["owner"]]);
    const secret = index(
      rule("root", "{host: '*', exportTo: [.]}", "istio-system") + rule("owner", "{host: web}"),
    );
    assert.deepEqual(seen(secret, "istio-system"), [["root"]]);
    const named = index(
      rule("root", "{host: '*', exportTo: [istio-system]}", "istio-system") + rule("owner", "{host: web}"),
    );
    assert.deepEqual([seen(named, "istio-system"), seen(named, "foo")], [[["root"]], [["owner"]]]);
  });
});

describe("several rules for one host", () => {
  const subsets = (...names: string[]): string =>
    `subsets: [${names.map((name) => `{name: ${name}, labels: {of: LABEL}}`).join(", ")}]`;
  const policy = (sni: string): string => `trafficPolicy: {tls: {mode: SIMPLE, sni: ${sni}}}`;

  test("are one: subsets united, of those with one name the oldest; the oldest traffic policy stands", () => {
    const rules = index(
      rule("one", `{host: web, ${subsets("a", "b").replaceAll("LABEL", "one")}}`) +
        rule("two", `{host: web, ${policy("two")}, ${subsets("b", "c").replaceAll("LABEL", "two")}}`) +
        rule("three", `{host: web, ${policy("three")}}`),
    );
    assert.deepEqual(rules.rules.candidates("foo", rules.web), [
      {
        namespace: "foo",
        exportTo: [],
        trafficPolicy: { tls: { mode: "SIMPLE", sni: "two" } },
        subsets: [
          { name: "a", labels: { of: "one" } },
          { name: "b", labels: { of: "one" } },
          { name: "c", labels: { of: "two" } },
        ],
        from: ["DestinationRule foo/one", "DestinationRule foo/two", "DestinationRule foo/three"],
      },
    ]);
    const bare = index(rule("one", "{host: web}") + rule("two", "{host: web}"));
    assert.deepEqual(bare.rules.candidates("bar", bare.web), [
      {
        namespace: "foo",
        exportTo: [],
        subsets: [],
        from: ["DestinationRule foo/one", "DestinationRule foo/two"],
      },
    ]);
  });

  const exported = (name: string, exportTo: string): string =>
    rule(name, `{host: web, exportTo: [${exportTo}]}`);

  test("for the same namespaces, in whatever order, are one; for others they stand apart", () => {
    const same = index(exported("one", "bar, baz") + exported("two", "baz, bar"));
    assert.deepEqual([seen(same, "bar"), seen(same, "baz")], [[["one", "two"]], [["one", "two"]]]);
    const apart = index(exported("one", "bar") + exported("two", "baz"));
    assert.deepEqual([seen(apart, "bar"), seen(apart, "baz")], [[["one"]], [["two"]]]);
    const narrower = index(exported("one", "bar, baz") + exported("two", "baz"));
    assert.deepEqual([seen(narrower, "bar"), seen(narrower, "baz")], [[["one"]], [["one"], ["two"]]]);
    const byDefault = index(exported("one", "") + exported("two", "bar"));
    assert.deepEqual([seen(byDefault, "bar"), seen(byDefault, "baz")], [[["one"], ["two"]], [["one"]]]);
    const toDefault = index(exported("one", "bar") + exported("two", ""));
    assert.deepEqual([seen(toDefault, "bar"), seen(toDefault, "baz")], [[["one"], ["two"]], [["two"]]]);
  });

  test("a wider one goes into the narrower one alone, as in Istio: others than the narrower one's are left without", () => {
    const wider = index(exported("one", "bar") + exported("two", "bar, baz"));
    assert.deepEqual([seen(wider, "bar"), seen(wider, "baz")], [[["one", "two"]], []]);
  });
});

describe("workloadSelector", () => {
  const selecting = (name: string, labels: string, more = ""): string =>
    rule(name, `{host: ${WEB}, workloadSelector: {matchLabels: {${labels}}}${more}}`, "bar");
  const general = (name: string, more = ""): string => rule(name, `{host: ${WEB}${more}}`, "bar");
  const holds = (
    indexed: Indexed,
    labels: Record<string, string>,
    client = "bar",
  ): readonly string[] | undefined =>
    ruleForClient(indexed.rules.candidates(client, indexed.web), client, labels)?.from.map(
      (name) => name.split("/")[1] ?? "",
    );

  test("a rule for some workloads comes before one for all, whichever is older, and stays in its namespace", () => {
    const indexed = index(general("all") + selecting("some", "app: a", ", exportTo: ['*']"));
    assert.deepEqual(holds(indexed, { app: "a", v: "1" }), ["some"]);
    assert.deepEqual(holds(indexed, { app: "b" }), ["all"]);
    assert.deepEqual(seen(indexed, "bar"), [["some"], ["all"]]);
    const owned = index(
      rule("some", "{host: web, workloadSelector: {matchLabels: {app: a}}, exportTo: ['*']}"),
    );
    assert.deepEqual(holds(owned, { app: "a" }), undefined);
    assert.deepEqual(holds(owned, { app: "a" }, "foo"), ["some"]);
    assert.deepEqual(owned.rules.candidates("foo", owned.web), [
      {
        namespace: "foo",
        selector: { app: "a" },
        exportTo: ["."],
        subsets: [],
        from: ["DestinationRule foo/some"],
      },
    ]);
  });

  test("rules for the same workloads are one, which is found before what, as in Istio, the last other one leaves apart", () => {
    const indexed = index(
      selecting("one", "app: a") +
        selecting("two", "app: b") +
        selecting("three", "app: a") +
        selecting("four", "app: a, v: '1'"),
    );
    assert.deepEqual(seen(indexed, "bar"), [["one", "three"], ["two"], ["three"], ["four"]]);
    assert.deepEqual(holds(indexed, { app: "a", v: "1" }), ["one", "three"], "the first that selects");
    assert.deepEqual(holds(indexed, { app: "b" }), ["two"]);
    assert.deepEqual(holds(indexed, { app: "c" }), undefined);
  });

  test("a private rule for all goes into one for some alone, as in Istio", () => {
    const indexed = index(selecting("some", "app: a") + general("all", ", exportTo: [.]"));
    assert.deepEqual(seen(indexed, "bar"), [["some", "all"]]);
    assert.deepEqual(holds(indexed, { app: "b" }), undefined);
    const wider = index(selecting("some", "app: a") + general("all", ", exportTo: [., baz]"));
    assert.deepEqual(seen(wider, "bar"), [["some", "all"], ["all"]]);
  });

  test("an empty selector is for all workloads of the namespace", () => {
    const indexed = index(rule("every", `{host: ${WEB}, workloadSelector: {}}`, "bar"));
    assert.deepEqual(holds(indexed, {}), ["every"]);
  });

  test("ruleForClient(): a selecting rule of another namespace never holds; of general ones the last", () => {
    const merged = (name: string, more: Partial<MergedRule> = {}): MergedRule => ({
      namespace: "bar",
      exportTo: [],
      subsets: [],
      from: [name],
      ...more,
    });
    const rules = [
      merged("one"),
      merged("foreign", { namespace: "foo", selector: { app: "a" } }),
      merged("two"),
    ];
    assert.deepEqual(ruleForClient(rules, "bar", { app: "a" })?.from, ["two"]);
    assert.deepEqual(ruleForClient(rules, "foo", { app: "a" })?.from, ["foreign"]);
    assert.equal(ruleForClient([], "foo", {}), undefined);
  });
});
