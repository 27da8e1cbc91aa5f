/** pause and resume as a person types them: what is said, what every screen shows, and what is refused. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { bundle, person, type Person } from '../cli-rig.ts'
import { tell } from '../cli-story.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

async function shop(): Promise<Person> {
  const ada = await person(built.program)
  await ada.type(['init'])
  return ada
}

const refused = async (ada: Person, ...args: string[]) => (await ada.json(args))['refused']
/** Who paused is the account's name. */
const still = (text: string) => text.replaceAll(/paused by [^:,\n]+/g, 'paused by me').replaceAll(/for \d+s/g, 'for 0s')

test('everything: paused, shown by status, list, show, add and log with who and why, resumed as it was paused', async () => {
  await using ada = await shop()
  const id = await tell(ada, 'Sell tea', [])
  const paused = await ada.type(['pause', '--why', 'the release'])
  assert.equal(
    still(paused.stdout),
    'Everything is paused by me: the release.\nNothing new of it starts until: tri-agent resume\n',
  )
  const why = 'everything is paused by me: the release'
  assert.match(
    still((await ada.type(['status'])).stdout),
    new RegExp(`^Paused {4}${why}, for 0s: tri-agent resume$`, 'm'),
  )
  assert.match(
    still((await ada.type(['show', id])).stdout),
    new RegExp(`^ready: implement is next and does not start: ${why}$`, 'm'),
  )
  const { tasks } = (await ada.json(['list'])) as { tasks: { waits: string }[] }
  assert.equal(still(tasks[0]!.waits), why)
  assert.match(
    still((await ada.type(['add', 'Sell coffee'])).stdout),
    new RegExp(`^Nothing of it starts: ${why}\\.`, 'm'),
  )
  assert.match((await ada.type(['log'])).stdout, /daemon\/main {2}paused everything: the release \[/)
  assert.deepEqual(
    await ada.type(['watch', '--until-idle']),
    { code: 0, stdout: '', stderr: '' },
    'nothing moves without a person',
  )

  assert.equal(await refused(ada, 'pause'), 'already-paused')
  const resumed = await ada.json(['resume'])
  assert.deepEqual([(resumed['resumed'] as { what: string }).what, resumed['paused']], ['all', []])
  const { paused: left } = (await ada.json(['status'])) as { paused: unknown[] }
  assert.deepEqual(left, [])
  assert.equal(await refused(ada, 'resume'), 'not-paused')
})

test('a lane, a repository and a family are paused by name and resumed by the same name', async () => {
  await using ada = await shop()
  await ada.write('../.config/tri-agent/config.yaml', 'families:\n  openai: { models: gpt-6-sol }\n')
  const id = await tell(ada, 'Sell tea', [])
  for (const args of [
    ['--lane', 'background'],
    ['--repo', 'shop'],
    ['--family', 'openai'],
  ])
    assert.equal((await ada.type(['pause', ...args])).code, 0, args.join(' '))
  const { paused } = (await ada.json(['status'])) as { paused: { what: string; name: string; undo: string }[] }
  assert.deepEqual(
    paused.map(({ what, name, undo }) => [what, name, undo]),
    [
      ['lane', 'background', 'tri-agent resume --lane background'],
      ['repo', 'shop', 'tri-agent resume --repo shop'],
      ['family', 'openai', 'tri-agent resume --family openai'],
    ],
  )
  assert.equal(still((await ada.json(['show', id]))['waits'] as string), 'its repository is paused by me')
  assert.equal(
    (await ada.type(['resume'])).stderr.split('\n')[1],
    '  → tri-agent resume --lane background, or tri-agent resume --repo shop, or tri-agent resume --family openai',
  )
  assert.match(
    (await ada.type(['resume', '--lane', 'background'])).stdout,
    /^Still paused: repository shop is paused by .* → tri-agent resume --repo shop$/m,
  )
  for (const { undo } of paused.slice(1)) assert.equal((await ada.type(undo.split(' ').slice(1))).code, 0, undo)
  assert.equal((await ada.json(['show', id]))['waits'], null)
  for (const words of [
    ['--lane', 'critical'],
    ['--repo', 'shop'],
    ['--lane', 'critical', '--now'],
  ]) {
    await ada.type(['pause', ...words])
    const { code, stderr } = await ada.type(['pause', ...words])
    const scope = words.slice(0, 2).join(' ')
    const undo = `tri-agent resume ${scope}`
    assert.deepEqual(
      [code, stderr.split('\n')[1]],
      [1, `  → ${words.length > 2 ? undo : `${undo}, or tri-agent pause ${scope} --now`}`],
    )
    assert.equal((await ada.type(undo.split(' ').slice(1))).code, 0)
  }
})

test('one task is held by pause and let go by resume; what is not known is refused with the nearest, and changes nothing', async () => {
  await using ada = await shop()
  await ada.write('../.config/tri-agent/config.yaml', 'families:\n  openai: { models: gpt-6-sol }\n')
  const id = await tell(ada, 'Sell tea', [])
  await ada.type(['pause', id, '--why', 'no leaves'])
  assert.equal(((await ada.json(['show', id])) as { task: { held: string } }).task.held, 'no leaves')
  await ada.type(['resume', id])
  assert.equal(((await ada.json(['show', id])) as { task: { held: string | null } }).task.held, null)
  assert.deepEqual(
    await Promise.all(
      [
        ['--lane', 'urgent'],
        ['--repo', 'shep'],
        ['--family', 'openay'],
        ['task_nobody'],
        ['--lane', 'normal', '--family', 'openai'],
        [id, '--repo', 'shop'],
      ].map((args) => refused(ada, 'pause', ...args)),
    ),
    ['unknown-lane', 'no-such-repository', 'unknown-family', 'no-such-task', 'one-at-a-time', 'one-at-a-time'],
  )
  assert.match((await ada.type(['pause', '--family', 'openay'])).stderr, /did you mean "openai"/)
  assert.deepEqual(((await ada.json(['status'])) as { paused: unknown[] }).paused, [])
})

test('a task that waits for its time is delayed: counted, listed and shown as such, with the time and why', async () => {
  await using ada = await shop()
  const until = Date.UTC(2031, 4, 6, 7, 8, 9)
  const id = await tell(ada, 'Sell tea', [{ type: 'task.delayed', until, why: 'implement unreachable: no route' }])
  assert.match((await ada.type(['status'])).stdout, /^Tasks {5}1 delayed$/m)
  const { tasks } = (await ada.json(['list', '--state', 'delayed'])) as { tasks: { id: string; state: string }[] }
  assert.deepEqual(
    tasks.map((each) => [each.id, each.state]),
    [[id, 'delayed']],
  )
  const shown = 'delayed: implement again, not before 2031-05-06 07:08 UTC: implement unreachable: no route'
  assert.ok((await ada.type(['show', id])).stdout.split('\n').includes(shown), (await ada.type(['show', id])).stdout)
  await ada.type(['pause', '--lane', 'normal'])
  assert.match(
    (await ada.type(['show', id])).stdout,
    /^delayed: implement is next and does not start: lane normal is paused/m,
  )
})
