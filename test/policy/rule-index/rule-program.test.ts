import assert from "node:assert/strict";
import { test } from "node:test";
import type { CompiledRule } from "../../../src/policy/authorization-rule.ts";
import type { RuleSpec } from "../../../src/policy/authorization-spec.ts";
import {
  METHOD,
  SLOT_HOST,
  SLOT_METHOD,
  SLOT_PATH,
  SLOT_SNI,
} from "../../../src/policy/rule-index/dimension.ts";
import {
  ANY,
  NEGATED,
  pathPrints,
  REFUSE,
  RuleProgramBuilder,
  SLOT_SHIFT,
  STEP_MATCH,
  STEP_METHODS,
  STEP_PATHS,
  STEP_PORT,
  STEP_PREDICATE,
  STEP_SUBJECTS,
  STEP_TEXT,
  subjectPrints,
} from "../../../src/policy/rule-index/rule-program.ts";
import { textHash, textPrint } from "../../../src/policy/rule-index/text-print.ts";
import { compileTextPatterns } from "../../../src/policy/text-pattern.ts";
import { compiled, from, ruleOf, to, watched } from "./compiled.ts";

const NAME = "cluster.local/ns/foo/sa/a";
const SUBJECT_OF_NAME = `spiffe://${NAME}`;

/** The program of one rule of rank 7, and the texts that it names by their places. */
function programOf(rule: CompiledRule | RuleSpec) {
  const builder = new RuleProgramBuilder();
  assert.equal(builder.add("sources" in rule ? rule : compiled(rule), 7), 0);
  const { code, texts, predicates } = builder.finish();
  return { code: [...code], texts, predicates: predicates.length };
}

const END = STEP_MATCH;
const text = (slot: number): number => STEP_TEXT | (slot << SLOT_SHIFT);
const when = (key: string, ...values: string[]): RuleSpec => ({ when: [{ key, values }] });

const PROGRAMS: readonly (readonly [string, CompiledRule | RuleSpec, number[], string[]])[] = [
  ["no conditions", {}, [7, END], []],
  [
    "exact callers",
    from({ principals: [NAME] }),
    [7, STEP_SUBJECTS, REFUSE, 7, 1, textHash(SUBJECT_OF_NAME), 0, END],
    [SUBJECT_OF_NAME],
  ],
  [
    "exact methods",
    to({ methods: ["GET", "PUT"] }),
    [7, STEP_METHODS, REFUSE, 9, 2, textPrint("GET"), 0, textPrint("PUT"), 1, END],
    ["GET", "PUT"],
  ],
  ["exact paths", to({ paths: ["/a"] }), [7, STEP_PATHS, REFUSE, 7, 1, textPrint("/a"), 0, END], ["/a"]],
  [
    "other paths than exact ones",
    to({ notPaths: ["/a"] }),
    [7, STEP_PATHS | NEGATED, REFUSE, 7, 1, textPrint("/a"), 0, END],
    ["/a"],
  ],
  ["ports", to({ ports: ["80", "81"] }), [7, STEP_PORT, REFUSE, 7, 2, 80, 81, END], []],
  ["other ports", to({ notPorts: ["80"] }), [7, STEP_PORT | NEGATED, REFUSE, 6, 1, 80, END], []],
  [
    "exact hosts, which have no step of their own",
    to({ hosts: ["H"] }),
    [7, text(SLOT_HOST), REFUSE, 9, 1, 0, 0, textPrint("h"), 0, END],
    ["h"],
  ],
  [
    "a server name",
    when("connection.sni", "s"),
    [7, text(SLOT_SNI), REFUSE, 9, 1, 0, 0, textPrint("s"), 0, END],
    ["s"],
  ],
  [
    "all kinds of patterns",
    to({ paths: ["/a", "/p*", "/q*", "*.js", "*.cs", "*.go"] }),
    [7, text(SLOT_PATH), REFUSE, 14, 1, 2, 3, textPrint("/a"), 0, 1, 2, 3, 4, 5, END],
    ["/a", "/p", "/q", ".js", ".cs", ".go"],
  ],
  ["`*` for methods", to({ methods: ["*"] }), [7, text(SLOT_METHOD) | ANY, REFUSE, 7, 0, 0, 0, END], []],
  ["a prefix alone", to({ methods: ["P*"] }), [7, text(SLOT_METHOD), REFUSE, 8, 0, 1, 0, 0, END], ["P"]],
  ["a suffix alone", to({ methods: ["*T"] }), [7, text(SLOT_METHOD), REFUSE, 8, 0, 0, 1, 0, END], ["T"]],
  [
    "values and notValues of one field, a text once",
    to({ methods: ["GET"], notMethods: ["GET"] }),
    [
      ...[7, STEP_METHODS, REFUSE, 7, 1, textPrint("GET"), 0],
      ...[STEP_METHODS | NEGATED, REFUSE, 13, 1, textPrint("GET"), 0, END],
    ],
    ["GET"],
  ],
  [
    "cheap conditions first: ports, callers, other texts, predicates",
    {
      ...from({ ipBlocks: ["10.0.0.0/8"], principals: [NAME] }),
      ...to({ paths: ["/a"], ports: ["80"], notMethods: ["GET"] }),
    },
    [
      ...[7, STEP_SUBJECTS, REFUSE, 7, 1, textHash(SUBJECT_OF_NAME), 0],
      ...[STEP_PREDICATE, REFUSE, 11, 0],
      ...[STEP_PORT, REFUSE, 16, 1, 80],
      ...[STEP_METHODS | NEGATED, REFUSE, 22, 1, textPrint("GET"), 1],
      ...[STEP_PATHS, REFUSE, 28, 1, textPrint("/a"), 2, END],
    ],
    [SUBJECT_OF_NAME, "GET", "/a"],
  ],
  [
    "alternatives: all but the last jump to what follows, and fail to the next",
    to({ ports: ["80"] }, { ports: ["81"] }, { ports: ["82"] }),
    [
      ...[7, STEP_PORT, 10, 6, 1, 80, ...[STEP_PORT, 24, 10, 0]],
      ...[STEP_PORT, 19, 15, 1, 81, ...[STEP_PORT, 24, 19, 0]],
      ...[STEP_PORT, REFUSE, 24, 1, 82, END],
    ],
    [],
  ],
  ["an alternative without conditions, which always holds", to({ ports: ["80"] }, {}), [7, END], []],
  [
    "both sides, one after the other",
    { ...from({ principals: [NAME] }), ...to({ ports: ["80"] }) },
    [
      ...[7, STEP_SUBJECTS, REFUSE, 7, 1, textHash(SUBJECT_OF_NAME), 0],
      ...[STEP_PORT, REFUSE, 12, 1, 80, END],
    ],
    [SUBJECT_OF_NAME],
  ],
  [
    "the caller by a key that is not all that is asked: a predicate",
    from({ principals: ["*/sa/a"] }),
    [7, STEP_PREDICATE, REFUSE, 5, 0, END],
    [],
  ],
  [
    "a predicate although one half could be a step",
    { when: [{ key: "source.principal", values: [NAME], notValues: ["*/sa/a"] }] },
    [7, STEP_PREDICATE, REFUSE, 5, 0, END],
    [],
  ],
  [
    "a predicate although the other half could be a step",
    { when: [{ key: "source.principal", values: ["*/sa/a"], notValues: [NAME] }] },
    [7, STEP_PREDICATE, REFUSE, 5, 0, END],
    [],
  ],
  ["a text that no slot holds", when("request.headers[x]", "a"), [7, STEP_PREDICATE, REFUSE, 5, 0, END], []],
  [
    "a decisive key of a text that no slot holds",
    ruleOf([
      [
        watched("x", [], true, {
          dimension: { kind: "text", id: "own", next: () => -1, textAt: () => "" },
          patterns: compileTextPatterns(["a"]),
          decisive: true,
        }),
      ],
    ]),
    [7, STEP_PREDICATE, REFUSE, 5, 0, END],
    [],
  ],
  ["addresses", from({ ipBlocks: ["10.0.0.0/8"] }), [7, STEP_PREDICATE, REFUSE, 5, 0, END], []],
  ["other addresses", from({ notIpBlocks: ["10.0.0.0/8"] }), [7, STEP_PREDICATE, REFUSE, 5, 0, END], []],
];

for (const [what, rule, code, texts] of PROGRAMS)
  test(`the program of a rule with ${what}`, () => {
    const made = programOf(rule);
    assert.deepEqual(made.code, code);
    assert.deepEqual(made.texts, texts);
    const hasPredicate = code[1] === STEP_PREDICATE || what.startsWith("cheap");
    assert.equal(made.predicates, hasPredicate ? 1 : 0);
  });

test("conditions of a clause are tested by what they cost; a negation costs what its place does", () => {
  const rule = {
    ...to({ hosts: ["h"], notPorts: ["1"] }),
    ...from({ notIpBlocks: ["10.0.0.0/8"], requestPrincipals: ["a/b"], notPrincipals: [NAME] }),
  };
  const steps = programOf(rule).code.filter((_, place) => [1, 7, 11, 15, 20].includes(place));
  assert.deepEqual(steps, [
    STEP_SUBJECTS | NEGATED,
    STEP_PREDICATE,
    STEP_PREDICATE,
    STEP_PORT | NEGATED,
    text(SLOT_HOST),
  ]);
});

test("programs stand one after the other, and share their texts and predicates", () => {
  const builder = new RuleProgramBuilder();
  const starts = [to({ methods: ["GET"] }), from({ ipBlocks: ["::/0"] }), to({ methods: ["GET"] })].map(
    (spec, rank) => builder.add(compiled(spec), rank),
  );
  assert.deepEqual(starts, [0, 8, 14]);
  const asked: number[] = [];
  assert.equal(builder.add(ruleOf([[watched(9, asked, true)]]), 3), 22);
  const { code, texts, predicates } = builder.finish();
  assert.deepEqual([...code.subarray(22)], [3, STEP_PREDICATE, REFUSE, 27, 1, END]);
  assert.deepEqual([texts, predicates.length, code[20]], [["GET"], 2, 0]);
});

test("texts are copied whole", () => {
  assert.deepEqual(programOf(to({ methods: ["*", ""] })).texts, [""]);
  assert.deepEqual(programOf(to({ paths: ["/a/long/path"] })).texts, ["/a/long/path"]);
});

test("pathPrints() and subjectPrints(): of the only texts that a rule can match, over all alternatives", () => {
  const paths = (...operations: object[]) => pathPrints(compiled(to(...operations)));
  assert.deepEqual(
    paths({ paths: ["/a", "/b"] }, { paths: ["/c"], methods: ["GET"] }),
    ["/a", "/b", "/c"].map(textPrint),
  );
  assert.deepEqual(subjectPrints(compiled(from({ principals: [NAME] }))), [textHash(SUBJECT_OF_NAME)]);
});

test("pathPrints() and subjectPrints(): null for a rule that is bound to no such texts", () => {
  const unbound: readonly object[] = [
    {},
    { paths: ["/a*"] },
    { paths: ["/a", "*a"] },
    { paths: ["/a", "*"] },
    { paths: ["/a/{*}"] },
    { notPaths: ["/a"] },
    { methods: ["GET"] },
    { ports: ["80"] },
  ];
  for (const operation of unbound) {
    assert.equal(pathPrints(compiled(to(operation))), null, JSON.stringify(operation));
    assert.equal(pathPrints(compiled(to({ paths: ["/a"] }, operation))), null, JSON.stringify(operation));
    assert.equal(subjectPrints(compiled(to(operation))), null);
  }
  for (const source of [
    { notPrincipals: [NAME] },
    { principals: ["*"] },
    { principals: ["cluster.local/*"] },
    { ipBlocks: ["::/0"] },
    { namespaces: ["a"] },
  ])
    assert.equal(subjectPrints(compiled(from(source))), null, JSON.stringify(source));
  const undecided = { dimension: METHOD, patterns: compileTextPatterns(["a"]), decisive: false };
  assert.equal(pathPrints(ruleOf([[]], [[watched("x", [], true, undecided)]])), null);
});
