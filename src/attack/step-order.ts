import type { AttackStep } from "./attack.ts";

/** Steps that watch what passes must not see what others try: these first, and the others once they are done. */
export function firstThen(first: readonly AttackStep[], later: readonly AttackStep[]): readonly AttackStep[] {
  const running: Promise<unknown>[] = [];
  return [
    ...first.map((step) => ({ ...step, run: noted(step.run, running) })),
    // INVARIANT: steps are started in their order, so the first ones have been by now.
    ...later.map((step) => ({
      ...step,
      run: async () => {
        await Promise.allSettled(running);
        return await step.run();
      },
    })),
  ];
}

/** The same work; its runs are noted in the list. */
export function noted<T>(run: () => Promise<T>, list: Promise<unknown>[]): () => Promise<T> {
  return () => {
    const running = run();
    list.push(running);
    return running;
  };
}
