/**
 * Whether a client's own count of its tokens agrees with the wire's. The wire is the meter; the client is asked as a witness: more than the wire saw means
 * that something was asked past it, much less that one of the two is read wrongly. Pure.
 */
import type { TokenCount } from './event.ts'

/** Clients round, and some count a system prompt their own way. */
const slackTokens = 500
const moreShare = 1.02
/** Side errands (titles, summaries) are in no client's sum. */
const lessShare = 0.5

const total = ({ input, cachedInput, cacheWrite, output }: TokenCount): number =>
  input + cachedInput + cacheWrite + output

/** How they disagree, or null: they agree, or the client says nothing. */
export function driftOf(wire: TokenCount, said: TokenCount): 'more' | 'less' | null {
  const [seen, told] = [total(wire), total(said)]
  if (told === 0) return null
  if (told > seen * moreShare + slackTokens) return 'more'
  return told < seen * lessShare - slackTokens ? 'less' : null
}
