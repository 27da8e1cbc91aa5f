/**
 * Chaos: real daemons, workers and agents of a loaded system killed, frozen and told to end at moments of chance, a provider that fails, a disk that fills up and
 * a network that goes; beside it a network that is gone for a day, on a virtual clock. Fails when anything is lost, doubled or left, and below its floor.
 */
import { parseArgs } from 'node:util'
import { environment } from '../../src/host/environment.ts'
import { capture } from '../../src/host/process.ts'
import { realWorld } from '../../src/host/world.ts'
import { playChaos } from '../../src/daemon/chaos-play.ts'
import { bundle } from '../cli-rig.ts'
import { blackouts, blackOutVirtually } from './blackout.ts'
import { bugs } from './bug.ts'

const help = `chaos: the real thing, killed, frozen, starved and cut off at moments of chance

  npm run chaos                       45 seconds of blows, longer until 20 kills are dealt; then everything must end
  npm run chaos -- --seed 7           the blows of that seed, in the same order
  npm run chaos -- --kills 100        so many kills, whatever the time
  npm run chaos -- --full             1,000 kills, and once a network that is gone for 5 minutes
  npm run chaos -- --bugs             each hand-made bug must be found
      --bug reaper-off                with this one in it
      --keep                          leave its state to be looked at (a failure always does)
      --help
`

const floor = 20
const allotmentMs = 45_000
const fullKills = 1000
const longMs = 300_000
/** So many kills find each hand-made bug. */
const bugKills = 25

const world = realWorld()
const out = (text: string) => void process.stdout.write(text)
const note = (text: string) => void process.stderr.write(text.endsWith('\n') ? text : `${text}\n`)

/** Node's words for the program: the bundle, or, with a bug in it, the source. */
function programWith(bug: string | undefined, built: string): string[] {
  if (bug === undefined) return [built]
  const hooks = new URL(`bug.ts?bug=${bug}`, import.meta.url).href
  return ['--import', hooks, new URL('../../src/cli/main.ts', import.meta.url).pathname]
}

async function storm(seed: number, values: Values, built: string, tell = out): Promise<number> {
  const { bug, kills, full, keep } = values
  const counted = full ? fullKills : kills === undefined ? null : Number(kills)
  const again = [import.meta.filename, '--seed', `${seed}`, '--program', built]
  for (const [name, value] of Object.entries({ bug, kills })) if (value !== undefined) again.push(`--${name}`, value)
  for (const [name, value] of Object.entries({ full, keep })) if (value) again.push(`--${name}`)
  return playChaos({
    world,
    env: environment(),
    program: programWith(bug, built),
    again,
    seed,
    kills: counted ?? Infinity,
    forMs: counted === null ? allotmentMs : Infinity,
    floor: counted ?? floor,
    longMs: full ? longMs : null,
    keep: keep ?? false,
    say: 'both',
    out: tell,
    note,
  })
}

async function dayWithoutNetwork(seed: number): Promise<number> {
  let failed = 0
  for (const { name, ms } of blackouts) {
    const { ending, wrong } = await blackOutVirtually(seed, ms)
    if (wrong !== null) failed += 1
    out(
      `network gone for ${name}, on the virtual clock: ${ending.landed} of ${ending.tasks} tasks landed${wrong === null ? '' : `; ${wrong}`}\n`,
    )
  }
  return failed
}

/** A chaos that finds nothing proves nothing. */
async function findBugs(seed: number): Promise<number> {
  let missed = 0
  for (const [name, { about }] of Object.entries(bugs)) {
    const args = [import.meta.filename, '--seed', `${seed}`, '--kills', `${bugKills}`, '--bug', name]
    const done = await capture(world.spawn, { file: process.execPath, args, cwd: '/', env: passed() })
    const said = done.stdout.split('\n').find((line) => line.startsWith('{"chaos"'))
    const { faults = {} } = JSON.parse(said ?? '{}') as { faults?: Record<string, string[]> }
    if (done.code !== 1 || Object.keys(faults).length === 0) missed += 1
    const found = Object.entries(faults).map(([what, list]) => `${list.length} ${what}`)
    out(
      `${name} (${about}): ${found.length > 0 ? `found, ${found.join(', ')}` : `NOT FOUND\n${done.stdout}${done.stderr}`}\n`,
    )
  }
  const all = Object.keys(bugs).length
  out(`${all - missed} passed, ${missed} failed\n`)
  return missed === 0 ? 0 : 1
}

const passed = (): Record<string, string> =>
  Object.fromEntries(Object.entries(environment()).filter((each): each is [string, string] => each[1] !== undefined))

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    kills: { type: 'string' },
    full: { type: 'boolean' },
    bugs: { type: 'boolean' },
    bug: { type: 'string' },
    keep: { type: 'boolean' },
    program: { type: 'string' },
    help: { type: 'boolean' },
  },
})
type Values = typeof values

async function main(): Promise<number> {
  if (values.help) {
    out(help)
    return 0
  }
  if (values.bug !== undefined && !Object.hasOwn(bugs, values.bug))
    throw new Error(`no such bug; there are: ${Object.keys(bugs).join(', ')}`)
  const seed = values.seed === undefined ? Math.floor(world.random() * 2 ** 31) : Number(values.seed)
  if (values.program !== undefined) return storm(seed, values, values.program) // inside of its room
  if (values.bugs) return findBugs(seed)
  note(`seed ${seed}`)
  await using built = await bundle()
  let last = ''
  const broken = await storm(seed, values, built.program, (text) => {
    const at = text.indexOf('{"chaos"')
    last += at < 0 ? '' : text.slice(at)
    out(at < 0 ? text : text.slice(0, at))
  })
  const missed = values.bug === undefined ? await dayWithoutNetwork(seed) : 0
  const failed = missed + Number(broken !== 0)
  out(`${1 + blackouts.length - failed} passed, ${failed} failed\n${last}`)
  return failed === 0 ? 0 : 1
}

process.exitCode = await main()
