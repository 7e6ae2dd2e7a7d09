/** A reporter of node's test runner: one line of JSON with the totals, and the names of what did not run. */
import type { TestEvent } from "node:test/reporters";

/** What {@link countReporter} writes. `failed` holds cancelled tests too; `skipped` and `todo` name tests that did not decide. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly string[];
  readonly todo: readonly string[];
}

export default async function* countReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let counted = { passed: 0, failed: 0 };
  const skipped: string[] = [];
  const todo: string[] = [];
  for await (const event of source) {
    if (event.type === "test:pass" || event.type === "test:fail") {
      if (event.data.skip !== undefined) skipped.push(event.data.name);
      if (event.data.todo !== undefined) todo.push(event.data.name);
    }
    // One summary for each file, and one without a file for all of them.
    if (event.type === "test:summary" && event.data.file === undefined) {
      const { tests, passed, skipped: passedOver, todo: open } = event.data.counts;
      // What remains failed or was cancelled.
      counted = { passed, failed: tests - passed - passedOver - open };
    }
  }
  yield `${JSON.stringify({ ...counted, skipped, todo } satisfies TestCounts)}\n`;
}
