/** Monorepos: gates by path, and tasks that are about a part of the repository. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endsWell } from './ending.ts'
import { approving, implementing, rig } from './rig.ts'

const gates = [
  { name: 'web', command: 'test ! -e packages/web/bad', paths: ['packages/web/**'] },
  { name: 'api', command: 'exit 1', paths: ['packages/api'] },
]
const writes = (title: string, path: string) =>
  implementing(title, { write: { path, content: 'made\n' } }, { say: 'Done.' })

test('work in its own path lands by the gates it concerns; work outside, or that no gate concerns, waits for a person who is told why', async () => {
  const colour = writes('Sell red tea', 'packages/web/tea.txt')
  await using shop = await rig({
    yaml: { path: 'packages/api', gates },
    rules: [
      { ...colour, when: [...colour.when, 'Path: packages/web; a change outside of it needs a person'] },
      writes('Stray', 'docs/tea.txt'),
      approving,
    ],
  })
  await shop.up()
  const inside = await shop.add('Sell red tea', { path: 'packages/web' })
  await shop.state(inside, 'done')
  const message = await shop.git('log', '-1', '--format=%B', 'tri-agent/landing')
  assert.match(message, /^Gate: web green\nGate: api not-concerned$/m)
  assert.match(await shop.show(inside), /^ {2}web: green, .*\n {2}api: not concerned, not executed$/m)
  const stray = await shop.add('Stray')
  const waiting = await shop.state(stray, 'awaiting-approval')
  assert.equal(
    waiting.why?.replace(/^[^;]*; /, ''),
    'a person must approve: changed outside of packages/api (docs/tea.txt); no gate is concerned by this change',
  )
  await endsWell(shop)
})
