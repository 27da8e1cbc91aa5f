/** A task's way to the point where a person must decide, as events: for tests of what people are shown. */
import type { TaskEvent } from '../src/core/event.ts'
import type { ReviewPolicy } from '../src/core/review.ts'
import { append } from '../src/store/append.ts'
import { world, type Person } from './cli-rig.ts'

export const commit = '3f9c2ab14d5e6f708192a3b4c5d6e7f8091a2b3c'
const tree = 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334'
const tokens = { input: 1000, cachedInput: 0, cacheWrite: 0, output: 100 }

const attempt = (token: number, step: 'implement' | 'verify' | 'review', family: string | null): TaskEvent[] => [
  {
    type: 'attempt.admitted',
    attempt: `att_0000000${token}`,
    token,
    step,
    role: family === null ? 'gate' : step === 'implement' ? 'implementer' : 'reviewer',
    family,
    agent: family === null ? null : 'scripted',
    model: family === null ? null : `${family}-1`,
    finding: null,
    because: family === null ? null : 'rule kind-fix',
  },
  { type: 'attempt.started', attempt: `att_0000000${token}`, rung: 'group', pid: null },
]

const ended = (token: number, reason: string, costNanoUsd = 0): TaskEvent => ({
  type: 'attempt.ended',
  attempt: `att_0000000${token}`,
  outcome: 'passed',
  reason,
  signature: null,
  tokens,
  costNanoUsd,
  transcript: null,
  promptSha256: null,
  killed: null,
})

const policy: ReviewPolicy = {
  families: ['anthropic'],
  person: true,
  advisory: null,
  checkers: ['anthropic'],
  why: 'reviewed by anthropic; a person must approve in place of the missing family',
}

/** Implemented, green, reviewed with one dismissed finding: only a person is missing. */
export const untilApproval: readonly TaskEvent[] = [
  ...attempt(1, 'implement', 'openai'),
  ended(1, '2 files, +12 −3', 41_000_000),
  {
    type: 'candidate.taken',
    attempt: 'att_00000001',
    commit,
    tree,
    base: tree,
    family: 'openai',
    model: 'openai-1',
    files: ['src/upload.ts', 'test/upload.test.ts'],
    added: 12,
    removed: 3,
    message: 'Retry uploads that time out',
  },
  ...attempt(2, 'verify', null),
  {
    type: 'gates.finished',
    attempt: 'att_00000002',
    report: {
      tree,
      key: 'k',
      results: [
        { name: 'test', command: 'npm test', state: 'green', exitCode: 0, ms: 1234, tail: 'ok' },
        { name: 'lint', command: 'npm run lint', state: 'red', exitCode: 2, ms: 500, tail: 'src/old.ts: unused\n' },
      ],
      baseline: ['lint'],
      reused: false,
    },
  },
  ended(2, 'red as before: lint'),
  { type: 'round.opened', round: 1, commit, base: tree, author: 'openai', policy },
  ...attempt(3, 'review', 'anthropic'),
  {
    type: 'vote.cast',
    round: 1,
    attempt: 'att_00000003',
    commit,
    family: 'anthropic',
    model: 'anthropic-1',
    summary: 'The retry is bounded.',
    findings: [
      {
        id: 'f1',
        file: 'src/upload.ts',
        line: 7,
        severity: 'high',
        claim: 'It \u001b[31mnever\u001b[0m ends',
        proof: 'npm test',
      },
    ],
  },
  ended(3, '1 finding', 9_000_000),
  { type: 'finding.checked', round: 1, finding: 'f1', by: 'gate', verdict: 'dismissed', evidence: 'npm test: exit 0' },
  { type: 'verdict.reached', round: 1, commit, verdict: 'approved', why: 'anthropic: no confirmed finding' },
]

export const escalation: readonly TaskEvent[] = [
  { type: 'task.escalated', why: 'sent back 3 times', evidence: 'gate test is red:\nexpected 1, got 2' },
]

/** Adds a task by its title and lets `events` happen to it; answers its id. */
export async function tell(ada: Person, title: string, events: readonly TaskEvent[]): Promise<string> {
  const { task } = (await ada.json(['add', title])) as { task: { id: string } }
  await ada.withDatabase((database) =>
    database.write((tx) => append(tx, { at: world.clock.now(), actor: 'daemon', stream: `task/${task.id}`, events })),
  )
  return task.id
}
