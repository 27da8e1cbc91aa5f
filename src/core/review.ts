/**
 * A review round: families other than the author's judge one commit until a verdict falls.
 *
 *     (none) ──open──▶ voting ──all votes in──▶ checking ──all findings settled──▶ approved | rejected
 *
 * Reviewers return findings, not verdicts. Their union counts, each finding is checked by behaviour or by another family, and a confirmed one
 * blocks: measured on recorded reviews, a majority of verdicts is worse than the best single reviewer, checked findings are better.
 * A refusal, an error, a time-out or an unreadable answer is never a vote, so it can never approve. A vote never outlives its commit.
 */
import type { Family } from './family.ts'
import { refuse, type Refusal } from './refusal.ts'

export const severities = ['critical', 'high', 'medium', 'low'] as const
export type Severity = (typeof severities)[number]

export type Finding = {
  id: string
  file: string
  line: number | null
  severity: Severity
  claim: string
  /** A command that fails while the finding holds, or null where it cannot be shown by behaviour. */
  proof: string | null
}

export type FindingState = 'open' | 'confirmed' | 'dismissed' | 'noted' | 'undecided'
export type Check = { by: string; verdict: 'confirmed' | 'dismissed' | 'undecided'; evidence: string }
export type JudgedFinding = Finding & { by: Family; state: FindingState; checks: Check[] }

export type ReviewPolicy = {
  /** Families asked, none of them the author's. All must vote. */
  families: Family[]
  /** A person must approve, whatever `unattended` says. */
  person: boolean
  /** The author's own family, asked for advice that never counts, where no other is usable. */
  advisory: Family | null
  /** Families that may cross-check a finding. */
  checkers: Family[]
  why: string
}

export type Vote = { family: Family; model: string; attempt: string; commit: string; summary: string }

export type Round = {
  number: number
  commit: string
  base: string
  author: Family
  policy: ReviewPolicy
  votes: Vote[]
  advice: { family: Family; summary: string } | null
  findings: JudgedFinding[]
  verdict: 'approved' | 'rejected' | null
}

/**
 * Who must review. Three usable families: two others. Two: the other one and a person. One: a person, with advice that never counts.
 * Security tasks and protected paths: every other family and a person. There is no way to fewer than two others without a person.
 */
export function reviewPolicy(change: {
  author: Family
  usable: readonly Family[]
  kind: string
  protectedPaths: readonly string[]
  /** From the repository's settings; may only ask for more. */
  least?: { families?: number; person?: boolean }
  /** What else a person must have seen. */
  asks?: readonly string[]
}): ReviewPolicy {
  const others = change.usable.filter((family) => family !== change.author)
  const sensitive = change.kind === 'security' || change.protectedPaths.length > 0
  const wanted = Math.max(2, change.least?.families ?? 0)
  const families = sensitive ? others : others.slice(0, wanted)
  const { protectedPaths: paths, asks = [] } = change
  const why = [...(paths.length > 0 ? [`protected paths changed (${paths.slice(0, 5).join(', ')})`] : []), ...asks]
  const person =
    why.length > 0 || sensitive || families.length < 2 || families.length < wanted || change.least?.person === true
  return {
    families,
    person,
    advisory: others.length === 0 ? change.author : null,
    checkers: others,
    why: explain(families, person, sensitive, why),
  }
}

function explain(families: Family[], person: boolean, sensitive: boolean, why: readonly string[]): string {
  const reviewers = families.length === 0 ? 'no other family is usable' : `reviewed by ${families.join(' and ')}`
  if (!person) return reviewers
  if (why.length > 0) return `${reviewers}; a person must approve: ${why.join('; ')}`
  if (sensitive) return `${reviewers}; a person must approve: security task`
  return `${reviewers}; a person must approve in place of the missing famil${families.length === 1 ? 'y' : 'ies'}`
}

export const openRound = (opened: Pick<Round, 'number' | 'commit' | 'base' | 'author' | 'policy'>): Round => ({
  ...opened,
  votes: [],
  advice: null,
  findings: [],
  verdict: null,
})

/** May this vote be cast? Diversity's first guard: nobody reviews the work of their own family. */
export function checkVote(
  round: Round | null,
  vote: { family: Family; commit: string; round: number },
): Refusal | null {
  if (!round || round.verdict || vote.round !== round.number) return refuse('round-closed', 'the round has ended')
  if (vote.commit !== round.commit)
    return refuse('stale-commit', `the round judges ${round.commit}, the vote ${vote.commit}`)
  if (vote.family === round.author) return refuse('own-work', `${vote.family} wrote this commit and may not vote on it`)
  if (!round.policy.families.includes(vote.family)) return refuse('not-asked', `${vote.family} was not asked`)
  if (round.votes.some(({ family }) => family === vote.family))
    return refuse('already-voted', `${vote.family} has voted`)
  return null
}

/** May this family's word on a finding count? Not the author's, not that of who found it, and nobody's twice. */
export function checkCheck(round: Round, check: { finding: string; by: Family }): Refusal | null {
  const finding = round.findings.find(({ id }) => id === check.finding)
  if (round.verdict || finding?.state !== 'open') return refuse('settled', 'the finding is settled')
  if (check.by === round.author) return refuse('own-work', `${check.by} wrote this commit and may not judge a finding`)
  if (check.by === finding.by) return refuse('own-finding', `${check.by} found it and may not confirm itself`)
  if (!round.policy.checkers.includes(check.by)) return refuse('not-asked', `${check.by} was not asked`)
  if (finding.checks.some(({ by }) => by === check.by)) return refuse('already-checked', `${check.by} has checked it`)
  return null
}

/** Low findings are noted and never block; everything else must be settled by a check. */
export const judged = (finding: Finding, by: Family): JudgedFinding => ({
  ...finding,
  by,
  state: finding.severity === 'low' ? 'noted' : 'open',
  checks: [],
})

export type NextCheck = { finding: string; step: 'reproduce' } | { finding: string; step: 'crosscheck'; family: Family }

/** The checks still owed, once all votes are in. None after one finding is confirmed: the verdict is known. */
export function nextChecks(round: Round): NextCheck[] {
  if (round.verdict || !allVoted(round) || round.findings.some(({ state }) => state === 'confirmed')) return []
  return round.findings
    .filter(({ state }) => state === 'open')
    .flatMap((finding): NextCheck[] => {
      if (finding.proof && finding.checks.length === 0) return [{ finding: finding.id, step: 'reproduce' }]
      const family = checkerOf(round, finding)
      return family ? [{ finding: finding.id, step: 'crosscheck', family }] : []
    })
}

const checkerOf = (round: Round, finding: JudgedFinding): Family | undefined =>
  round.policy.checkers.find(
    (family) => family !== finding.by && family !== round.author && !finding.checks.some(({ by }) => by === family),
  )

/** The state of a finding after one more check. Without another family to ask, it is left undecided, which only a person may pass over. */
export function settle(round: Round, finding: JudgedFinding, check: Check): JudgedFinding {
  const next = { ...finding, checks: [...finding.checks, check] }
  if (check.verdict !== 'undecided') return { ...next, state: check.verdict }
  return { ...next, state: checkerOf(round, next) ? 'open' : 'undecided' }
}

const allVoted = (round: Round): boolean =>
  round.policy.families.every((family) => round.votes.some((vote) => vote.family === family))

/** The verdict, or null while votes or checks are owed. An undecided finding rejects unless a person will look at it. */
export function verdictOf(round: Round): { verdict: 'approved' | 'rejected'; why: string } | null {
  if (!allVoted(round)) return null
  const confirmed = round.findings.filter(({ state }) => state === 'confirmed')
  if (confirmed.length > 0)
    return {
      verdict: 'rejected',
      why: `${confirmed.length} confirmed: ${confirmed.map(({ claim }) => claim).join('; ')}`,
    }
  const open = round.findings.filter(({ state }) => state === 'open')
  if (open.some((finding) => checkerOf(round, finding) || (finding.proof && finding.checks.length === 0))) return null
  const undecided = [...open, ...round.findings.filter(({ state }) => state === 'undecided')]
  if (undecided.length > 0 && !round.policy.person)
    return {
      verdict: 'rejected',
      why: `${undecided.length} undecided: ${undecided.map(({ claim }) => claim).join('; ')}`,
    }
  const voters = round.votes.map(({ family }) => family).join(', ') || 'nobody but a person'
  return { verdict: 'approved', why: `${voters}: no confirmed finding` }
}

/** What an implementer is told after a rejection: each confirmed finding with its evidence. */
export const reviewFeedback = (round: Round): string =>
  round.findings
    .filter(({ state }) => state === 'confirmed' || state === 'undecided')
    .map(({ severity, file, line, claim, proof, checks }) => {
      const evidence = checks.map(({ by, verdict, evidence }) => `  ${verdict} by ${by}: ${evidence.trim()}`).join('\n')
      return `${severity} ${file}${line === null ? '' : `:${line}`}: ${claim}${proof ? `\n  $ ${proof}` : ''}\n${evidence}`
    })
    .join('\n\n')
