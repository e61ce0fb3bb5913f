// Jobs over models as the server tells of them: their list, and the lines of those whose log is open.
import { isOver, jobs as api, type Job, type JobKind, type JobLine, type JobNews } from '$lib/api/jobs';
import { server } from './server.svelte';

/** Lines kept of a log that is open: what is older is on the server. */
const MOST_LINES = 2000;

class Jobs {
  list = $state.raw<Job[]>([]);
  kinds = $state.raw<JobKind[]>([]);
  listed = $state(false);
  error = $state<string | null>(null);
  /** The job whose log is on screen, and its lines. */
  logOf = $state<string | null>(null);
  log = $state.raw<JobLine[]>([]);

  get available(): boolean {
    return server.has('GET /api/v1/jobs/kinds');
  }
  get running(): Job[] {
    return this.list.filter((job) => !isOver(job));
  }
  kind(name: string): JobKind | undefined {
    return this.kinds.find((each) => each.kind === name);
  }

  async refresh(): Promise<void> {
    if (!this.available) return;
    try {
      const [kinds, list] = await Promise.all([this.kinds.length > 0 ? this.kinds : api.kinds(), api.list()]);
      this.kinds = kinds;
      this.#replace(list);
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }

  take(news: JobNews): void {
    if (news.kind === 'jobs') this.#replace(news.jobs);
    else if (news.kind === 'job') this.note(news.job);
    else if (news.kind === 'job_gone') this.list = this.list.filter((job) => job.id !== news.id);
    else if (news.id === this.logOf) this.#append([news.line]);
  }

  note(job: Job): void {
    this.list = this.list.some((each) => each.id === job.id) ? this.list.map((each) => (each.id === job.id ? job : each)) : [job, ...this.list];
  }

  forget(id: string): void {
    this.list = this.list.filter((job) => job.id !== id);
  }

  /** Opens a log: what there is, then what comes. */
  async openLog(id: string): Promise<void> {
    this.logOf = id;
    this.log = [];
    for (let from = 0; ; ) {
      const { lines, next } = await api.log(id, from);
      if (this.logOf !== id) return;
      this.#append(lines);
      if (lines.length === 0 || next <= from) return;
      from = next;
    }
  }

  closeLog(): void {
    this.logOf = null;
    this.log = [];
  }

  #replace(list: Job[]): void {
    this.list = list;
    this.listed = true;
  }

  // A line may come by both ways, and an event before the lines that it follows.
  #append(lines: readonly JobLine[]): void {
    const known = new Set(this.log.map((line) => line.number));
    const fresh = lines.filter((line) => !known.has(line.number));
    if (fresh.length > 0) this.log = [...this.log, ...fresh].sort((a, b) => a.number - b.number).slice(-MOST_LINES);
  }
}

export const jobList = new Jobs();
