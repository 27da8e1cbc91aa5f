/**
 * Programs that leave everything behind that can be left, on every rung of this machine, ended in every way there is: nothing of them survives where the
 * rung promises it, and what survives where it does not is named, and then ended by its pid. Each is bounded, and harmless.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, watch, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import test, { after, describe } from 'node:test'
import { rungs, type Rung } from '../../src/core/rung.ts'
import { killProcess, startTimeOf } from '../../src/host/proc.ts'
import { removeTree } from '../../src/sandbox/area.ts'
import { boxOf, freshArea, makeFolder, path, standOn, startCompanion, world } from '../../src/sandbox/fixture.ts'
import { implementing, rig, testGate, type Rig } from '../e2e/rig.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const scripts = {
  'evil.sh': readFileSync(join(import.meta.dirname, 'evil.sh'), 'utf8'),
  'chain.sh': readFileSync(join(import.meta.dirname, 'chain.sh'), 'utf8'),
}

/** What the evil program is made of: the last digit of each one's name. */
const all = ['0', '1', '2', '3', '4', '5']

/** What of it lives, by those digits; of a chain `chain`. */
function alive(tag: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each)))
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0')
      const own = words[0]!.startsWith(`${tag}-`) ? words[0]!.slice(tag.length + 1) : null
      const link = words[1]?.endsWith('chain.sh') && words[3] === tag ? 'chain' : null
      const which = own ?? link
      if (which !== null && startTimeOf(Number(name)) !== null) found.set(which, Number(name))
    } catch {
      continue // gone meanwhile
    }
  return found
}

const names = (found: Map<string, number>): string[] => [...found.keys()].toSorted()

/** Looks until it holds, or for as long as numbers.md gives to be empty again after a crash, and a loaded machine. */
async function within(holds: () => boolean, ms: number): Promise<boolean> {
  const began = world.clock.mono()
  while (!holds()) {
    if (world.clock.mono() - began > ms) return false
    await world.timer.sleep(10)
  }
  return true
}

const bornMs = 20_000
/** Long enough for whoever ends it, and for one that respawns to be seen. */
const goneMs = 5000

/** What of it is left for good; that is ended by pid. */
async function leftOf(tag: string, expected: readonly string[]): Promise<string[]> {
  await within(() => names(alive(tag)).join('') === expected.join(''), goneMs)
  const left = alive(tag)
  for (const pid of left.values()) killProcess(pid)
  return names(left)
}

/** Who lets go of all that it can be known by is not held on the rung group; nor, below Node, who only wiped its environment. */
const survivors: Record<'program' | 'agent', (rung: Rung) => string[]> = {
  program: (rung) => (rung === 'group' ? ['5'] : []),
  agent: (rung) => (rung === 'group' ? ['4', '5'] : []),
}

/** For the rung companion: one that shares this test's folder, in a container of its own. */
const listening = await startCompanion({ folder: join(folder, 'companion'), shared: [folder] })
after(() => (typeof listening === 'string' ? undefined : listening.end()))
const place =
  typeof listening === 'string'
    ? undefined
    : { socket: listening.socket, house: folder, areas: folder, sockets: folder, readOnly: [], hidden: [] }

type Case = { rung: Rung; skip: string | false }
const cases: Case[] = []
for (const rung of rungs) {
  const standing =
    rung === 'companion' && typeof listening === 'string' ? listening : await standOn(rung, folder, place)
  if (typeof standing === 'string') process.stdout.write(`SKIPPED rung ${rung}: ${standing}\n`)
  cases.push({ rung, skip: typeof standing === 'string' && standing })
}

test('without a sandbox all of it but its group survives a kill: the attack works', async () => {
  const tag = world.id('evil')
  const file = join(import.meta.dirname, 'evil.sh')
  const child = await world.spawn({ file: 'bash', args: [file, tag], cwd: '/', env: { PATH: path } })
  assert.ok(await within(() => alive(tag).size === all.length, bornMs))
  child.signal('SIGKILL')
  await child.exit
  assert.deepEqual(await leftOf(tag, ['2', '3', '4', '5']), ['2', '3', '4', '5'])
})

for (const { rung, skip } of cases) {
  test(`${rung}: killed, nothing of it survives but what the rung does not hold`, { skip }, async () => {
    const sandbox = await standOn(rung, folder, place)
    if (typeof sandbox === 'string') throw new Error(sandbox)
    const tag = world.id('evil')
    const argv = ['/bin/bash', '-c', scripts['evil.sh'], 'evil.sh', tag]
    const contained = await sandbox.start(boxOf(await freshArea(folder), argv))
    assert.ok(await within(() => alive(tag).size === all.length, bornMs), names(alive(tag)).join())
    const { method, survivors: counted } = await contained.kill()
    assert.deepEqual([method, counted], [rung, 0])
    assert.deepEqual(await leftOf(tag, survivors.program(rung)), survivors.program(rung))
  })

  test(
    `${rung}: a chain that respawns in ever new sessions is ended in the middle of it`,
    { skip },
    async (context) => {
      const sandbox = await standOn(rung, folder, place)
      if (typeof sandbox === 'string') throw new Error(sandbox)
      const tag = world.id('chain')
      const area = await freshArea(folder)
      writeFileSync(join(area.work, 'chain.sh'), scripts['chain.sh'])
      const { work } = sandbox.view(area, null)
      const script = `bash '${work}/chain.sh' 3000 "$0"; exec sleep 300`
      const contained = await sandbox.start(boxOf(area, ['/bin/bash', '-c', script, tag]))
      assert.ok(await within(() => alive(tag).has('chain'), bornMs))
      const { survivors: counted } = await contained.kill()
      const goesOn = await within(() => alive(tag).has('chain'), 200)
      if (goesOn) assert.ok(await within(() => !alive(tag).has('chain'), bornMs), 'it ends by itself')
      if (rung === 'group') context.diagnostic(`not promised on this rung: ${goesOn ? 'it got away' : 'it was caught'}`)
      else assert.deepEqual([counted, goesOn], [0, false])
    },
  )
}

const skipOf = (rung: Rung): string | false => cases.find((each) => each.rung === rung)!.skip

test(
  'subreaper: a program that ends its watcher is held no better than on the rung group, as the rung says',
  { skip: skipOf('subreaper') },
  async () => {
    const sandbox = await standOn('subreaper', folder)
    if (typeof sandbox === 'string') throw new Error(sandbox)
    const tag = world.id('evil')
    const script = `kill -9 $PPID; ${scripts['evil.sh']}`
    const contained = await sandbox.start(boxOf(await freshArea(folder), ['/bin/bash', '-c', script, 'evil.sh', tag]))
    assert.deepEqual(await contained.exit, { code: null, signal: 'SIGKILL' })
    assert.ok(await within(() => alive(tag).size === all.length, bornMs), names(alive(tag)).join())
    await contained.kill()
    assert.deepEqual(await leftOf(tag, survivors.program('group')), survivors.program('group'))
  },
)

test('companion: a program that ends its watcher is held all the same', { skip: skipOf('companion') }, async () => {
  const sandbox = await standOn('companion', folder, place)
  if (typeof sandbox === 'string') throw new Error(sandbox)
  const tag = world.id('evil')
  const script = `kill -9 $PPID; ${scripts['evil.sh']}`
  const contained = await sandbox.start(boxOf(await freshArea(folder), ['/bin/bash', '-c', script, 'evil.sh', tag]))
  assert.deepEqual(await contained.exit, { code: null, signal: 'SIGKILL' })
  assert.equal((await contained.kill()).survivors, 0)
  assert.deepEqual(await leftOf(tag, []), [])
})

/** How an attempt of a daemon comes to its end. */
const ways = ['kill', 'time-out', 'breaker', 'SIGTERM of the daemon', 'kill -9 of the daemon'] as const
type Way = (typeof ways)[number]

/** Starts it, and waits until all of it is there, and was seen. */
const begin = (tag: string): string =>
  `bash evil.sh ${tag} >/dev/null 2>&1 & for n in ${all.join(' ')}; do until grep -qsz "^${tag}-$n" /proc/[0-9]*/cmdline; do sleep 0.05; done; done; sleep 0.5`

/** Billed without a hold, whatever was asked: the breaker ends whoever spends. */
const billed = { input: 400_000 }

const shopWith = (rung: Rung, way: Way, tag: string, socket: string): Promise<Rig> => {
  const last = way === 'breaker' ? { read: { path: 'evil.sh' }, usage: billed } : { misbehave: 'hang' as const }
  return rig({
    files: { 'evil.sh': scripts['evil.sh'] },
    yaml: { gates: [{ ...testGate, timeout: '5s' }] }, // no longer than the operator's patience
    rules: [{ ...implementing('Do evil', { shell: begin(tag) }, last, { say: 'Done.' }), times: 1 }],
    config: {
      drain: { normal: '0s' },
      money: { minute: '$0.10' },
      ...(way === 'time-out' ? { patience: { wall: '6s' } } : {}),
      ...(rung === 'companion' ? { companion: { socket } } : {}),
    },
  })
}

async function startDaemon(shop: Rig, rung: Rung) {
  const args = [join(import.meta.dirname, 'daemon.ts'), rung]
  const child = await world.spawn({ file: process.execPath, args, cwd: shop.home, env: shop.env })
  let said = ''
  for (const each of [child.stdout, child.stderr]) each.on('data', (chunk: Buffer) => (said += chunk.toString()))
  assert.ok(await within(() => said.includes('ready on'), bornMs), said)
  assert.match(said, new RegExp(`^ready on ${rung}$`, 'm'))
  return child
}

/** A companion of the shop's daemon: of the shop's home it sees only what is shared with it. */
async function companionOf({ home, paths }: Rig, door: string): Promise<AsyncDisposable> {
  const { areas, repos, layers, sockets } = paths
  const started = await startCompanion({
    folder: door,
    shared: [areas],
    readOnly: [repos, layers, sockets],
    hidden: [home],
    program: [process.execPath, join(import.meta.dirname, '../../src/cli/main.ts')], // koffi is not beside the bundle
  })
  if (typeof started === 'string') throw new Error(started)
  return { [Symbol.asyncDispose]: started.end }
}

/** Does evil as an agent of a daemon on this rung, ends it in this way, and answers what of it is left. */
async function play(rung: Rung, way: Way): Promise<string[]> {
  const tag = world.id('evil')
  const expected = survivors.agent(rung)
  const door = await mkdtemp(join(tmpdir(), 'tri-door-')) // a setting is a path without line breaks
  await using shop = await shopWith(rung, way, tag, join(door, 'socket'))
  await using _companion = rung === 'companion' ? await companionOf(shop, door) : null
  const watcher = watch(shop.paths.stateFolder, () => shop.look()) // each write of the daemon
  const daemons = [await startDaemon(shop, rung)]
  try {
    const id = await shop.add('Do evil')
    assert.ok(
      await within(() => alive(tag).size === all.length, bornMs),
      `all of it began: ${names(alive(tag)).join()} ${JSON.stringify(await shop.events(id))}`,
    )
    if (way === 'kill') assert.equal((await shop.type('kill', id)).code, 0)
    if (way === 'SIGTERM of the daemon') process.kill(daemons[0]!.pid, 'SIGTERM')
    if (way === 'kill -9 of the daemon') {
      daemons[0]!.signal('SIGKILL')
      await daemons[0]!.exit
      // where the kernel or a watcher holds it, it is gone without anybody's help; else the next daemon hunts it
      if (rung === 'group') daemons.push(await startDaemon(shop, rung))
    }
    const outcome = { 'time-out': 'timed-out', breaker: 'over-budget', kill: 'killed' }[way as string]
    if (outcome !== undefined) assert.equal((await shop.happened(id, 'attempt.ended')).outcome, outcome)
    return await leftOf(tag, expected)
  } finally {
    for (const daemon of daemons) daemon.signal('SIGTERM')
    await Promise.all(daemons.map((daemon) => daemon.exit))
    watcher.close()
    await leftOf(tag, [])
    await removeTree(door)
  }
}

void describe('an attempt of a daemon', { concurrency: 2 }, () => {
  for (const { rung, skip } of cases)
    for (const way of ways)
      test(`${rung}, ${way}: nothing of it survives but what the rung does not hold`, { skip }, async () =>
        assert.deepEqual(await play(rung, way), survivors.agent(rung)),
      )
})
