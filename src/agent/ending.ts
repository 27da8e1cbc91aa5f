/**
 * How an agent ended, by the rules all clients share. Exit codes lie: some end with 0 when they were stopped, or after an answer that broke off. So an
 * agent passed only where it said so AND its exit code agrees; and what we did to it ourselves wins over all it says.
 *
 *     stopped by us  >  the client's own error  >  said it is done, exit 0: passed  >  said so, other exit: crashed  >  nothing said
 *
 * It never knows what the gateway saw: a budget, a refusal or a broken answer on the wire is merged in by the caller, and wins over this.
 */
import type { Outcome } from '../core/outcome.ts'
import type { AgentEnd, AgentParser } from './agent.ts'
import { fieldsOf, jsonOf, sentenceOf, textOf } from './field.ts'

export type Exit = Parameters<AgentParser['end']>[0]

/** The client's last word. `outcome` is set where the client itself named the cause. */
export type Final =
  | { ok: true }
  | { ok: false; message: string; status: number | null; outcome?: Outcome; otherwise?: Outcome }

export type Heard = {
  said: Pick<AgentEnd, 'text' | 'session' | 'tokens' | 'structured'>
  final: Final | null
  /** True when at least one line was the client's own protocol. */
  understood: boolean
  /** The last complaint, wherever it came from; empty when there was none. */
  complaint: string
}

/** The end of an agent. */
export function endOf(exit: Exit, { said, final, understood, complaint }: Heard): AgentEnd {
  const end = (outcome: Outcome, reason: string): AgentEnd => ({ ...said, outcome, reason: sentenceOf(reason) })
  const left = exit.signal === null ? `exit ${exit.code}` : `ended by ${exit.signal}`
  if (exit.stopped) return end(exit.stopped, `ended by us: ${exit.stopped}`)
  if (final && !final.ok) {
    const message = named(plainMessage(final.message))
    const status = final.status ?? statusIn(final.message)
    return end(
      final.outcome ?? blame(status, final.message, final.otherwise ?? 'failed'),
      message || 'said it failed, not why',
    )
  }
  if (final && exit.code === 0) return end('passed', 'said it is done')
  if (final) return end('crashed', `said it is done, then: ${left}`)
  if (complaint !== '' && exit.code !== 0) {
    return end(blame(statusIn(complaint), complaint, 'crashed'), `${left}: ${named(plainMessage(complaint))}`)
  }
  if (!understood && exit.code === 0) return end('unreadable', 'printed nothing that could be read')
  return end('crashed', `ended without a last word: ${left}`)
}

/** What a client's error means. The gateway's own words first, then the status, then the client's words; `otherwise` where none says anything. */
function blame(status: number | null, message: string, otherwise: Outcome): Outcome {
  const marked = markers.find(([pattern]) => pattern.test(message))
  if (marked) return marked[1]
  if (status === 402) return 'over-budget'
  if (status === 429) return 'rate-limited'
  if (status !== null && (status === 408 || status >= 500)) return 'unreachable'
  if (status !== null && status >= 400) return 'refused'
  return words.find(([pattern]) => pattern.test(message))?.[1] ?? otherwise
}

/** A conversation that has outgrown the model's context, in the words of providers and clients. */
const fullContext =
  /prompt is too long|context_length_exceeded|maximum context length|context window|input token count.{0,40}exceeds|ran out of room/i

/** Says first what a person must know, where the words of others only tell it to who knows them. */
const named = (message: string): string => (fullContext.test(message) ? `its context is full: ${message}` : message)

/** Written by our gateway at the start of its messages; clients keep them. */
const markers: readonly (readonly [RegExp, Outcome])[] = [
  [/\bBUDGET_EXCEEDED\b/, 'over-budget'],
  [/\bUNREACHABLE: /, 'unreachable'],
  [/\b(?:DENIED|REFUSED): /, 'refused'],
]

const words: readonly (readonly [RegExp, Outcome])[] = [
  [/rate.?limit|usage limit|daily quota|too many requests|overloaded/i, 'rate-limited'],
  [/quota exceeded|insufficient_quota|credit balance|not logged in|invalid.{0,10}api.?key/i, 'refused'],
  [
    /connection (?:error|failed|refused|reset)|error sending request|fetch failed|stream disconnected|terminated\]|socket|ECONN|ENOTFOUND|ETIMEDOUT|unable to connect/i,
    'unreachable',
  ],
]

/** The HTTP status a client put into its message, or null. */
export function statusIn(message: string): number | null {
  const found = /(?:\bstatus:? |"code":\s?|\bError: |\()([45]\d\d)\b/.exec(message)
  return found ? Number(found[1]) : null
}

/** The provider's sentence, where a client passes its whole body on. */
function plainMessage(message: string): string {
  const [start, end] = [message.indexOf('{'), message.lastIndexOf('}')]
  if (start < 0 || end < start) return message
  const body = fieldsOf(jsonOf(message.slice(start, end + 1)))
  return textOf(fieldsOf(body['error'])['message']) || textOf(body['message']) || message
}
