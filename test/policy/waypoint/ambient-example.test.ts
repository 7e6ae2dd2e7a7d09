/** What the comments of examples/ambient promise. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type AccessRequest, can, canAll, loadMesh } from "../../../src/index.ts";

const FOLDER = "examples/ambient";
const loaded = await loadMesh(FOLDER);

const from = (workload: string, to: string, more: Partial<AccessRequest> = {}): AccessRequest => ({
  from: { workload },
  to: { service: to, port: 80 },
  ...more,
});

test("the example is valid, and its waypoint's pods are provided", () => {
  assert.deepEqual(loaded.rejected, []);
  assert.deepEqual(
    loaded.stockGateways.map(({ workload }) => workload),
    ["shop/waypoint"],
  );
});

for (const [what, request, ...wanted] of [
  [
    "a rule of the waypoint's allows",
    from("shop/web", "orders.shop", { path: "/orders/7" }),
    true,
    "shop/orders",
  ],
  [
    "another method is refused by the waypoint",
    from("shop/web", "orders.shop", { method: "DELETE", path: "/orders/7" }),
    false,
    "shop/waypoint",
  ],
  [
    "another workload is refused by the waypoint",
    from("shop/catalog", "orders.shop", { path: "/orders/7" }),
    false,
    "shop/waypoint",
  ],
  [
    "the class's policy holds for every service",
    from("shop/web", "catalog.shop", { path: "/admin/x" }),
    false,
    "shop/waypoint",
  ],
  [
    "a sidecar sends past the waypoint",
    from("partner/feed", "catalog.shop", { path: "/items" }),
    true,
    "shop/catalog",
  ],
  [
    "a sidecar does not reach what ztunnel keeps for the waypoint",
    from("partner/feed", "orders.shop", { path: "/orders/7" }),
    false,
    "shop/orders",
  ],
  [
    "clear text is refused by ztunnel",
    from("legacy/cron", "catalog.shop", { path: "/items" }),
    false,
    "shop/catalog",
  ],
] as const)
  test(`examples/ambient: ${what}`, async () => {
    const [decision] = await can(loaded.mesh, [request]);
    assert.deepEqual([decision?.allowed, decision?.hop], wanted);
  });

test("every command in the example's comments comes out as it says", async () => {
  const text = readFileSync(`${FOLDER}/mesh.yaml`, "utf8");
  const lines = [
    ...text.matchAll(/^# +bulwark can (\S+) (GET|DELETE) http:\/\/([a-z.]+)(\/\S+) .* {2,}(\S+)/gm),
  ];
  assert.ok(lines.length >= 6);
  for (const [, client = "", method = "", host = "", path = "", word] of lines) {
    const [decision] = await can(loaded.mesh, [
      { from: { workload: client }, to: { service: host, port: 80 }, method, path },
    ]);
    const refused = word === "refused";
    assert.equal(decision?.allowed, !refused, `${client} ${method} ${host}${path}`);
  }
});

test("--all-to goes by the waypoint and asks what its policies name", async () => {
  const pairs = await canAll(loaded.mesh, { to: "shop/orders" });
  const told = pairs.map((pair) => [
    pair.from,
    pair.verdict,
    pair.requests.map(({ request }) => `${request.method} ${request.path}`),
  ]);
  const asked = [
    "GET /",
    "GET /orders",
    "POST /orders",
    "GET /orders/x",
    "POST /orders/x",
    "GET /admin",
    "GET /admin/x",
  ];
  assert.deepEqual(told, [
    ["shop/web", "partly", asked],
    ["shop/catalog", "denied", asked],
    ["partner/feed", "denied", asked],
    ["legacy/cron", "denied", asked],
    ["{plaintext}", "denied", asked],
  ]);
  const web = pairs[0]?.requests ?? [];
  assert.deepEqual(
    web.map(({ allowed, hop }) => [allowed, hop]),
    [
      [false, "shop/waypoint"],
      [true, "shop/orders"],
      [true, "shop/orders"],
      [true, "shop/orders"],
      [true, "shop/orders"],
      [false, "shop/waypoint"],
      [false, "shop/waypoint"],
    ],
  );
});
