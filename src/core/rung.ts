/**
 * The ladder: how much a sandbox can hold, the highest rung first, and which promises are lost on each one below `namespace`. Which of them a machine has
 * is found out in sandbox/create.ts.
 */
export const rungs = ['cgroup', 'namespace', 'companion', 'subreaper', 'group'] as const
export type Rung = (typeof rungs)[number]

/** What README promises and this rung does not hold, as a sentence without its end; null where it holds all of it. */
export const losses: Readonly<Record<Rung, string | null>> = {
  cgroup: null,
  namespace: null,
  companion: 'attempts are not held from one another, nor from what their container can reach',
  subreaper: 'files and network are not held, nor a program that ends its watcher',
  group: 'files, network and daemons are not held',
}

/** Is this rung as high as that one, or higher? */
export const isAtLeast = (rung: Rung, lowest: Rung): boolean => rungs.indexOf(rung) <= rungs.indexOf(lowest)

/** The rungs below the default, each with what is lost there: the list a lower one is chosen from. */
export const lowerRungs = (): string =>
  rungs.flatMap((rung) => (losses[rung] === null ? [] : [`rung: ${rung} (${losses[rung]})`])).join(', ')
