/** Random meshes with waypoints: the decision, hop by hop, against the slow reference; and laws that need none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decide } from "../../../src/policy/decide.ts";
import type { Decision } from "../../../src/policy/path/decision.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { type Question, referenceOutcome, type World } from "../reference/reference-ambient.ts";
import { arbitraryQuestion, arbitraryWorld } from "./arbitrary-world.ts";
import { requestFor, worldText } from "./world-mesh.ts";

const SEED = 20261122;
const PARAMETERS = { seed: SEED, numRuns: 500 };

async function decided(world: World, question: Question): Promise<Decision> {
  return decide(meshOf(worldText(world)), requestFor(question), { compareModes: false });
}

test("a mesh with waypoints is decided as the reference does: allowed, by whom, policy and rule", async () => {
  let byWaypoint = 0;
  let refusedThere = 0;
  await fc.assert(
    fc.asyncProperty(arbitraryWorld, arbitraryQuestion, async (world, question) => {
      const { allowed, hop, policy, rule, hops } = await decided(world, question);
      assert.deepEqual({ allowed, hop, policy, rule }, referenceOutcome(world, question));
      if (hops.some(({ side }) => side === "waypoint")) byWaypoint++;
      if (hops.at(-1)?.side === "waypoint") refusedThere++;
    }),
    PARAMETERS,
  );
  assert.ok(byWaypoint > PARAMETERS.numRuns / 10, `only ${byWaypoint} went by a waypoint`);
  assert.ok(refusedThere > PARAMETERS.numRuns / 50, `only ${refusedThere} were refused by one`);
});

test("a DENY policy more, wherever it is attached, never allows what was denied", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryWorld, arbitraryWorld, arbitraryQuestion, async (world, other, question) => {
      const more = other.policies.map((own, index) => ({
        ...own,
        name: `q${index}`,
        spec: { ...own.spec, action: "DENY" as const },
      }));
      const before = await decided(world, question);
      const after = await decided({ ...world, policies: [...world.policies, ...more] }, question);
      assert.ok(before.allowed || !after.allowed);
    }),
    { ...PARAMETERS, numRuns: 200 },
  );
});

test("who goes past waypoints is not touched by any policy that names a target", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryWorld, arbitraryQuestion, async (world, question) => {
      const past = { ...question, client: "plain" as const };
      const without = { ...world, policies: world.policies.filter(({ holds }) => typeof holds === "string") };
      assert.deepEqual((await decided(world, past)).hops, (await decided(without, past)).hops);
    }),
    { ...PARAMETERS, numRuns: 200 },
  );
});

test("strict semantics never allow at a waypoint what Istio's refuse", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryWorld, arbitraryQuestion, async (world, question) => {
      const { allowed, differs } = await decided(world, question);
      assert.ok(differs === undefined || (allowed && !differs.allowed));
    }),
    { ...PARAMETERS, numRuns: 200 },
  );
});
