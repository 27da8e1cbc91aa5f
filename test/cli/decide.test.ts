/** What a person is shown when something waits for them, and what their decision does. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { bundle, person, type Person } from '../cli-rig.ts'
import { commit, escalation, tell, untilApproval } from '../cli-story.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

async function shop(): Promise<Person> {
  const ada = await person(built.program)
  await ada.type(['init'])
  return ada
}

test('show says all that a person needs to decide, and ends in what to type', async () => {
  await using ada = await shop()
  const id = await tell(ada, 'Retry uploads', untilApproval)
  const { code, stdout, stderr } = await ada.type(['show', id])
  assert.deepEqual([code, stderr], [0, ''])
  assert.equal(
    ada.still(stdout).replaceAll(/added \d+s ago/g, 'added just now'),
    `task_1  Retry uploads
  small feature, lane normal, in shop, added just now

awaiting-approval: your approval: reviewed by anthropic; a person must approve in place of the missing family
  $0.0500 of the usual budget spent

Candidate
  3f9c2ab14d5e by openai (openai-1), +12 −3 in src/upload.ts, test/upload.test.ts
  says: Retry uploads that time out

Gates
  test: green, 1.2 s
  lint: red (exit 2), 0.5 s, red before, too
    $ npm run lint
    src/old.ts: unused

Review
  round 1 of 3f9c2ab14d5e: approved; reviewed by anthropic; a person must approve in place of the missing family
  anthropic (anthropic-1): The retry is bounded.
  DISMISSED high src/upload.ts:7 (anthropic): It \ufffd[31mnever\ufffd[0m ends
    $ npm test
    dismissed by gate: npm test: exit 0

Attempts
  n  step       family     model        outcome  time   cost     reason
  1  implement  openai     openai-1     passed   0.0 s  $0.0410  2 files, +12 −3
  2  verify     –          –            passed   0.0 s  $0.00    red as before: lint
  3  review     anthropic  anthropic-1  passed   0.0 s  $0.0090  1 finding

Type next
  tri-agent approve task_1
  tri-agent reject task_1 --why "…"
`,
  )
})

test('approve names the reviewed commit and refuses any other; reject needs a reason; each is said once', async () => {
  await using ada = await shop()
  const id = await tell(ada, 'Retry uploads', untilApproval)
  const refused = async (...args: string[]) => (await ada.json(args))['refused']
  assert.equal(await refused('approve', id, '--commit', 'deadbeef'), 'other-commit')
  assert.equal(await refused('reject', id), 'no-reason')
  const { task } = (await ada.json(['approve', id, '--commit', commit.slice(0, 9)])) as {
    task: { state: string; step: string }
  }
  assert.deepEqual([task.state, task.step], ['ready', 'land'])
  assert.equal(await refused('approve', id), 'wrong-state')
  assert.equal(await refused('reject', id, '--why', 'late'), 'wrong-state')

  const other = await tell(
    ada,
    'Again',
    untilApproval.map((event) =>
      'attempt' in event ? { ...event, attempt: event.attempt.replace('att_0', 'att_1') } : event,
    ),
  )
  const rejected = (await ada.json(['reject', other, '--why', 'touches the parser'])) as {
    task: { step: string; returns: number }
  }
  assert.deepEqual([rejected.task.step, rejected.task.returns], ['implement', 1])
})

test('status is one screen: what waits for a person, what was spent, and that the daemon is down', async () => {
  await using ada = await shop()
  await tell(ada, 'Retry uploads', untilApproval)
  const stuck = await tell(ada, 'Sell tea', escalation)
  await ada.type(['hold', await tell(ada, 'Sell coffee', []), '--why', 'no beans'])
  assert.equal(
    ada.still((await ada.type(['status'])).stdout),
    `Daemon    down: tri-agent up --detach
Tasks     1 ready, 1 awaiting-approval, 1 escalated
Today     $0.00 spent
Where     shop (main)

Waiting for your approval: tri-agent show TASK, then approve or reject
  task_1  Retry uploads: your approval: reviewed by anthropic; a person must approve in place of the missing family

Waiting for your decision: tri-agent show TASK, then retry or cancel
  task_2  Sell tea: stopped at implement: sent back 3 times

Held: tri-agent release TASK
  task_3  Sell coffee: held: no beans
`,
  )
  assert.match((await ada.type(['show', stuck])).stdout, /^Evidence\n {2}gate test is red:\n {2}expected 1, got 2$/m)
  const { task } = (await ada.json(['retry', stuck])) as { task: { state: string } }
  assert.equal(task.state, 'ready')
})

test('cancel says who waited for the task; show then offers only what can help', async () => {
  await using ada = await shop()
  const tea = await tell(ada, 'Sell tea', [])
  const { stdout } = await ada.type(['add', 'Sell cups', '--after', tea])
  const cups = /task_\w+/.exec(stdout)![0]
  assert.equal(
    ada.still((await ada.type(['cancel', tea, '--why', 'no leaves'])).stdout),
    `${ada.still(tea)}: cancelled. ${ada.still(cups)} waited for it and now asks for your decision. The daemon is down; it will see this when it is up: tri-agent up --detach\n`,
  )
  const { next } = (await ada.json(['show', cups])) as { next: string[] }
  assert.deepEqual(next, [`tri-agent cancel ${cups}`])
  assert.equal((await ada.json(['retry', cups]))['refused'], 'waits-for-cancelled')
})

test('watch --until-idle ends when only people can move anything, and refuses to wait for a daemon that is down', async () => {
  await using ada = await shop()
  await tell(ada, 'Retry uploads', untilApproval)
  const stuck = await tell(ada, 'Sell tea', escalation)
  await ada.type(['add', 'Then coffee', '--after', stuck])
  assert.deepEqual(await ada.type(['watch', '--until-idle']), { code: 0, stdout: '', stderr: '' })
  await ada.type(['add', 'Something that could start'])
  const { code, stderr } = await ada.type(['watch', '--until-idle'])
  assert.deepEqual(
    [code, stderr],
    [1, 'tri-agent: the daemon is down, so nothing will move\n  → tri-agent up --detach\n'],
  )
})

test("output shows an attempt's words, raw where asked, the last agent's by default, and never a control character", async () => {
  await using ada = await shop()
  const id = await tell(ada, 'Retry uploads', untilApproval)
  await mkdir(ada.paths.transcripts, { recursive: true })
  const said = JSON.stringify({ type: 'text', text: 'I will \u001b]0;owned\u0007 write it.\nNow.' })
  await writeFile(join(ada.paths.transcripts, 'att_00000001.jsonl'), `1 ${said}\n2 a warning\n`)
  await writeFile(join(ada.paths.transcripts, 'att_00000002.jsonl'), '# gate test: green\n1 \u001b[2Jok\n')
  await writeFile(join(ada.paths.transcripts, 'att_00000003.jsonl'), '1 {"type":"text","text":"I read it."}\n')
  assert.equal((await ada.type(['output', id])).stdout, 'I read it.\n')
  assert.equal(
    (await ada.type(['output', id, '--attempt', '1'])).stdout,
    'I will \ufffd]0;owned\ufffd write it.\nNow.\n! a warning\n',
  )
  assert.equal((await ada.type(['output', id, '--attempt', '1', '--raw'])).stdout, `${said}\na warning\n`)
  assert.equal((await ada.type(['output', id, '--attempt', '2'])).stdout, '# gate test: green\n\ufffd[2Jok\n')
  assert.deepEqual(
    (await ada.type(['output', id, '--attempt', '2', '--json'])).stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
    [
      { stream: 'note', text: 'gate test: green' },
      { stream: 'stdout', text: '\u001b[2Jok' },
    ],
  )
  assert.equal((await ada.json(['output', id, '--attempt', '9']))['refused'], 'no-such-attempt')
})
