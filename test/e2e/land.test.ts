/** Landing: gates that are red already, targets that move, are taken or checked out, set-up layers, and a history that shows what was done to it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { registerRepository } from '../../src/command/register.ts'
import { realWorld } from '../../src/host/world.ts'
import { attemptsOf } from '../../src/store/task.ts'
import { endsWell } from './ending.ts'
import { approving, implementing, rig, testGate, writing, type Made } from './rig.ts'

const lint = (baseline: 'allow' | 'block' | 'off') => ({ name: 'lint', command: 'test ! -e old.txt', baseline })
const rounds = { review: { rounds: 1 } }

async function play(made: Made) {
  const shop = await rig(made)
  try {
    await shop.up()
    const id = await shop.add('Sell coffee')
    const task = await shop.state(id, 'done', 'escalated')
    return { shop, id, task }
  } catch (error) {
    await shop[Symbol.asyncDispose]()
    throw error
  }
}

const rules = [writing('Sell coffee'), approving]
const files = { 'old.txt': 'red before anybody came\n' }

test('a gate that is red on the base blocks nothing where that is allowed, and everybody is told', async () => {
  const { shop, id, task } = await play({ rules, files, yaml: { gates: [testGate, lint('allow')] } })
  await using _ = shop
  assert.equal(task.phase, 'done')
  assert.deepEqual(task.gates?.baseline, ['lint'])
  assert.match(await shop.show(id), /^ {2}lint: red \(exit 1\), .* red before, too$/m)
  assert.match(await shop.git('log', '-1', '--format=%B', 'tri-agent/landing'), /^Gate: lint red \(baseline\)$/m)
  await endsWell(shop)
})

test('a gate that was green and is red now blocks, whatever is allowed', async () => {
  const breaking = implementing('Sell coffee', { shell: 'date +%N >> old.txt' }, { say: 'Done.' })
  const { shop, task } = await play({ rules: [breaking, approving], config: rounds, yaml: { gates: [lint('allow')] } })
  await using _ = shop
  assert.deepEqual([task.phase, task.why], ['escalated', 'sent back 1 time already, again by verify'])
  assert.deepEqual(task.gates?.baseline, [])
  await endsWell(shop)
})

test('a gate that is red on the base blocks where nobody allowed it, and one that is off is not executed', async () => {
  const blocked = await play({
    rules: [implementing('Sell coffee', { shell: 'date +%N >> coffee.txt' }, { say: 'Done.' }), approving],
    files,
    config: rounds,
    yaml: { gates: [testGate, lint('block')] },
  })
  {
    await using shop = blocked.shop
    assert.equal(blocked.task.phase, 'escalated')
    assert.match(await shop.show(blocked.id), /Gate "lint" is red/)
    await endsWell(shop)
  }
  const { shop, task } = await play({ rules, files, yaml: { gates: [testGate, lint('off')] } })
  await using _ = shop
  assert.equal(task.phase, 'done')
  assert.deepEqual(
    task.gates?.results.map(({ name }) => name),
    ['test'],
  )
  await endsWell(shop)
})

test('two tasks that change the same lines: the second starts over from what landed, and both land', async () => {
  const take = (title: string, word: string) =>
    implementing(title, { shell: `sed -i "s/^Sells .*/& and ${word}./" README.md` }, { say: 'Done.' })
  await using shop = await rig({ rules: [take('Sell coffee', 'coffee'), take('Sell cocoa', 'cocoa'), approving] })
  await shop.up()
  const [coffee, cocoa] = [await shop.add('Sell coffee'), await shop.add('Sell cocoa')]
  await shop.state(coffee, 'done', 'escalated')
  await shop.state(cocoa, 'done', 'escalated')
  const readme = await shop.git('show', 'tri-agent/landing:README.md')
  assert.match(readme, /and coffee\./)
  assert.match(readme, /and cocoa\./)
  const returned = (await shop.events()).filter((event) => event.type === 'task.returned')
  assert.deepEqual(
    returned.map(({ rebase, feedback }) => [rebase, /README\.md/.test(feedback)]),
    [[true, true]],
  )
  await endsWell(shop)
})

test('two tasks that do not touch each other land side by side, each on a tree that was tested', async () => {
  await using shop = await rig({ rules: [writing('Sell coffee'), writing('Sell cocoa'), approving] })
  await shop.up()
  const [coffee, cocoa] = [await shop.add('Sell coffee'), await shop.add('Sell cocoa')]
  await shop.state(coffee, 'done')
  await shop.state(cocoa, 'done')
  assert.equal(await shop.git('rev-list', '--count', 'main..tri-agent/landing'), '2')
  const names = (await shop.git('ls-tree', '--name-only', 'tri-agent/landing')).split('\n')
  assert.ok(names.includes('sell-coffee.txt') && names.includes('sell-cocoa.txt'), names.join())
  await endsWell(shop)
})

test('a target that somebody has checked out is left alone; once it is free, retry lands', async () => {
  await using shop = await rig({ rules })
  await shop.git('switch', '--quiet', '--create', 'tri-agent/landing')
  await shop.up()
  const id = await shop.add('Sell coffee')
  const task = await shop.state(id, 'escalated', 'done')
  assert.equal(task.phase, 'escalated')
  const shown = await shop.show(id)
  assert.match(shown, /tri-agent\/landing is checked out in .*shop/)
  assert.equal(await shop.git('status', '--porcelain'), '')
  await shop.git('switch', '--quiet', 'main')
  assert.equal((await shop.type('retry', id)).code, 0)
  await shop.state(id, 'done')
  await endsWell(shop)
})

test('what is committed to the base while a task is open is in the tree that is tested and lands', async () => {
  await using shop = await rig({ rules, config: { unattended: false } })
  await shop.up()
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'awaiting-approval')
  await shop.write('hours.txt', 'nine to five\n')
  await shop.git('add', '--all')
  await shop.git('commit', '--quiet', '--message', 'Open from nine to five')
  assert.equal((await shop.type('approve', id)).code, 0)
  await shop.state(id, 'done')
  assert.equal(await shop.git('show', 'tri-agent/landing:hours.txt'), 'nine to five')
  assert.equal(await shop.git('show', 'tri-agent/landing:sell-coffee.txt'), 'Sell coffee')
  await endsWell(shop)
})

test('who merged what landed and went on is gone on from: the next task starts from there', async () => {
  const next = implementing('Sell cocoa', { shell: 'cat hours.txt > cocoa.txt' }, { say: 'Done.' })
  await using shop = await rig({ rules: [writing('Sell coffee'), next, approving] })
  await shop.up()
  await shop.state(await shop.add('Sell coffee'), 'done')
  await shop.git('merge', '--quiet', '--no-ff', '-m', 'Take in what landed', 'tri-agent/landing')
  await shop.write('hours.txt', 'nine to five\n')
  await shop.git('add', '--all')
  await shop.git('commit', '--quiet', '--message', 'Open from nine to five')
  await shop.state(await shop.add('Sell cocoa'), 'done', 'escalated')
  assert.equal(await shop.git('show', 'tri-agent/landing:cocoa.txt'), 'nine to five')
  assert.equal(await shop.git('rev-parse', 'tri-agent/landing^'), await shop.git('rev-parse', 'main'))
  await endsWell(shop)
})

test('a set-up layer is made once per key and given to everything; one that cannot be made says so', async () => {
  const setup = {
    setup: [
      'mkdir shelf && cat lock.txt > shelf/lock.txt && if grep -q broken lock.txt; then echo no such shelf; exit 3; fi',
    ],
    setupKey: ['lock.txt'],
    gates: [{ name: 'test', command: 'test -e shelf/lock.txt' }],
  }
  await using shop = await rig({
    yaml: setup,
    files: { 'lock.txt': 'one\n', '.gitignore': 'shelf\n' },
    config: { retry: { attempts: 1, first: '20ms', cap: '40ms' } },
    rules: [
      implementing('Sell coffee', { shell: 'cat shelf/lock.txt > coffee.txt' }, { say: 'Done.' }),
      writing('Sell cocoa'),
      approving,
    ],
  })
  await shop.up()
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'done')
  await shop.state(await shop.add('Sell cocoa'), 'done')
  assert.equal(await shop.git('show', 'tri-agent/landing:coffee.txt'), 'one')
  const told = await shop.type('output', id, '--attempt', '1', '--raw')
  assert.match(told.stdout, /^# set-up: mkdir shelf/m)
  const made = await Promise.all(
    (
      await shop.database.read((reader) =>
        reader.all<{ task: string; token: number }>('select task, token from attempt'),
      )
    ).map(async ({ task, token }) => (await shop.type('output', task, '--attempt', String(token), '--raw')).stdout),
  )
  assert.equal(made.filter((text) => text.includes('# set-up: ')).length, 1)
  await shop.git('merge', '--quiet', 'tri-agent/landing')
  await shop.write('lock.txt', 'broken\n')
  await shop.git('commit', '--quiet', '--all', '--message', 'Break the lock')
  const broken = await shop.add('Sell cake')
  const task = await shop.state(broken, 'escalated', 'done')
  assert.equal(task.phase, 'escalated')
  assert.match(await shop.show(broken), /set-up command ".*" failed \(exit 3\):\s+no such shelf/)
  await endsWell(shop)
})

test('red gates are executed again when a person has it tried again: what made them red may be mended', async () => {
  const breaking = implementing('Sell coffee', { shell: 'date +%N >> old.txt' }, { say: 'Done.' })
  const { shop, id, task } = await play({
    rules: [breaking, approving],
    config: rounds,
    yaml: { gates: [lint('block')] },
  })
  await using _ = shop
  assert.equal(task.phase, 'escalated')
  const executed = async (number: number) => {
    const rows = await shop.database.read((reader) => attemptsOf(reader, id))
    const { stdout } = await shop.type('output', id, '--attempt', String(number))
    return [rows.find(({ token }) => token === number)?.step, /gate lint: red/.test(stdout)]
  }
  assert.deepEqual(await executed(4), ['verify', true])
  assert.equal((await shop.type('retry', id)).code, 0)
  await shop.state(id, 'escalated')
  assert.deepEqual(await executed(5), ['verify', true])
  await endsWell(shop)
})

test('what is done to the history or the tables afterwards shows', async () => {
  const { shop, id } = await play({ rules })
  await using _ = shop
  await endsWell(shop)
  assert.equal((await shop.type('verify-history')).code, 0)
  const landed = await shop.git('rev-parse', 'tri-agent/landing')
  const tree = await shop.git('rev-parse', 'main^{tree}')
  const message = await shop.git('log', '-1', '--format=%B', landed)
  const forged = await shop.git('commit-tree', tree, '-p', 'main', '-m', message)
  await shop.git('update-ref', 'refs/heads/tri-agent/landing', forged)
  const amended = await shop.type('verify-history')
  assert.equal(amended.code, 1)
  assert.match(amended.stdout, /WRONG .*Sell coffee/)
  await shop.git('update-ref', 'refs/heads/tri-agent/landing', landed)
  assert.equal((await shop.type('verify-history')).code, 0)
  assert.equal((await shop.type('rebuild', '--verify')).code, 0)
  await shop.database.write(async (tx) => {
    await tx.run("update task set state = 'cancelled' where id = :id", { id })
    await tx.run('update landing set tree = :tree', { tree })
  })
  const told = await shop.type('rebuild', '--verify')
  assert.equal(told.code, 1)
  assert.match(told.stdout, new RegExp(`task ${id}`))
  assert.match(told.stdout, /landing /)
  assert.equal((await shop.type('verify-history')).code, 1)
  assert.equal((await shop.type('rebuild')).code, 0)
  assert.equal((await shop.type('verify-history')).code, 0)
})

test('history is whole for a repository that is known twice, after its target was merged and removed, and nothing is said of one nobody knows', async () => {
  const { shop } = await play({ rules })
  await using _ = shop
  await endsWell(shop)
  const again = join(shop.home, 'again')
  await shop.git('worktree', 'add', '--quiet', '--detach', again)
  const ports = { database: shop.database, world: realWorld(), actor: 'person:ada' }
  await registerRepository(ports, { path: again, name: 'again', base: 'main' })
  const known = await shop.type('verify-history')
  assert.deepEqual([known.code, known.stdout.includes('WRONG')], [0, false], known.stdout)
  await shop.git('merge', '--quiet', '--ff-only', 'tri-agent/landing')
  await shop.git('branch', '--quiet', '-D', 'tri-agent/landing')
  const merged = await shop.type('verify-history')
  assert.deepEqual([merged.code, merged.stdout.includes('Sell coffee')], [0, true], merged.stdout)
  const { code, stderr } = await shop.type('verify-history', '--repo', 'nosuch')
  assert.equal(code, 1)
  assert.match(stderr, /nosuch/)
})
