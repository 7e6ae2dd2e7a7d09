/** Requests that show what is claimed, written as `can` takes them. */
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import { KnownCallers } from "../../diff/known-callers.ts";
import { witnessRequest } from "../../diff/witness-request.ts";
import { type Diagram, NO } from "../../space/diagram.ts";
import type { ServerSpace } from "../../space/server-space.ts";
import { witnessOf } from "../../space/witness.ts";
import type { AuditContext } from "../audit-context.ts";

export class Witnesses {
  readonly #callers: KnownCallers;

  constructor(callers: KnownCallers) {
    this.#callers = callers;
  }

  /** The simplest of the set; from a workload that there is, where one can send such. Undefined for the empty set. */
  of({ diagrams, dimensions }: ServerSpace, set: Diagram, workload: string): AccessRequest | undefined {
    if (set === NO) return undefined;
    const point = witnessOf(diagrams, dimensions, set);
    return point && witnessRequest(dimensions, this.#callers.settle(dimensions, point), workload);
  }
}

export function witnesses({ mesh }: AuditContext): Witnesses {
  return new Witnesses(new KnownCallers([mesh]));
}
