/** Coming from the ancestor: its queue and its health files, found below a folder, each said what became of it, none taken twice. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { readHealth } from '../../src/store/health.ts'
import { bundle, person, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const old: Record<string, string> = {
  'state/preflight.json':
    '{"checks":[{"name":"cli","status":"PASS"},{"name":"auth","status":"FAIL","message":"no key"}]}',
  'state/health.json': '{"status":"DEGRADED","disk":{"status":"OK","used":41},"queue":120}',
  'tasks/queue/LOW_M1-002_1704931300.md': '# Sell coffee\n\n- **Type:** docs\n- **Dependencies:** M1-001\n',
  'tasks/queue/CRITICAL_M1-001_1704931200.md': `# Sell tea

**Priority:** CRITICAL
**Type:** bug

## Objective
Tea is not sold.

## Acceptance Criteria
- [ ] tea is sold
- [x] and paid

## Verification
- npm test
`,
  'tasks/queue/HIGH_M1-003_1704931400.md': '# Look at it\n\nType: review\n',
  'tasks/queue/HIGH_M1-004_1704931500.md': '# Afterwards\n\nDependencies: M1-003, M9-999\n',
  'tasks/queue/HIGH_M1-005_1704931500.md': '# Dance\n\nType: dance\n',
  'tasks/completed/HIGH_M0-001_1704931000.md': '# Long done\n',
  'tasks/queue/NOTES_to_self.md': 'remember the milk',
  'tasks/queue/readme.md': 'not even looked at',
}

async function ancestor(ada: Person): Promise<string> {
  const folder = join(ada.home, 'autonomous')
  for (const [name, text] of Object.entries(old)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  await ada.type(['init'])
  return folder
}

const byFirst = ([a]: readonly string[], [b]: readonly string[]) => (a! < b! ? -1 : 1)

type Row = { path: string; how: string; what: string }
type Task = { id: string; title: string; lane: string; kind: string; after: string[]; tags: string[] }

test('import takes what it can read, says why it leaves the rest, and takes nothing twice', async () => {
  await using ada = await person(built.program)
  const folder = await ancestor(ada)
  const told = async (...more: string[]) =>
    ((await ada.json(['import', folder, ...more]))['imported'] as Row[]).map(({ path, how, what }) => [
      path
        .slice(folder.length + 1)
        .split('/')
        .at(-1)!
        .replace(/_\d+\.md$/, ''),
      how,
      ada.still(what),
    ])
  const tasks = async () => (await ada.json(['list']))['tasks'] as Task[]
  const left = [
    ['HIGH_M1-003', 'left', 'a review needs what to review: tri-agent add --kind review --ref BRANCH'],
    ['HIGH_M1-005', 'left', 'its type "dance" is not known here'],
    ['NOTES_to_self.md', 'left', 'its name does not begin with a priority: CRITICAL_, HIGH_, …'],
  ]
  const over = ['HIGH_M0-001', 'left', 'it was over there']
  const vain = ['HIGH_M1-004', 'left', 'it needs M1-003, M9-999, which was not taken']
  assert.deepEqual(
    (await told('--dry-run')).toSorted(byFirst),
    [
      ...left,
      ['CRITICAL_M1-001', 'would', 'fix, lane critical: Sell tea'],
      ['LOW_M1-002', 'would', 'docs, lane background: Sell coffee'],
      ['health.json', 'would', '3 checks, until doctor looks again'],
      ['preflight.json', 'would', '2 checks, until doctor looks again'],
      over,
      vain,
    ].toSorted(byFirst),
  )
  assert.deepEqual([await tasks(), await ada.withDatabase((database) => database.read(readHealth))], [[], []])

  const taken = (how: string) => [
    ...left,
    ['CRITICAL_M1-001', how, 'task_1'],
    ['LOW_M1-002', how, 'task_2'],
    ['health.json', 'taken', '3 checks, until doctor looks again'],
    ['preflight.json', 'taken', '2 checks, until doctor looks again'],
    over,
    vain,
  ]
  assert.deepEqual((await told()).toSorted(byFirst), taken('taken').toSorted(byFirst))
  const first = await tasks()
  assert.deepEqual((await told()).toSorted(byFirst), taken('there').toSorted(byFirst))
  assert.deepEqual(await tasks(), first)
  const [coffee, tea] = first
  assert.deepEqual([tea!.title, tea!.kind, tea!.lane], ['Sell tea', 'fix', 'critical'])
  assert.deepEqual(
    [coffee!.title, coffee!.kind, coffee!.lane, coffee!.after],
    ['Sell coffee', 'docs', 'background', [tea!.id]],
  )
  const { task } = (await ada.json(['show', tea!.id])) as { task: { text: string; acceptance: string[] } }
  assert.deepEqual(task.acceptance, ['tea is sold', 'and paid'])
  assert.equal(task.text, old['tasks/queue/CRITICAL_M1-001_1704931200.md']!.trim(), 'the whole text is kept')
  const rows = await ada.withDatabase((database) => database.read(readHealth))
  assert.deepEqual(
    rows.map(({ name, state, found }) => [name, state, found]),
    [
      ['imported health: disk', 'ok', '{"status":"OK","used":41}'],
      ['imported health: queue', 'ok', '120'],
      ['imported health: status', 'warning', 'DEGRADED'],
      ['imported preflight: auth', 'missing', '{"name":"auth","status":"FAIL","message":"no key"}'],
      ['imported preflight: cli', 'ok', '{"name":"cli","status":"PASS"}'],
    ],
  )
})

test('import refuses what is not there, leaves what is no health, and says it in words', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  assert.match((await ada.type(['import', 'nowhere'])).stderr, /there is nothing at .*nowhere/)
  assert.match(
    (await ada.type(['import', '.'])).stderr,
    /there is no preflight\.json, health\.json or PRIORITY_….md in \./,
  )
  await ada.write('old/health.json', '[1, 2')
  await ada.write('old/LOW_X_1704931300.md', '# Sell tea\n')
  const { code, stdout } = await ada.type(['import', 'old'])
  assert.deepEqual(
    [code, ada.still(stdout)],
    [
      0,
      '       file                 \nleft   health.json          it is not a JSON object\ntaken  LOW_X_1704931300.md  task_1\nTook 1 file, 0 there already, 1 left out.\n'.replace(
        'file                 ',
        'file',
      ),
    ],
  )
})

test('what needs a task that was done there is taken and needs it no more; what needs one that failed there, or is no text, is left', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const folder = join(ada.home, 'autonomous')
  const files: Record<string, string | Uint8Array> = {
    'completed/HIGH_M0-001_1704931000.md': '# Long done\n',
    'approved/HIGH_M0-002_1704931000.md': '# Done too\n',
    'failed/HIGH_M0-003_1704931000.md': '# It failed\n',
    'completed/HIGH_M1-001_1704931000.md': '# Done once, and in the queue again\n',
    'queue/HIGH_M1-001_1704932000.md': '# Once more\n\nDependencies: M0-001\n',
    'queue/HIGH_M1-002_1704932000.md': '# Afterwards\n\nDependencies: M1-001, M0-002\n',
    'queue/HIGH_M1-003_1704932000.md': '# In vain\n\nDependencies: M0-003\n',
    'queue/HIGH_M1-004_1704932000.md': new Uint8Array([0x23, 0x20, 0xff, 0xfe]),
  }
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  const imported = (await ada.json(['import', folder]))['imported'] as Row[]
  assert.deepEqual(
    imported
      .filter(({ what }) => what !== 'it was over there')
      .map(({ path, how, what }) => [path.slice(folder.length + 1, -14), how, ada.still(what)])
      .toSorted(byFirst),
    [
      ['queue/HIGH_M1-001', 'taken', 'task_1'],
      ['queue/HIGH_M1-002', 'taken', 'task_2'],
      ['queue/HIGH_M1-003', 'left', 'it needs M0-003, which was not taken'],
      ['queue/HIGH_M1-004', 'left', 'it is not UTF-8 text'],
    ],
  )
  const tasks = (await ada.json(['list']))['tasks'] as Task[]
  const [then, again] = ['Afterwards', 'Once more'].map((title) => tasks.find((each) => each.title === title)!)
  assert.deepEqual([again!.after, then!.after], [[], [again!.id]])
})
