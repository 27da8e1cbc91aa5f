/**
 * Notices an attempt that goes in circles: it asks and is answered, and no tool result is of a new kind. Only where the pacer is empty does that matter,
 * because others wait for the money it spends.
 */
import { isWaste } from '../core/breaker.ts'
import type { AgentEvent } from '../agent/agent.ts'
import type { WireReport } from '../gateway/gateway.ts'

type Look = {
  /** Monotonic milliseconds, absence left out. */
  now(): number
  report(): Pick<WireReport, 'requests' | 'waitedMs'>
  pacerEmptyMs(): number
}

export function watchCircling({ now, report, pacerEmptyMs }: Look) {
  const seen = new Set<string>()
  const mark = () => ({ at: now(), ...report() })
  let progress = mark()
  return {
    /** A tool that was never used like this, or ended in another way than before, is progress. */
    onAgentEvent(event: AgentEvent): void {
      if (event.type !== 'tool') return
      const { phase, name, ok, detail = '' } = event
      const kind = `${phase} ${name} ${ok ?? ''} ${detail.replaceAll(/\d+/g, '#')}`
      if (seen.has(kind)) return
      seen.add(kind)
      progress = mark()
    },
    isWaste(): boolean {
      const since = mark()
      return isWaste({
        answers: since.requests - progress.requests,
        sinceMs: since.at - progress.at - (since.waitedMs - progress.waitedMs),
        pacerEmptyMs: pacerEmptyMs(),
      })
    },
  }
}
