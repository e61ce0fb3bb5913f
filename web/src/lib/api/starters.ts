// Which models of the hub to begin with.
import type { HubDetails, HubModel } from './catalog';

/** Enough to choose from at a glance. */
export const MOST_STARTERS = 6;

/** What stands in its place in a list of the most used: runs here, may be had, and its size is known. */
export function candidates(found: readonly HubModel[], memoryBytes: number | null): HubModel[] {
  const bases = new Set<string>();
  const list: HubModel[] = [];
  for (const model of found) {
    const bytes = model.weight_bytes ?? model.storage_bytes;
    if (!model.supported || model.gated !== false || bytes <= 0) continue;
    if (memoryBytes !== null && bytes > memoryBytes) continue;
    // Of the versions of one model the most used is enough.
    const base = model.base_models[0] ?? model.id;
    if (bases.has(base)) continue;
    bases.add(base);
    list.push(model);
  }
  return list.slice(0, MOST_STARTERS);
}

export interface Choice {
  /** In the order given, without those that do not fit or cannot chat. */
  models: HubDetails[];
  /** The first that leaves half of the memory free, else the first that fits at all. */
  recommended: string | null;
}

export function chooseOf(details: readonly HubDetails[]): Choice {
  const models = details.filter((each) => each.supported && each.facts.chat_template && each.fit.verdict !== 'too_large');
  const fitting = models.filter((each) => each.fit.verdict === 'fits');
  const easy = fitting.find((each) => each.fit.total_bytes * 2 <= each.fit.memory_bytes);
  return { models, recommended: (easy ?? fitting[0])?.id ?? null };
}
