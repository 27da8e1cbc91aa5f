/** One requirement of this machine, its settings or a repository, as `doctor` and `/health` found it. */

export const checkStates = [
  'ok',
  'warning', // it works, and something about it is worth knowing
  'missing', // nothing, or not this, works without it
] as const

export type CheckState = (typeof checkStates)[number]

export type Check = {
  /** What is looked at, in words that stay: a row of the table `health_status` has this name. */
  name: string
  state: CheckState
  /** What there is. */
  found: string
  /** How to mend it: what to type, where there is something to type. */
  mend: string | null
}

export const ok = (name: string, found: string): Check => ({ name, state: 'ok', found, mend: null })

export const warn = (name: string, found: string, mend: string | null = null): Check => ({
  name,
  state: 'warning',
  found,
  mend,
})

export const lack = (name: string, found: string, mend: string | null): Check => ({
  name,
  state: 'missing',
  found,
  mend,
})

/** In one word, for programs: the worst of them. */
export const worstOf = (checks: readonly Check[]): CheckState =>
  checkStates.findLast((state) => checks.some((check) => check.state === state)) ?? 'ok'
