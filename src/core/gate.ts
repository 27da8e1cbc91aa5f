/**
 * Gates: the repository's own commands, executed by us on a fresh checkout of the exact tree in question.
 *
 * A gate that is already red on the base is a baseline: only a *new* failure blocks, and only where the repository chose `allow`.
 * A gate whose `paths` the change does not touch is not concerned: it is left out and named, and never called green.
 */
import { protectedAmong } from './protection.ts'

export type Gate = {
  name: string
  command: string
  timeoutMs: number
  baseline: 'block' | 'allow' | 'off'
  /** Globs: executed only where the change touches one of them, or something below it. Absent: executed on every change. */
  paths?: string[]
}

export type GateResult = {
  name: string
  command: string
  state: 'green' | 'red' | 'timed-out'
  exitCode: number | null
  ms: number
  /** The end of what it printed, scrubbed. */
  tail: string
}

export type GateReport = {
  tree: string
  /** Hash of (commands, set-up layer, policy): together with the tree it names this result, so that landing may reuse it. */
  key: string
  results: GateResult[]
  /** Gates red on the base tree too. */
  baseline: string[]
  /** Gates left out because the change touches none of their paths. Absent in reports of a time when every gate was executed. */
  notConcerned?: string[]
  reused: boolean
}

/** The gates that a change of these files concerns. `everywhere`: files, such as lockfiles, whose change may show in any gate. */
export const concerned = (gates: readonly Gate[], changed: readonly string[], everywhere: readonly string[]): Gate[] =>
  gates.filter(
    ({ paths }) =>
      !paths ||
      protectedAmong(
        changed,
        [...paths, ...everywhere].flatMap((glob) => [glob, `${glob}/**`]),
      ).length > 0,
  )

/** Names of the gates that stand in the way: red here, and not excused by a baseline the repository allowed. */
export function blockers(gates: readonly Gate[], report: GateReport): string[] {
  return gates
    .filter(({ baseline }) => baseline !== 'off')
    .filter(({ name, baseline, paths }) => {
      const result = report.results.find((each) => each.name === name)
      // A gate without a result has not passed; not even one that was left out, if it is for every change by now.
      if (!result) return !(paths && report.notConcerned?.includes(name))
      return result.state !== 'green' && !(baseline === 'allow' && report.baseline.includes(name))
    })
    .map(({ name }) => name)
}

/** What an implementer is told about red gates: the evidence, not an opinion. */
export function gateFeedback(gates: readonly Gate[], report: GateReport): string {
  const blocking = blockers(gates, report)
  return gates
    .filter(({ name }) => blocking.includes(name))
    .map((gate) => {
      const result = report.results.find(({ name }) => name === gate.name)
      if (!result) return `Gate "${gate.name}" gave no result.\n$ ${gate.command}`
      const { name, command, state, exitCode, tail } = result
      return `Gate "${name}" is ${state === 'timed-out' ? 'timed out' : `red (exit ${exitCode})`}.\n$ ${command}\n${tail.trim()}`
    })
    .join('\n\n')
}

/** A report in one line; empty where there are no gates. */
export const gateLine = ({ results, baseline, notConcerned }: GateReport): string =>
  [
    ...results.map(({ name, state }) => `${name} ${state}${baseline.includes(name) ? ' (red before, too)' : ''}`),
    ...(notConcerned ?? []).map((name) => `${name} not concerned`),
  ].join(', ')
