import assert from "node:assert/strict";
import { test } from "node:test";
import type { Context } from "../../src/authorizer/access-rules.ts";
import { type AccessFacts, decideAccess } from "../../src/authorizer/decide-access.ts";
import { readRules } from "../../src/authorizer/read-rules.ts";

const FACTS: AccessFacts = {
  principal: "cluster.local/ns/devices/sa/laptop",
  ip: "10.0.0.7",
  destinationPort: 8080,
  method: "GET",
  path: "/accounts/7",
  host: "payroll",
  headers: new Map([["x-user", "alice"]]),
};
const CONTEXT: Context = {
  devices: {
    "cluster.local/ns/devices/sa/laptop": {
      healthy: true,
      risk: 10,
      tags: ["managed", 7],
      os: { major: 15 },
      none: null,
    },
  },
  users: { alice: { groups: ["payroll"] } },
};
const SUBJECTS = `
  device: {table: devices, key: principal}
  user: {table: users, key: {header: X-User}}`;

function rulesWith(when: string, rest = "") {
  const read = readRules(`
context: {file: context.yaml}
subjects: ${SUBJECTS}
rules: [{name: r, effect: allow, when: [${when}]}]
${rest}`);
  assert.ok(read.ok, read.ok ? "" : read.problems.join("\n"));
  return read.rules;
}

const allowed = (when: string, facts: Partial<AccessFacts> = {}, context = CONTEXT, nowMs = 0): boolean =>
  decideAccess(rulesWith(when), context, { ...FACTS, ...facts }, nowMs).allowed;

test("each test holds for what it asks, and not for anything else", () => {
  const hold = [
    "{value: device.healthy, is: true}",
    "{value: device.risk, is: [1, 10]}",
    "{value: device.risk, below: 11}",
    "{value: device.risk, above: 9}",
    "{value: device.risk, isNot: 11}",
    "{value: device.tags, contains: managed}",
    "{value: device.tags, contains: [x, 7]}",
    "{value: device.os.major, is: 15}",
    "{value: device.id, is: cluster.local/ns/devices/sa/laptop}",
    "{value: user.groups, contains: payroll}",
    "{value: request.path, matches: '/accounts/*'}",
    "{value: request.path, matches: ['/x', '*/7']}",
    "{value: request.method, is: [GET, HEAD]}",
    "{value: request.headers.x-user, is: alice}",
    "{value: source.ip, matches: '10.*'}",
    "{value: destination.port, is: 8080}",
  ];
  const fail = [
    "{value: device.healthy, is: 'true'}",
    "{value: device.risk, below: 10}",
    "{value: device.risk, above: 10}",
    "{value: device.risk, isNot: 10}",
    "{value: device.healthy, below: 5}",
    "{value: device.tags, contains: other}",
    "{value: device.tags, is: managed}",
    "{value: device.risk, contains: 10}",
    "{value: request.path, matches: '/accounts'}",
    "{value: source.principal, is: spiffe://cluster.local/ns/devices/sa/laptop}",
  ];
  for (const when of hold) assert.ok(allowed(when), when);
  for (const when of fail) assert.ok(!allowed(when), when);
});

test("what is not known holds for no test, not even a negated one", () => {
  const missing = [
    "device.nothing",
    "device.none",
    "device.os",
    "device.__proto__",
    "device.constructor",
    "device.tags.length",
  ];
  for (const value of missing) {
    for (const condition of [
      "is: true",
      "isNot: true",
      "below: 1e9",
      "above: -1e9",
      "contains: x",
      "matches: '*'",
    ])
      assert.ok(!allowed(`{value: ${value}, ${condition}}`), `${value} ${condition}`);
  }
  const strangers: readonly Partial<AccessFacts>[] = [
    { principal: "" },
    { principal: "__proto__" },
    { principal: "toString" },
  ];
  for (const facts of strangers) {
    assert.ok(!allowed("{value: device.healthy, isNot: false}", facts));
    assert.ok(!allowed("{value: device.constructor, isNot: false}", facts));
  }
  assert.ok(!allowed("{value: device.healthy, is: true}", {}, { users: {} }), "no such table");
});

test("the first rule that matches decides; where none does it is denied; a rule without conditions always matches", () => {
  const read = readRules(`
context: {file: c.yaml}
subjects: ${SUBJECTS}
rules:
- {name: risky, effect: deny, when: [{value: device.risk, above: 50}], message: too risky}
- {name: healthy, effect: allow, when: [{value: device.healthy, is: true}]}
- {name: last, effect: deny}`);
  assert.ok(read.ok);
  const decide = (device: object) =>
    decideAccess(read.rules, { devices: { [FACTS.principal]: { ...device } } }, FACTS, 0);
  assert.deepEqual(
    [decide({ healthy: true, risk: 1 }).allowed, decide({ healthy: true, risk: 1 }).rule?.name],
    [true, "healthy"],
  );
  assert.deepEqual(
    [decide({ healthy: true, risk: 51 }).allowed, decide({ healthy: true, risk: 51 }).rule?.message],
    [false, "too risky"],
  );
  assert.deepEqual([decide({}).allowed, decide({}).rule?.name], [false, "last"]);
  assert.equal(decideAccess({ ...read.rules, rules: [] }, {}, FACTS, 0).rule, null);
});

test("time windows: days, the edges of hours, zones, and past midnight", () => {
  const at = (text: string) => Date.parse(text);
  const office = "{time: {days: [mon, tue, wed, thu, fri], from: '08:00', to: '18:00', zone: Europe/Berlin}}";
  // 2026-11-23 is a Monday; Berlin is an hour ahead of UTC then.
  assert.ok(allowed(office, {}, CONTEXT, at("2026-11-23T07:00:00Z")));
  assert.ok(!allowed(office, {}, CONTEXT, at("2026-11-23T06:59:59Z")));
  assert.ok(allowed(office, {}, CONTEXT, at("2026-11-23T16:59:59Z")));
  assert.ok(!allowed(office, {}, CONTEXT, at("2026-11-23T17:00:00Z")));
  assert.ok(!allowed(office, {}, CONTEXT, at("2026-11-22T10:00:00Z")), "Sunday");
  const night = "{time: {days: [fri], from: '22:00', to: '06:00'}}";
  assert.ok(allowed(night, {}, CONTEXT, at("2026-11-27T23:00:00Z")));
  assert.ok(allowed(night, {}, CONTEXT, at("2026-11-28T05:59:00Z")), "of the day it began on");
  assert.ok(!allowed(night, {}, CONTEXT, at("2026-11-28T06:00:00Z")));
  assert.ok(!allowed(night, {}, CONTEXT, at("2026-11-27T05:00:00Z")));
  assert.ok(allowed("{time: {from: '00:00', to: '24:00'}}", {}, CONTEXT, at("2026-11-27T23:59:59Z")));
});

test("headers for the application: set from values, and taken off where there is none or none that a header can hold", () => {
  const rules = rulesWith(
    "{value: device.healthy, is: true}",
    "setHeaders: {X-Device: device.id, x-os: device.os, x-gone: device.nothing}",
  );
  const decision = decideAccess(rules, CONTEXT, FACTS, 0);
  assert.deepEqual(decision.setHeaders, [["x-device", "cluster.local/ns/devices/sa/laptop"]]);
  assert.deepEqual(decision.removeHeaders, ["x-os", "x-gone"]);
  assert.deepEqual(decision.subjects, { device: FACTS.principal, user: "alice" });
});

test("a rules file with anything wrong in it is refused, with every problem's place", () => {
  const bad: readonly (readonly [string, RegExp])[] = [
    ["{", /not valid YAML/],
    ["[]", /the file: a map is wanted/],
    ["rules: [{name: a, effect: allow}]", /context: a map is wanted/],
    ["context: {file: a, http: {url: 'http://a'}}\nrules: [{name: a, effect: allow}]", /one source/],
    ["context: {http: {url: 'ftp://a'}}\nrules: [{name: a, effect: allow}]", /no http or https URL/],
    ["context: {file: a, maxAge: soon}\nrules: [{name: a, effect: allow}]", /duration/],
    ["context: {file: a}", /rules: a list is wanted/],
    [
      "context: {file: a}\nrule: []\nrules: [{name: a, effect: allow}]",
      /unknown field `rule`. did you mean `rules`/,
    ],
    ["context: {file: a}\nrules: [{name: a, effect: maybe}]", /rules\[0\].effect/],
    ["context: {file: a}\nrules: [{name: a, effect: allow, when: []}]", /when: a list is wanted/],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{value: devise.x, is: 1}]}]",
      /no value that there is/,
    ],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{value: request.body, is: 1}]}]",
      /no value/,
    ],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{value: request.path}]}]",
      /one test is wanted/,
    ],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{value: request.path, is: 1, below: 2}]}]",
      /one test/,
    ],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{value: request.path, is: []}]}]",
      /wanted/,
    ],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{value: request.path, below: x}]}]",
      /number/,
    ],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{time: {from: '8', to: '9:00'}}]}]",
      /08:00/,
    ],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{time: {from: '08:00', to: '09:00', zone: Mars}}]}]",
      /time zone/,
    ],
    [
      "context: {file: a}\nrules: [{name: a, effect: allow, when: [{time: {from: '08:00', to: '09:00', days: [monday]}}]}]",
      /monday/,
    ],
    [
      "context: {file: a}\nsubjects: {request: {table: a, key: ip}}\nrules: [{name: a, effect: allow}]",
      /subject's name/,
    ],
    [
      "context: {file: a}\nsubjects: {a: {table: a, key: cookie}}\nrules: [{name: a, effect: allow}]",
      /principal/,
    ],
    [
      "context: {file: a}\nsetHeaders: {'a b': source.ip}\nrules: [{name: a, effect: allow}]",
      /header's name/,
    ],
  ];
  for (const [text, problem] of bad) {
    const read = readRules(text);
    assert.ok(!read.ok, text);
    assert.match(read.problems.join("\n"), problem, text);
  }
});
