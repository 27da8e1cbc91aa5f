/** The log as a person uses it: since when, at what time, how it came to be, and whether it is still what was written. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { added, admittedGate } from '../../src/core/fixture.ts'
import type { Event } from '../../src/core/event.ts'
import { openTranscript } from '../../src/host/transcript.ts'
import { append } from '../../src/store/append.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const noon = Date.UTC(2026, 10, 24, 12)
const minute = 60_000

/** One task that was held, went on, was implemented and given up, a minute between each. */
async function told(ada: Person): Promise<void> {
  await ada.type(['init'])
  const attempt = 'att_00000001'
  const events: Event[] = [
    added('task_00000001', { title: 'Sell tea' }),
    { type: 'task.held', why: 'wait for the release' },
    { type: 'task.released' },
    {
      type: 'attempt.admitted',
      attempt,
      token: 1,
      step: 'implement',
      role: 'implementer',
      family: 'openai',
      agent: 'scripted',
      model: 'gpt-6-sol',
      finding: null,
      because: null,
    },
    { type: 'attempt.started', attempt, rung: 'group', pid: 1 },
    {
      type: 'attempt.ended',
      attempt,
      outcome: 'no-change',
      reason: 'nothing was committed',
      signature: null,
      tokens: { input: 1, cachedInput: 0, cacheWrite: 0, output: 1 },
      costNanoUsd: 41_000_000,
      transcript: null,
      promptSha256: null,
      killed: null,
    },
    { type: 'task.cancelled', why: 'no longer wanted' },
  ]
  await ada.withDatabase(async (database) => {
    for (const [index, event] of events.entries())
      await database.write((tx) =>
        append(tx, { at: noon + index * minute, actor: 'person:ada', stream: 'task/task_00000001', events: [event] }),
      )
  })
}

test('log --since says what happened from then on, and show --at how a task was then', async () => {
  await using ada = await person(built.program)
  await told(ada)
  const types = async (...args: string[]) =>
    (await ada.type(['log', '--task', '0', '--json', ...args])).stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { event: Event }).event.type)
  assert.deepEqual(await types('--since', '2026-11-24 12:05'), ['attempt.ended', 'task.cancelled'])
  assert.deepEqual(await types('--since', '2026-11-24 12:05', '--limit', '1'), ['task.cancelled'])
  assert.equal((await types('--since', '2026-11-24')).length, 7)
  const shown = async (at: string) => {
    const {
      task,
      attempts,
      next,
      at: when,
    } = (await ada.json(['show', '0', '--at', at])) as {
      at: number
      task: { state: string; held: string | null; costNanoUsd: number }
      attempts: { state: string; outcome: string | null; costNanoUsd: number; startedAt: number | null }[]
      next: string[]
    }
    return [
      when,
      task.state,
      task.held,
      task.costNanoUsd,
      attempts.map((each) => [each.state, each.outcome, each.costNanoUsd, each.startedAt]),
      next,
    ]
  }
  const at = (minutes: number) => noon + minutes * minute
  assert.deepEqual(await shown('2026-11-24 12:00:30'), [at(0.5), 'ready', null, 0, [], []])
  assert.deepEqual(await shown('2026-11-24 12:01'), [at(1), 'ready', 'wait for the release', 0, [], []])
  assert.deepEqual(await shown('2026-11-24 12:03'), [at(3), 'running', null, 0, [['admitted', null, 0, null]], []])
  assert.deepEqual(await shown('2026-11-24 12:04'), [at(4), 'running', null, 0, [['started', null, 0, at(4)]], []])
  const ended = [['ended', 'no-change', 41_000_000, at(4)]]
  assert.deepEqual(await shown('2026-11-24 12:05'), [at(5), 'ready', null, 41_000_000, ended, []])
  assert.match(
    (await ada.type(['show', '0', '--at', '2026-11-24 12:04'])).stdout,
    /as it was 2026-11-24 12:04:00, added 4m before/,
  )
  const early = await ada.type(['show', '0', '--at', '2026-11-24 11:59'])
  assert.deepEqual(
    [early.code, early.stderr],
    [1, 'tri-agent: task_00000001 was not there yet at 2026-11-24 11:59:00\n  → it was added 2026-11-24 12:00:00\n'],
  )
  const typo = await ada.type(['log', '--type', 'task.cancled', '--type', 'task.added'])
  assert.deepEqual([typo.code, typo.stdout.split('\n').length], [0, 2])
  assert.match(
    typo.stderr,
    /^No event of type "task\.cancled" is in the log: did you mean "task\.cancelled"\? one of: attempt\.admitted, /,
  )
  for (const wrong of [
    ['show', '0', '--at', 'then'],
    ['log', '--since', 'then'],
  ])
    assert.match((await ada.type(wrong)).stderr, /"then" is not a time\n {2}→ --(at|since) 2h, or/)
})

test('replay tells how a task came to be, event by event, and says when the table has something else', async () => {
  await using ada = await person(built.program)
  await told(ada)
  const { code, stdout } = await ada.type(['replay', '0'])
  assert.equal(code, 0)
  assert.equal(
    stdout.replaceAll('2026-11-24 ', ''),
    `  1  12:00:00  task_00000001  added: Sell tea (small feature, lane normal) [ada]
  2  12:01:00  task_00000001  held: wait for the release [ada]
       held: none → wait for the release
  3  12:02:00  task_00000001  released [ada]
       readyAt: 12:00:00 → 12:02:00
       held: wait for the release → none
  4  12:03:00  task_00000001  attempt 1 may start: implement by openai (gpt-6-sol) [ada]
       state: ready → running
       token: 0 → 1
       running: 0 of them → 1 of them
  5  12:04:00  task_00000001  att_00000001 started on rung group [ada]
  6  12:05:00  task_00000001  att_00000001 no-change: nothing was committed ($0.0410) [ada]
       state: running → ready
       readyAt: 12:02:00 → 12:05:00
       running: 1 of them → 0 of them
       failures: 0 of them → 1 of them
       tokens: {"input":0,"cachedInput":0,"cacheWrite":0,"output":0} → {"input":1,"cachedInput":0,"cacheWrite":0,"output":1}
       costNanoUsd: $0.00 → $0.0410
  7  12:06:00  task_00000001  cancelled: no longer wanted [ada]
       state: ready → cancelled
       phase: open → cancelled
       why: none → no longer wanted
7 events fold into exactly what the table has.
`,
  )
  await ada.withDatabase((database) => database.write((tx) => tx.run("update task set title = 'Sell poison'")))
  const other = await ada.type(['replay', '0', '--json'])
  assert.deepEqual([other.code, (JSON.parse(other.stdout) as { ok: boolean }).ok], [1, false])
})

test('log verify asks the landing commits too: an older copy of the whole state is seen by what git remembers', async () => {
  await using ada = await person(built.program)
  await told(ada)
  const anchor = await ada.withDatabase((database) => database.anchor())
  const land = (title: string, { seq, mac, key }: NonNullable<typeof anchor>) =>
    ada.git(
      'commit',
      '--quiet',
      '--allow-empty',
      '--message',
      `${title}\n\nTested-Tree: t\nLog-Anchor: ${seq} ${mac} ${key}`,
    )
  await ada.git('checkout', '--quiet', '-b', 'tri-agent/landing')
  await land('Sell tea', anchor!)
  assert.deepEqual(await ada.json(['log', 'verify']), {
    ok: true,
    events: 8,
    batches: 8,
    anchors: 2,
    foreign: 0,
    adopted: null,
    unproven: null,
    damage: [],
    unasked: [],
  })
  assert.equal(
    (await ada.type(['log', 'verify'])).stdout,
    '8 events in 8 sealed commits, 2 anchors; all as they were written.\n',
  )
  await land('Sell coffee', { ...anchor!, seq: 12, mac: 'ab'.repeat(32) })
  const { code, stdout } = await ada.type(['log', 'verify'])
  assert.equal(code, 1)
  assert.match(
    stdout,
    /^8 events in 8 sealed commits, 3 anchors; the first bad batch is events 9 to 12\.\n {2}rolled-back {2}events 9 to 12: landing [0-9a-f]{9} in shop knows of event 12, the log ends at 8\n$/,
  )
})

test('a followed log ends when nobody reads it any more, also where nothing happens', async () => {
  await using ada = await person(built.program)
  await told(ada)
  await ada.withDatabase(async (database) => {
    const started: Event[] = [added('task_00000002', { title: 'Sell coffee' }), admittedGate('att_00000002', 'verify')]
    const to = { at: noon, actor: 'daemon', stream: 'task/task_00000002' }
    await database.write((tx) => append(tx, { ...to, events: started }))
  })
  const transcript = await openTranscript(join(ada.paths.transcripts, 'att_00000002.jsonl'), [])
  transcript.write('stdout', 'one line, and then silence')
  await transcript.close()
  for (const line of ['log --follow --limit 1 | head -1', 'output task_00000002 --follow | head -1']) {
    const child = await world.spawn({
      file: '/bin/sh',
      args: ['-c', `"$NODE" "$PROGRAM" ${line}`],
      cwd: ada.repository,
      env: { HOME: ada.home, PATH: ada.path, NODE: process.execPath, PROGRAM: built.program },
    })
    const giveUp = world.timer.after(20_000, () => child.signal('SIGKILL'))
    child.stdout.resume()
    assert.deepEqual(await child.exit, { code: 0, signal: null }, line)
    giveUp()
  }
})
