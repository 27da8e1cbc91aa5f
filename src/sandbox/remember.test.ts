/** The remembered rung: nothing is started for it while nothing changed, everything is tried again once something did, and it is proven after. */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import test, { after } from 'node:test'
import { isAtLeast } from '../core/rung.ts'
import { bootId, startTimeOf } from '../host/proc.ts'
import { removeTree } from './area.ts'
import { makeFolder, path, standOn, world } from './fixture.ts'
import { climbAgain } from './remember.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const namespace = await standOn('namespace', folder)
const top = typeof (await standOn('cgroup', folder)) === 'string' ? 'namespace' : 'cgroup'
const skip = typeof namespace === 'string' && namespace

/** A machine whose bubblewrap is a script that is also the real one, until `broken` is there. */
async function machine() {
  const place = join(folder, world.id('machine'))
  await mkdir(place)
  const bwrap = join(place, 'bwrap')
  const write = (more = '') =>
    writeFile(bwrap, `#!/bin/sh\ntest -e "${place}/broken" && exit 1\nPATH=${path} exec bwrap "$@"\n${more}`, {
      mode: 0o755,
    })
  await write()
  const started: string[] = []
  const spawn: typeof world.spawn = (spec) => {
    started.push(spec.args.includes('--version') ? 'version' : 'program')
    return world.spawn(spec)
  }
  const look = async () => {
    started.length = 0
    const climbed = await climbAgain({ ...world, spawn }, { path: `${place}${delimiter}${path}`, folder: place })
    const found = {
      rung: climbed.stands[0]!.rung,
      started: [...started],
      proves: climbed.prove !== undefined,
    }
    const told: string[] = []
    const witness = { born: async () => void told.push('born'), over: async () => void told.push('over') }
    return { found, told, prove: async () => [await climbed.prove!(witness), [...started]] }
  }
  return { place, bwrap, write, look }
}

test('an overlay that was known and works no more is noticed when it is proven', { skip }, async () => {
  const { place, look, prove } = await machine().then(async ({ place, look }) => {
    const mount = `#!/bin/sh\ntest -e "${place}/unmounted" && exit 1\nPATH=${path} exec mount "$@"\n`
    await writeFile(join(place, 'mount'), mount, { mode: 0o755 })
    assert.deepEqual((await look()).found, tried)
    return { place, look, prove: (await look()).prove }
  })
  await writeFile(join(place, 'unmounted'), '')
  assert.match(String((await prove())[0]), /in another way than it was known to/)
  assert.equal((await look()).found.proves, true, 'and it is known from then on')
  assert.deepEqual((await (await look()).prove())[0], null)
})

const tried = { rung: top, started: ['version', 'program'], proves: false }
const remembered = { rung: top, started: [], proves: true }

test('what was tried is not tried again before it is needed, and proven when it is', { skip }, async () => {
  const { look } = await machine()
  assert.deepEqual((await look()).found, tried)
  const again = await look()
  assert.deepEqual(again.found, remembered)
  assert.deepEqual(await again.prove(), [null, ['version', 'program']])
  assert.deepEqual(again.told, ['born', 'over'], 'whoever has to account for it was told')
  assert.deepEqual((await look()).found, remembered)
})

test('another bubblewrap, in content, size or time, is tried anew', { skip }, async () => {
  const { bwrap, write, look } = await machine()
  await look()
  await write('# another\n')
  assert.deepEqual((await look()).found, tried)
  await utimes(bwrap, 1, 1)
  assert.deepEqual((await look()).found, tried)
  assert.deepEqual((await look()).found, remembered)
})

test('a file that was cut short, or is of another boot, tells nothing', { skip }, async () => {
  const { place, look } = await machine()
  await look()
  await writeFile(join(place, 'sandbox.json'), '{"mark":')
  assert.deepEqual((await look()).found, tried)
  await writeFile(join(place, 'sandbox.json'), JSON.stringify({ mark: 'another boot', way: 'started', rung: top }))
  assert.deepEqual((await look()).found, tried)
})

test(
  'what a bad moment had it remember the longer way of holds all the same, for the shorter one holds too',
  { skip },
  async () => {
    const { place, look } = await machine()
    await look()
    const file = join(place, 'sandbox.json')
    const { mark, way } = JSON.parse(await readFile(file, 'utf8')) as { mark: string; way: string }
    assert.equal(way, 'started')
    await writeFile(file, JSON.stringify({ mark, way: 'forwarded', rung: top }))
    const again = await look()
    assert.deepEqual(again.found, remembered)
    assert.deepEqual(await again.prove(), [null, ['version', 'program']])
  },
)

test('a machine that changed unseen is found out by the proof, and not remembered any longer', { skip }, async () => {
  const { place, look } = await machine()
  await look()
  await writeFile(join(place, 'broken'), '')
  const { found, prove } = await look()
  assert.deepEqual(found, remembered)
  assert.match((await prove())[0] as string, /^this machine cannot hold an agent in a namespace any more: /)
  const { rung, proves } = (await look()).found
  assert.deepEqual([isAtLeast(rung, 'namespace'), proves], [false, false])
})

test(
  'what a look had started that was killed is ended by the next one, and what a living one started is not',
  { skip },
  async () => {
    const { place, look } = await machine()
    const sleeper = () => world.spawn({ file: '/bin/sleep', args: ['600'], cwd: '/', env: {} })
    const [left, current] = [await sleeper(), await sleeper()]
    const dead = await world.spawn({ file: '/bin/true', args: [], cwd: '/', env: {} })
    await dead.exit
    const identity = (pid: number) => ({ bootId: bootId(), pid, startTime: startTimeOf(pid) })
    const write = (name: string, maker: object, pid: number) =>
      writeFile(join(place, name), JSON.stringify({ maker, leader: identity(pid), root: '/nowhere/at/all' }))
    await write('sandbox-look-1.json', { bootId: bootId(), pid: dead.pid, startTime: 1 }, left.pid)
    await write('sandbox-look-2.json', identity(process.pid), current.pid)
    await look()
    assert.equal((await left.exit).signal, 'SIGKILL')
    assert.ok(startTimeOf(current.pid) !== null)
    current.signal('SIGKILL')
    await current.exit
    const files = (await readdir(place)).filter((name) => name.startsWith('sandbox-look'))
    assert.deepEqual(files, ['sandbox-look-2.json'], 'its own is struck out, too')
  },
)
