/** What an implementer left is taken in, or refused with what the next attempt must know. Real git, the rung group. */
import assert from 'node:assert/strict'
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { defaultRepositorySettings, defaultSettings } from '../core/setting.ts'
import { makeScratch, refreshed, searchPath, type Scratch } from '../git/fixture.ts'
import { realWorld } from '../host/world.ts'
import { makeArea } from '../sandbox/area.ts'
import { createSandbox } from '../sandbox/create.ts'
import { agentArea } from './ask.ts'
import { takeInLate } from './implement.ts'
import type { StagePorts, Work } from './stage.ts'

const secret = 'hunter2-0123456789'

/** What comes of a tree that an agent leaves as `leave` makes it. */
async function takenIn(leave: (tree: string, type: Scratch['type']) => Promise<unknown>) {
  await using scratch = await makeScratch()
  const world = realWorld()
  const folder = scratch.place('sandbox')
  const sandbox = await createSandbox(world, { lowest: 'group', rung: 'group', path: searchPath, folder })
  assert.ok(!isRefusal(sandbox), JSON.stringify(sandbox))
  await scratch.commit(scratch.stores.source, { 'README.md': 'before\n', '.npmrc': `token=${secret}\n` })
  const { base } = await refreshed(scratch)
  const work = {
    task: { id: 'task_1', candidate: null },
    attempt: { attempt: 'att_1', token: 1, family: 'openai', model: 'gpt-6-sol' },
    repo: { id: 'r', name: 'shop', stores: scratch.stores, base, tip: base, target: 't', targetTip: null },
    repository: defaultRepositorySettings(),
    toolchain: [],
    folder: scratch.place('attempt'),
    signal: new AbortController().signal,
    hurry: new AbortController().signal,
    secrets: [secret],
    isDrained: () => false,
    onOutput: () => {},
    active: () => {},
    started: async () => {},
    ended: async () => {},
  } as unknown as Work
  const area = await makeArea(join(work.folder, agentArea))
  await scratch.git.clone(scratch.stores, base, area.work, null)
  await leave(area.work, scratch.type)
  const ports = { world, git: scratch.git, sandbox, settings: defaultSettings(2) } as unknown as StagePorts
  const result = await takeInLate(ports, work, { base, message: 'Done', promptSha256: null })
  return { ...result, kept: await scratch.git.listCandidates(scratch.stores) }
}

test('a repository in the repository, without a commit: the next attempt is told what git said', async () => {
  const { outcome, feedback } = await takenIn(async (tree, type) => {
    await writeFile(join(tree, 'README.md'), 'after\n')
    await type(tree, ['init', '--quiet', 'nested'])
  })
  assert.equal(outcome, 'failed')
  assert.match(feedback ?? '', /^Your work was refused: .*nested.*does not have a commit checked out/s)
})

const leaks: Record<string, (tree: string) => Promise<unknown>> = {
  'in a name': (tree) => writeFile(join(tree, `${secret}.md`), 'x\n'),
  "in a folder's name": async (tree) => {
    await mkdir(join(tree, secret))
    await writeFile(join(tree, secret, 'a.md'), 'x\n')
  },
  'in a new content': (tree) => writeFile(join(tree, 'new.md'), `a\n${secret}\n`),
  'in a content that had none': (tree) => writeFile(join(tree, 'README.md'), `a\n${secret}\n`),
  'in base64': (tree) => writeFile(join(tree, 'new.md'), Buffer.from(`key ${secret}`).toString('base64')),
  'as what a link leads to': (tree) => symlink(secret, join(tree, 'link')),
}
for (const [where, leave] of Object.entries(leaks))
  test(`a known secret ${where}: refused with where it stands, not shown, and nothing of it is kept`, async () => {
    const { outcome, reason, feedback, kept } = await takenIn(leave)
    assert.equal(outcome, 'failed')
    assert.match(feedback ?? '', /^Your work was refused: .*: a key of tri-agent stands in /)
    assert.ok(!`${reason} ${feedback}`.includes(secret), feedback ?? '')
    assert.deepEqual(kept, [])
  })

test("what held a known secret before any task is the repository's own", async () => {
  const { outcome, product } = await takenIn((tree) => writeFile(join(tree, '.npmrc'), `token=${secret}\nmore=1\n`))
  assert.equal(outcome, 'passed')
  assert.deepEqual(product?.step === 'implement' && product.candidate.files, ['.npmrc'])
})

test('it may be moved as it is', async () => {
  const { product } = await takenIn((tree) => rename(join(tree, '.npmrc'), join(tree, 'npmrc')))
  assert.deepEqual(product?.step === 'implement' && product.candidate.files, ['.npmrc', 'npmrc'])
})

test('what is left whole is taken in', async () => {
  const { outcome, product } = await takenIn((tree) => writeFile(join(tree, 'new.md'), 'x\n'))
  assert.equal(outcome, 'passed')
  assert.deepEqual(product?.step === 'implement' && product.candidate.files, ['new.md'])
})
