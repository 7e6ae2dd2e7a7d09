/** Records that are missing between those that are there: Bulwark's ids rise by one with each record of a process. */
export class IdGaps {
  readonly #byProcess = new Map<string, { first: number; last: number; count: number }>();
  #isClosed = false;

  /** @param id `<reporter>@<random>:<n>` */
  add(id: string): void {
    if (this.#isClosed) return;
    const colon = id.lastIndexOf(":");
    const number = Number(id.slice(colon + 1));
    if (colon < 0 || !Number.isSafeInteger(number) || number < 0) return;
    const process = id.slice(0, colon);
    const known = this.#byProcess.get(process);
    if (known === undefined) {
      if (this.#byProcess.size < MAX_PROCESSES)
        this.#byProcess.set(process, { first: number, last: number, count: 1 });
      return;
    }
    known.count++;
    if (number < known.first) known.first = number;
    if (number > known.last) known.last = number;
  }

  /** Logs are read twice: the second time all has been counted, at two microseconds each. */
  close(): void {
    this.#isClosed = true;
  }

  /** At least so many; and of how many processes. Records that came twice make it less. */
  missing(): { readonly records: number; readonly processes: number } {
    let records = 0;
    let processes = 0;
    for (const { first, last, count } of this.#byProcess.values()) {
      const missing = last - first + 1 - count;
      if (missing <= 0) continue;
      records += missing;
      processes++;
    }
    return { records, processes };
  }
}

const MAX_PROCESSES = 100_000;
