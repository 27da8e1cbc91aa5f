/** Laws of settling: what the wire showed of an attempt wins over what came of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import type { TaskEvent } from '../core/event.ts'
import { added } from '../core/fixture.ts'
import type { FlowPolicy, Product } from '../core/flow.ts'
import { defaultSettings } from '../core/setting.ts'
import type { Step } from '../core/task.ts'
import type { Carried } from '../engine/engine.ts'
import type { WireReport } from '../gateway/gateway.ts'
import { mark } from '../host/scrub.ts'
import { withProduct, without, type StageResult } from '../stage/stage.ts'
import { append } from '../store/append.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { lastSeq } from '../store/log.ts'
import { loadTask } from '../store/task.ts'
import type { Daemon } from './daemon.ts'
import { settle } from './settle.ts'

const seen: WireReport = {
  requests: 2,
  input: 1000,
  cachedInput: 0,
  cacheWrite: 0,
  output: 50,
  costNanoUsd: 5_000_000,
  heldNanoUsd: 0,
  models: ['claude-opus-5-5'],
  verdict: null,
  reason: null,
  scope: null,
  waitedMs: 0,
  voided: null,
  tools: { uses: {}, nanoUsd: 0 },
}

const candidate = {
  attempt: 'att_0',
  commit: 'c'.repeat(40),
  tree: 'd'.repeat(40),
  base: 'b'.repeat(40),
  family: 'openai',
  model: 'gpt-6-sol',
  files: ['a.ts'],
  added: 1,
  removed: 0,
  message: 'Sell tea',
}
const { attempt: _, ...made } = candidate
const secret = 'hunter2-0123456789'
const policy: FlowPolicy = {
  unattended: true,
  usable: ['anthropic', 'openai', 'google'],
  gates: [],
  retry: defaultSettings(2).retry,
  rounds: 3,
}
/** What has happened before each step, and what comes of it. */
const works: Partial<Record<Step, { before: TaskEvent[]; product: Product }>> = {
  plan: {
    before: [],
    product: { step: 'plan', family: 'anthropic', plan: { approach: 'a', files: [], acceptance: [], subTasks: [] } },
  },
  implement: {
    before: [],
    product: { step: 'implement', candidate: { ...made, family: 'anthropic', model: 'claude-opus-5-5' } },
  },
  review: {
    before: [
      { type: 'candidate.taken', ...candidate },
      {
        type: 'round.opened',
        round: 1,
        commit: candidate.commit,
        base: candidate.base,
        author: 'openai',
        policy: { families: ['anthropic'], person: false, advisory: null, checkers: [], why: 'one' },
      },
    ],
    product: { step: 'review', family: 'anthropic', model: 'claude-opus-5-5', summary: 'fine', findings: [] },
  },
}

/** Settles an attempt of a step that passed, seen so on the wire; the types of what is written, and the task after it. */
async function settled(step: Step, wire: Partial<WireReport>, mayFinish = true, instead?: StageResult) {
  const world = virtualWorld()
  using stack = new DisposableStack()
  const opened = openDatabase(':memory:')
  stack.defer(() => opened.close())
  let inside = 0
  const database: Database = {
    ...opened,
    write: (body) =>
      opened.write((tx) => {
        inside += 1
        return body(tx).finally(() => (inside -= 1))
      }),
  }
  const woken: { isInside: boolean; found: Promise<number> }[] = []
  const { before, product } = works[step]!
  const role = step === 'plan' ? 'architect' : step === 'review' ? 'reviewer' : 'implementer'
  const admitted: TaskEvent = {
    type: 'attempt.admitted',
    attempt: 'att_1',
    token: 1,
    step,
    role,
    family: 'anthropic',
    agent: 'claude',
    model: 'claude-opus-5-5',
    finding: null,
    because: null,
  }
  const events = [added('task_1', step === 'plan' ? { size: 'large' } : {}), ...before, admitted]
  await database.write((tx) => append(tx, { at: 0, actor: 'daemon', stream: 'task/task_1', events }))
  const daemon = {
    world,
    database,
    gateway: { report: () => ({ ...seen, ...wire }) },
    engine: { finish: async () => mayFinish },
    flowPolicy: () => policy,
    secrets: () => [secret],
    wake: () => void woken.push({ isInside: inside > 0, found: database.write(lastSeq) }),
  }
  const carried = { attempt: 'att_1', task: 'task_1', token: 1, epoch: 1 } as unknown as Carried
  const { running } = (await database.write((tx) => loadTask(tx, 'task_1')))!
  await settle(
    daemon as unknown as Daemon,
    carried,
    running[0]!,
    instead ?? withProduct(product, 'it is done'),
    null,
    null,
  )
  return await database.read(async (tx) => {
    const rows = await tx.all<{ type: string; body: string }>('select type, body from event order by seq')
    const fresh = rows.slice(events.length)
    return {
      types: fresh.map(({ type }) => type),
      last: rows.length,
      woken: await Promise.all(woken.map(async ({ isInside, found }) => ({ isInside, last: await found }))),
      ended: JSON.parse(fresh[0]?.body ?? '{}') as object,
      task: (await loadTask(tx, 'task_1'))!,
    }
  })
}

test('an attempt that passed and asked for a model of a second family did not pass: neither a plan, nor work, nor a vote is made of it', async () => {
  const voided = 'this key is for models of anthropic, and gpt-6-sol is of openai'
  for (const [step, mark] of [
    ['plan', 'task.planned'],
    ['implement', 'candidate.taken'],
    ['review', 'vote.cast'],
  ] as const) {
    const whole = await settled(step, {})
    assert.ok(whole.types.includes(mark), `${step}: ${whole.types.join(', ')}`)
    const { types, ended, task } = await settled(step, { voided })
    assert.deepEqual([types.includes(mark), types[0]], [false, 'attempt.ended'], step)
    const { outcome, reason, costNanoUsd } = ended as { outcome: string; reason: string; costNanoUsd: number }
    assert.deepEqual([outcome, reason, costNanoUsd], ['refused', voided, seen.costNanoUsd])
    assert.deepEqual([task.step, task.running, task.costNanoUsd], [step, [], seen.costNanoUsd])
    assert.equal(task.candidate?.attempt, step === 'review' ? 'att_0' : undefined)
    assert.deepEqual(task.round?.votes ?? [], [])
  }
})

test('what a provider did by itself is written down with the attempt', async () => {
  const { types } = await settled('implement', { tools: { uses: { web_search: 2 }, nanoUsd: 20_000_000 } })
  assert.equal(types[0], 'tools.used')
})

test('what follows on the end of an attempt is looked for within its transaction, and not where another holder speaks for the task', async () => {
  const { woken, last } = await settled('implement', {})
  assert.deepEqual(woken, [{ isInside: true, last }])
  assert.deepEqual((await settled('implement', {}, false)).woken, [])
})

test('a known secret is in no reason and no feedback, whoever wrote them: git, the machine or the wire', async () => {
  const refused = without('failed', `git said ${secret}`, { feedback: `Your work was refused: ${secret}` })
  const { ended, task } = await settled('implement', {}, true, refused)
  assert.equal((ended as { reason: string }).reason, `git said ${mark}`)
  assert.equal(task.feedback?.text, `Your work was refused: ${mark}`)
  const voided = await settled('implement', { voided: `no model is called ${secret}` })
  assert.equal((voided.ended as { reason: string }).reason, `no model is called ${mark}`)
})
