/**
 * bench sandbox: what it costs to put an agent to work, and to be rid of it, without a daemon around it. Cold: a clone is made for it. Warm: one that was made
 * ahead is taken. Both with a sealed set-up layer and to the agent's first instruction inside; the same layer copied and laid below the tree, in
 * turns; and from the kill to the proof that nothing is left.
 */
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isRefusal } from '../src/core/refusal.ts'
import { clonePool } from '../src/daemon/pool.ts'
import { makeScratch, refreshed, type Scratch } from '../src/git/fixture.ts'
import { environment } from '../src/host/environment.ts'
import type { World } from '../src/host/world.ts'
import { makeArea, removeArea, removeTree } from '../src/sandbox/area.ts'
import { createSandbox } from '../src/sandbox/create.ts'
import { applyLayer, sealLayer } from '../src/sandbox/layer.ts'
import { layBelow } from '../src/sandbox/overlay.ts'
import type { Area, Contained, Sandbox } from '../src/sandbox/sandbox.ts'
import { objectsInside } from '../src/stage/ask.ts'
import { world } from '../test/cli-rig.ts'
import { median, timeOf, type Bench, type Row } from './measure.ts'

export type Counts = {
  files: readonly number[]
  layerFiles: number
  layers: readonly number[]
  rounds: number
  kills: number
}
const usual: Counts = { files: [100, 5000], layerFiles: 2000, layers: [50, 200, 2000, 20_000], rounds: 7, kills: 20 }

const path = environment()['PATH'] ?? '/usr/bin:/bin'
/** The processes of a tree that is killed: shells and sleepers, two of them daemons in sessions of their own. */
const crowd =
  'for n in 1 2 3; do sleep 600 & done; setsid sleep 600 & (setsid sh -c "sleep 600; :" &); echo ready; wait'

export const benchSandbox: Bench = (note) => measureSandbox(usual, note)

export async function measureSandbox(counts: Counts, note: (text: string) => void): Promise<Row[]> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'tri-bench-')))
  try {
    const sandbox = await createSandbox(world, { lowest: 'group', path, folder })
    if (isRefusal(sandbox)) throw new Error(sandbox.why)
    const server = createServer((connection) => connection.end())
    const socket = join(folder, 'gateway')
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    const place = { folder, sandbox, gateway: { socket, url: 'http://127.0.0.1:9' } }
    const rows: Row[] = []
    try {
      for (const files of counts.files) {
        note(`a repository of ${files} files and a set-up layer of ${counts.layerFiles}`)
        rows.push(...(await measureStarts(place, files, counts)))
      }
      for (const files of counts.layers) {
        note(`a set-up layer of ${files} files, copied and laid below a tree`)
        rows.push(...(await measureLayer(place, files, counts.rounds)))
      }
      note(`${counts.kills} kills`)
      rows.push(...(await measureKills(place, counts.kills)))
    } finally {
      server.close()
    }
    return rows
  } finally {
    await removeTree(folder)
  }
}

type Place = { folder: string; sandbox: Sandbox; gateway: { socket: string; url: string } }
/** Milliseconds: the clone, the layer, the first instruction, and all of it. */
type Parts = { clone: number; layer: number; first: number; all: number }

/** Where nothing else waits for the disk a clone is made ahead at once. */
const eager: World = { ...world, timer: { ...world.timer, sleep: () => Promise.resolve() } }

async function measureStarts(place: Place, files: number, { rounds, layerFiles }: Counts): Promise<Row[]> {
  await using scratch = await makeScratch()
  const base = await fill(scratch, files)
  const layer = await makeLayer(place.folder, layerFiles)
  const objects = place.sandbox.contained ? objectsInside : null
  await using pool = clonePool({
    world: eager,
    git: scratch.git,
    folder: scratch.place('warm'),
    slots: 1,
    objectsInside: objects,
    failed: (error) => {
      throw error
    },
  })
  const clone = (into: string) => scratch.git.clone(scratch.stores, base, into, objects)
  const take = async (into: string) => {
    if (!(await pool.take(scratch.stores, base, into))) throw new Error('no clone was made ahead')
  }
  const bare: number[] = []
  const cold: Parts[] = []
  const warm: Parts[] = []
  for (let round = 0; round < rounds; round++) {
    bare.push(await timeOf(['-e', '0'], { PATH: path }, place.folder))
    cold.push(await start(place, layer, clone))
    pool.want('bench', scratch.stores, base)
    await pool.settled()
    warm.push(await start(place, layer, take))
  }
  await removeTree(layer)
  const of = (parts: Parts[], name: keyof Parts) => median(parts.map((each) => each[name]))
  const unit = 'ms' as const
  const row = (what: string, measured: number, baseline: number | null = null): Row => ({
    what: `${what}, ${files.toLocaleString('en')} files`,
    unit,
    measured,
    baseline,
    target: null,
  })
  return [
    row('start of an attempt, cold', of(cold, 'all'), median(bare)),
    row('start of an attempt, warm', of(warm, 'all'), median(bare)),
    row('  a clone', of(cold, 'clone')),
    row('  one made ahead is taken', of(warm, 'clone')),
    row(`  a layer of ${layerFiles.toLocaleString('en')} files`, median([...cold, ...warm].map((each) => each.layer))),
    row(
      '  to the first instruction of a Node inside',
      median([...cold, ...warm].map((each) => each.first)),
      median(bare),
    ),
  ]
}

/** One start, from nothing to what a program inside printed first. */
async function start(place: Place, layer: string, fetch: (into: string) => Promise<void>): Promise<Parts> {
  const { mono } = world.clock
  const began = mono()
  const area = await makeArea(join(place.folder, world.id('att')))
  await fetch(area.work)
  const cloned = mono()
  const whole = await lay(place.sandbox, layer, area)
  const laid = mono()
  const contained = await begin(place, whole, [process.execPath, '-e', 'console.log("ready")'])
  await ready(contained)
  const ended = mono()
  await contained.kill()
  await removeArea(area)
  return { clone: cloned - began, layer: laid - cloned, first: ended - laid, all: ended - began }
}

/** As set-up gives it to a tree. */
async function lay({ overlays }: Pick<Sandbox, 'overlays'>, layer: string, area: Area): Promise<Area> {
  if (overlays) return layBelow(area, layer)
  await applyLayer(layer, area.work)
  return area
}

/** The same layer in turns: laid below a tree against copied into it, where the machine can do both. */
async function measureLayer(place: Place, files: number, rounds: number): Promise<Row[]> {
  const layer = await makeLayer(place.folder, files)
  const { overlays } = place.sandbox
  const ways = overlays ? [true, false] : [false]
  const started = new Map(ways.map((way): [boolean, number[]] => [way, []]))
  const gone = new Map(ways.map((way): [boolean, number[]] => [way, []]))
  const { mono } = world.clock
  for (let round = 0; round < rounds; round++)
    for (const way of ways) {
      const began = mono()
      const area = await makeArea(join(place.folder, world.id('att')))
      await mkdir(area.work)
      const contained = await begin(place, await lay({ overlays: way }, layer, area), ['/bin/sh', '-c', 'echo ready'])
      await ready(contained)
      started.get(way)!.push(mono() - began)
      await contained.kill()
      await removeArea(area)
      gone.get(way)!.push(mono() - began)
    }
  await removeTree(layer)
  const name = `a layer of ${files.toLocaleString('en')} files`
  const row = (what: string, times: Map<boolean, number[]>): Row => ({
    what,
    unit: 'ms',
    measured: median(times.get(overlays)!),
    baseline: overlays ? median(times.get(false)!) : null,
    target: null,
  })
  return [
    row(overlays ? `start with ${name} below the tree, not copied` : `start with ${name} copied`, started),
    row('  until all of it is gone again', gone),
  ]
}

const begin = ({ sandbox, gateway }: Place, area: Area, argv: readonly string[]): Promise<Contained> =>
  sandbox.start({ area, argv, env: {}, stdin: null, mounts: [], gateway, toolchain: [join(process.execPath, '..')] })

function ready(contained: Contained): Promise<void> {
  let said = ''
  contained.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
  return new Promise((resolve, reject) => {
    contained.stdout.on('data', (chunk: Buffer) => {
      if (chunk.includes('ready')) resolve()
    })
    contained.stdout.once('end', () => reject(new Error(`nothing was started: ${said}`)))
  })
}

async function measureKills(place: Place, kills: number): Promise<Row[]> {
  const took: number[] = []
  let survivors = 0
  for (let n = 0; n < kills; n++) {
    const area = await makeArea(join(place.folder, world.id('att')))
    await mkdir(area.work)
    const contained = await begin(place, area, ['/bin/sh', '-c', crowd])
    await ready(contained)
    const began = world.clock.mono()
    survivors += (await contained.kill()).survivors
    took.push(world.clock.mono() - began)
    await removeArea(area)
  }
  const more = { unit: 'ms', baseline: null, target: null } as const
  return [
    { what: `kill of 8 processes to proven empty (${place.sandbox.rung})`, measured: median(took), ...more },
    { what: '  the slowest', measured: Math.max(...took), ...more },
    { what: '  processes left', unit: 'processes', measured: survivors, baseline: null, target: 0 },
  ]
}

async function fill(scratch: Scratch, files: number): Promise<string> {
  const { source } = scratch.stores
  for (let n = 0; n < files; n++) {
    const folder = join(source, `src/part-${n % 100}`)
    if (n < 100) await mkdir(folder, { recursive: true })
    await writeFile(join(folder, `module-${n}.ts`), `export const part${n} = ${n}\n`.repeat(40))
  }
  await scratch.type(source, ['add', '--all'])
  await scratch.type(source, ['commit', '--quiet', '--message', 'Fill the shelves'])
  return (await refreshed(scratch)).base
}

/** As `npm ci` leaves it: many small files in some folders. */
async function makeLayer(folder: string, files: number): Promise<string> {
  const tree = join(folder, 'tree')
  for (let n = 0; n < files; n++) {
    const place = join(tree, `node_modules/package-${n % 200}`)
    if (n < 200) await mkdir(place, { recursive: true })
    await writeFile(join(place, `file-${n}.js`), `exports.n = ${n}\n`.repeat(100))
  }
  const layer = join(folder, 'layer')
  await mkdir(layer)
  await sealLayer(tree, new Set(), layer, 'as made')
  await rm(tree, { recursive: true })
  return layer
}
