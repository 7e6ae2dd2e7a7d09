import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type RequestTemplate,
  representativeRequests,
} from "../../../src/policy/path/representative-requests.ts";
import { meshOf, workloadOf } from "../outbound/mesh-of.ts";
import { authorizationText, podText } from "./journey-text.ts";

const POD = podText("a", "s");
const ROOT: RequestTemplate = { protocol: "http", method: "GET", path: "/" };

function asked(policies: string, port = 8080, http = true): readonly RequestTemplate[] {
  const mesh = meshOf(POD + policies);
  return representativeRequests(mesh, workloadOf(mesh, "a/s"), port, http);
}

const of = (...rules: readonly object[]): string => authorizationText("a", "p", { rules });
const to = (...operations: readonly object[]): object => ({
  to: operations.map((operation) => ({ operation })),
});
const header = (name: string, ...values: readonly string[]): object => ({
  key: `request.headers[${name}]`,
  values,
});

describe("what is asked of a port of which nobody says what", () => {
  const cases: readonly (readonly [law: string, policies: string, more: readonly RequestTemplate[]])[] = [
    ["GET / without any policy", "", []],
    ["GET / for a policy without rules", authorizationText("a", "p", {}), []],
    ["GET / for a rule of everything, once", of({}, {}), []],
    ["GET / for a rule of sources alone", of({ from: [{ source: { namespaces: ["x"] } }] }), []],
    ["each method of a rule", of(to({ methods: ["POST", "GET", "*"] })), [{ ...ROOT, method: "POST" }]],
    [
      "methods by their beginning and end",
      of(to({ methods: ["P*", "*T"] })),
      [
        { ...ROOT, method: "Px" },
        { ...ROOT, method: "xT" },
      ],
    ],
    [
      "each path with each method",
      of(to({ methods: ["PUT", "POST"], paths: ["/a", "/b"] })),
      [
        { ...ROOT, method: "PUT", path: "/a" },
        { ...ROOT, method: "POST", path: "/a" },
        { ...ROOT, method: "PUT", path: "/b" },
        { ...ROOT, method: "POST", path: "/b" },
      ],
    ],
    [
      "patterns of paths by one that they match",
      of(to({ paths: ["*", "/a/*", "*.js", "*/b", "/t/{*}/u/{*}", "/d/{**}"] })),
      [
        { ...ROOT, path: "/a/x" },
        { ...ROOT, path: "/x.js" },
        { ...ROOT, path: "/x/b" },
        { ...ROOT, path: "/t/x/u/x" },
        { ...ROOT, path: "/d/x" },
      ],
    ],
    [
      "the first host",
      of(
        to({ hosts: ["a.example", "b.example"] }),
        to({ hosts: ["*.c.example"] }),
        to({ hosts: ["d.*"] }),
        to({ hosts: ["*"] }),
      ),
      [
        { ...ROOT, host: "a.example" },
        { ...ROOT, host: "x.c.example" },
        { ...ROOT, host: "d.x" },
      ],
    ],
    [
      "operations one by one",
      of(to({ methods: ["PUT"] }, { paths: ["/a"] })),
      [
        { ...ROOT, method: "PUT" },
        { ...ROOT, path: "/a" },
      ],
    ],
    ["an operation that says nothing is of everything", of({ to: [{}] }), []],
    [
      "operations of this port, and of every port",
      of(
        to(
          { paths: ["/a"], ports: ["8080", "1"] },
          { paths: ["/b"], ports: ["80"] },
          { paths: ["/c"], ports: [] },
        ),
      ),
      [
        { ...ROOT, path: "/a" },
        { ...ROOT, path: "/c" },
      ],
    ],
    [
      "the first value of each header that it wants",
      of({ when: [header("x-a", "1", "2"), header("x-b", "be*")] }),
      [
        {
          ...ROOT,
          headers: [
            ["x-a", "1"],
            ["x-b", "bex"],
          ],
        },
      ],
    ],
    [
      "headers with each operation",
      of({ ...to({ paths: ["/a"] }, { paths: ["/b"] }), when: [header("x-a", "1")] }),
      [
        { ...ROOT, path: "/a", headers: [["x-a", "1"]] },
        { ...ROOT, path: "/b", headers: [["x-a", "1"]] },
      ],
    ],
    [
      "no headers for conditions of other kinds, or without a value",
      of({
        when: [
          { key: "source.ip", values: ["1.1.1.1"] },
          { key: "request.headers[x-a]", notValues: ["1"] },
          { key: "x request.headers[x-a]", values: ["1"] },
          { key: "request.headers[x-a] x", values: ["1"] },
        ],
      }),
      [],
    ],
    [
      "policies one after another",
      of(to({ paths: ["/a"] })) +
        authorizationText("a", "q", { action: "DENY", rules: [to({ paths: ["/b"] })] }),
      [
        { ...ROOT, path: "/a" },
        { ...ROOT, path: "/b" },
      ],
    ],
    [
      "nothing for policies of others",
      authorizationText("a", "p", {
        selector: { matchLabels: { app: "x" } },
        rules: [to({ paths: ["/a"] })],
      }) + authorizationText("b", "p", { rules: [to({ paths: ["/b"] })] }),
      [],
    ],
  ];
  for (const [law, policies, more] of cases)
    test(law, () => assert.deepEqual(asked(policies), [ROOT, ...more]));

  test("twelve at most, the first ones", () => {
    const paths = Array.from({ length: 14 }, (_, index) => `/${index}`);
    assert.deepEqual(
      asked(of(to({ paths }))).map(({ path }) => path),
      ["/", ...paths.slice(0, 11)],
    );
  });

  test("bytes of a port that is not HTTP, whatever the policies say", () => {
    assert.deepEqual(asked(of(to({ paths: ["/a"] })), 8080, false), [{ protocol: "tcp" }]);
  });
});
