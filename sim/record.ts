/**
 * What the loopback provider remembers of a request: enough to say who asked what and what became of it, never a body unless asked for.
 */
import type { DialectName, Tokens } from './dialect/dialect.ts'

export type RequestRecord = {
  n: number
  /** Epoch milliseconds, of the provider's world. */
  at: number
  method: string
  /** As asked for, prefix and query included. */
  path: string
  dialect: DialectName | null
  /** Of the model named; where the name says nothing, of the dialect. */
  family: string | null
  model: string | null
  key: string | null
  /** What the client calls itself: `claude-cli/2.1.330 …`. */
  userAgent: string | null
  bytes: number
  tools: readonly string[]
  toolResults: number
  /** Number of the rule followed, kind of the step given. */
  rule: number | null
  step: string | null
  /** What was done to it: an action, or `status` for an ordered status. */
  fault: string | null
  /** 0 while nothing was answered. */
  status: number
  tokens: Tokens | null
  /** `cut`: the connection ended before the answer did, whoever ended it. */
  ended: 'open' | 'finished' | 'cut'
  body?: string
}
