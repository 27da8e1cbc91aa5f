/** What failed for good lies there until a person decides: listed, tried again or given up, one by one or all of it. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { bundle, person, type Person } from '../cli-rig.ts'
import { escalation, tell } from '../cli-story.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

async function shop(): Promise<Person> {
  const ada = await person(built.program)
  await ada.type(['init'])
  return ada
}

type Answer = { tasks: { id: string; state: string }[]; left: { id: string; refused: string }[] }
const listed = async (ada: Person): Promise<string[]> =>
  ((await ada.json(['list', '--state', 'escalated'])) as unknown as Answer).tasks.map(({ id }) => id).toSorted()

test('all that is escalated is listed and tried again, oldest first; what cannot be is said and stops nothing', async () => {
  await using ada = await shop()
  const tea = await tell(ada, 'Sell tea', escalation)
  const coffee = await tell(ada, 'Sell coffee', escalation)
  const cups = /task_\w+/.exec((await ada.type(['add', 'Sell cups', '--after', coffee])).stdout)![0]
  await ada.type(['cancel', coffee])
  assert.deepEqual(await listed(ada), [cups, tea].toSorted())
  assert.equal((await ada.json(['retry', '--all', '--repo', 'nowhere']))['refused'], 'no-such-repository')
  const { tasks, left } = (await ada.json(['retry', '--all', '--repo', 'shop'])) as unknown as Answer
  assert.deepEqual(
    [tasks.map(({ id, state }) => [id, state]), left.map(({ id, refused }) => [id, refused])],
    [[[tea, 'ready']], [[cups, 'waits-for-cancelled']]],
  )
  const again = await ada.type(['retry', '--all'])
  assert.equal(again.code, 1, 'nothing could be done')
  assert.match(again.stdout, /^Open again: none\.\nLeft as it is: .* waits for .*, which was cancelled\n$/)
  assert.deepEqual(await listed(ada), [cups])
})

test('several are decided at once, each by itself; giving all of them up wants a yes', async () => {
  await using ada = await shop()
  const ids = [
    await tell(ada, 'Sell tea', escalation),
    await tell(ada, 'Sell coffee', escalation),
    await tell(ada, 'Sell cups', escalation),
  ]
  const { tasks, left } = (await ada.json(['retry', ids[0]!, 'task_nobody', ids[1]!])) as unknown as Answer
  assert.deepEqual([tasks.map(({ id }) => id), left.map(({ refused }) => refused)], [ids.slice(0, 2), ['no-such-task']])
  await tell(ada, 'Sell pots', escalation)
  const sure = await ada.type(['cancel', '--escalated'])
  assert.deepEqual([sure.code, (await listed(ada)).length], [1, 2])
  assert.match(sure.stderr, /this gives up 2 tasks for good: task_\w+, task_\w+/)
  assert.equal((await ada.type(['cancel', '--escalated', '--yes', '--why', 'the shop closes'])).code, 0)
  assert.deepEqual(await listed(ada), [])
  assert.match((await ada.type(['show', ids[2]!])).stdout, /^cancelled: the shop closes$/m)
  assert.equal((await ada.type(['cancel', '--escalated'])).stdout, 'No task is escalated.\n')
  for (const args of [['retry'], ['retry', ids[2]!, '--all'], ['cancel'], ['cancel', ids[2]!, '--repo', 'shop']])
    assert.equal((await ada.json(args))['refused'], 'what-task', args.join(' '))
})
