/** One attempt as the gateway sees it: its grant, what is in flight, and what the wire has shown so far. */
import type { Server } from 'node:http'
import type { Grant } from '../core/budget.ts'
import { addedBytes, type Anchor } from './estimate.ts'
import type { WireReport } from './gateway.ts'
import type { Settled } from './lease.ts'

/** A request in flight. `done` settles when it is over and its money is settled; it never rejects. */
export type InFlight = { abort(why: AbortReason): void; done: Promise<void>; heldNanoUsd(): number }

export type AbortReason = 'client-gone' | 'revoked' | 'idle' | 'ledger-failed'

export type Live = {
  grant: Grant
  keyHash: string
  revoked: boolean
  exchanges: Set<InFlight>
  /** Of the bodies of those requests. */
  bodyBytes: number
  /** Latest requests and what they were billed, newest first. */
  anchors: Anchor[]
  /** Input tokens a provider has counted, by the digest of what it was asked. */
  counts: Map<string, number>
  /** Visible bytes of a token in its latest answers, by model. */
  densities: Map<string, number[]>
  /** Tools of the provider's that were spoken of already. */
  told: Set<string>
  server: Server | null
  report: WireReport
}

const fresh = (): WireReport => ({
  requests: 0,
  input: 0,
  cachedInput: 0,
  cacheWrite: 0,
  output: 0,
  costNanoUsd: 0,
  heldNanoUsd: 0,
  models: [],
  verdict: null,
  reason: null,
  scope: null,
  waitedMs: 0,
  voided: null,
  tools: { uses: {}, nanoUsd: 0 },
})

export const enter = (grant: Grant, keyHash: string): Live => ({
  grant,
  keyHash,
  revoked: false,
  server: null,
  exchanges: new Set<InFlight>(),
  bodyBytes: 0,
  anchors: [],
  counts: new Map(),
  densities: new Map(),
  told: new Set(),
  report: fresh(),
})

/** A copy of the report as of now; an empty one for an attempt that never was. */
export function reportOf(live: Live | undefined): WireReport {
  if (!live) return fresh()
  const heldNanoUsd = [...live.exchanges].reduce((sum, each) => sum + each.heldNanoUsd(), 0)
  const { models, tools } = live.report
  return { ...live.report, models: [...models], tools: { ...tools, uses: { ...tools.uses } }, heldNanoUsd }
}

/** Adds one settled request. */
export function countRequest(live: Live, model: string, { tokens, nanoUsd, tools }: Settled): void {
  const { report } = live
  for (const { tool, uses, nanoUsd: fee } of tools) {
    report.tools.uses[tool] = (report.tools.uses[tool] ?? 0) + uses
    report.tools.nanoUsd += fee
  }
  report.requests++
  report.input += tokens.input
  report.cachedInput += tokens.cachedInput
  report.cacheWrite += tokens.cacheWrite + tokens.cacheWriteHour
  report.output += tokens.output
  report.costNanoUsd += nanoUsd
  if (!report.models.includes(model)) report.models.push(model)
}

/** Records why the attempt was stopped, or (null) that an answer came through. A reached budget stays reached. */
export function judge(
  live: Live,
  verdict: WireReport['verdict'],
  reason: string | null = null,
  scope: string | null = null,
): void {
  if (live.report.verdict === 'over-budget' && verdict !== 'over-budget') return
  live.report.verdict = verdict
  live.report.reason = reason
  live.report.scope = scope
}

/** Sub-agents interleave a few conversations; more than these are not worth their memory. */
const keptAnchors = 4
const largestAnchor = 4 * 1024 * 1024

/** What it has grown out of is forgotten: of one conversation the latest request says the most. */
export function remember(live: Live, anchor: Anchor): void {
  if (live.revoked || anchor.body.length > largestAnchor) return
  const isOther = ({ model, terms, body }: Anchor): boolean =>
    model !== anchor.model || terms !== anchor.terms || addedBytes(anchor.body, body) > 0
  const others = live.anchors.filter(isOther)
  live.anchors = [anchor, ...others].slice(0, keptAnchors)
}

const keptDensities = 8
/** Shorter answers say little of what the next one will be like. */
const leastTokens = 200

/** Takes down how dense an answer was whose tokens the provider has counted. Hidden reasoning makes it denser, which is the safe side. */
export function noteDensity(live: Live, model: string, visibleBytes: number, tokens: number): void {
  if (tokens < leastTokens || visibleBytes === 0) return
  live.densities.set(model, [visibleBytes / tokens, ...(live.densities.get(model) ?? [])].slice(0, keptDensities))
}

/** The fewest visible bytes that a token had lately in this attempt, or null. */
export function densityOf(live: Live, model: string): number | null {
  const seen = live.densities.get(model)
  return seen ? Math.min(...seen) : null
}

/** Those of `names` that nobody was told of yet. */
export function untold({ told }: Live, kind: string, names: readonly string[]): string[] {
  const fresh = [...new Set(names)].filter((name) => !told.has(`${kind} ${name}`) && told.size < mostTold)
  for (const name of fresh) told.add(`${kind} ${name}`)
  return fresh
}

/** A hostile client may invent as many names as it likes. */
const mostTold = 50
