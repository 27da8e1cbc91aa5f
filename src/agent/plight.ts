/**
 * What an agent was stuck in when it was ended for its silence or its age, in words for people: it hears the same events whoever's CLI it is. A tool that
 * does not come back is most often one that asks something where nobody can answer; trying again and again is the other way of not getting on.
 */
import type { Outcome } from '../core/outcome.ts'
import type { AgentEvent } from './agent.ts'
import { sentenceOf } from './field.ts'

export function watchPlight() {
  const open = new Map<string, string>()
  let retries = 0
  let last = ''
  let denied = ''
  return {
    onEvent(event: AgentEvent): void {
      if (event.type === 'retry') {
        retries += 1
        last = event.status === null ? event.reason : `${event.status} ${event.reason}`
        return
      }
      if (event.type === 'warning' || event.type === 'unknown') return
      retries = 0
      denied = event.type === 'denied' ? event.tool : ''
      if (event.type !== 'tool') return
      if (event.phase === 'start') open.set(event.id, [event.name, event.detail ?? ''].join(' ').trim())
      else open.delete(event.id)
    },
    /** Null where there is nothing to say about such an end. */
    say(outcome: Outcome): string | null {
      if (outcome !== 'stalled' && outcome !== 'timed-out') return null
      if (retries > 0) return `it did nothing but try again (${retries} times; last: ${sentenceOf(last)})`
      const tool = [...open.values()].at(-1)
      if (tool !== undefined)
        return `a tool had not come back, which may ask something that nobody can answer: ${sentenceOf(tool)}`
      return denied === '' ? null : `it was denied what it asked for last: ${sentenceOf(denied)}`
    },
  }
}
