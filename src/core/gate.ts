/**
 * Gates: the repository's own commands, executed by us on a fresh checkout of the exact tree in question.
 *
 * A gate that is already red on the base is a baseline: only a *new* failure blocks, and only where the repository chose `allow`.
 */
export type Gate = { name: string; command: string; timeoutMs: number; baseline: 'block' | 'allow' | 'off' }

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
  reused: boolean
}

/** Names of the gates that stand in the way: red here, and not excused by a baseline the repository allowed. */
export function blockers(gates: readonly Gate[], report: GateReport): string[] {
  return gates
    .filter(({ baseline }) => baseline !== 'off')
    .filter(({ name, baseline }) => {
      const result = report.results.find((each) => each.name === name)
      if (!result) return true // a gate without a result has not passed
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
