/** Which configuration each pod's proxy has in force, by what control tells. */
export class AppliedVersions {
  readonly #versions = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#versions.size === 0;
  }

  /**
   * INVARIANT: a version never falls. An answer is handled a turn later than an event that came behind it in the same bytes,
   * so what it says can be older than what is known.
   */
  note(pod: string, version: number): void {
    this.#versions.set(pod, Math.max(version, this.of(pod)));
  }

  /** 0 where none is known. */
  of(pod: string): number {
    return this.#versions.get(pod) ?? 0;
  }

  keepOnly(pods: ReadonlySet<string>): void {
    for (const pod of this.#versions.keys()) if (!pods.has(pod)) this.#versions.delete(pod);
  }
}
