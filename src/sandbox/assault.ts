/**
 * Carries attacks out, each once without the sandbox and once inside, and says which were held. An attack whose control does not fire is neither held nor
 * breached: it proved nothing, and counts as failed. Two ways in: a script of attack.ts in a box of its own, and denied system calls, all in one.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { arch } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { killProcess } from '../host/proc.ts'
import type { Child } from '../host/process.ts'
import type { World } from '../host/world.ts'
import { makeArea, removeArea } from './area.ts'
import { sweep, type Arena } from './arena.ts'
import { attacks, shownFolders, type Attack } from './attack.ts'
import type { Area, Box, Sandbox } from './sandbox.ts'
import { denied } from './seccomp.ts'

export type Verdict = {
  name: string
  group: string
  /** `idle`: its control did not fire. `absent`: it cannot be tried here, and why. */
  state: 'held' | 'breached' | 'idle' | 'absent'
  why?: string
}

type Ports = { world: World; sandbox: Sandbox; arena: Arena; path: string }

/** No attack takes longer; what hangs is ended and judged by what it did until then. */
const patienceMs = 6000

/** All attacks of attack.ts. */
export async function assault(ports: Ports, list: readonly Attack[] = attacks): Promise<Verdict[]> {
  const verdicts: Verdict[] = []
  for (const attack of list) verdicts.push(await tryOne(ports, attack))
  return verdicts
}

async function tryOne(ports: Ports, attack: Attack): Promise<Verdict> {
  const { name, group, needs = [] } = attack
  const missing = needs.filter((need) => !ports.arena.has(need))
  if (missing.length > 0) return { name, group, state: 'absent', why: `it takes ${missing.join(' and ')} to try it` }
  if (!(await fires(ports, attack, 'open'))) return { name, group, state: 'idle', why: 'its control did not fire' }
  return { name, group, state: (await fires(ports, attack, 'inside')) ? 'breached' : 'held' }
}

const lookMs = 10
const drainMs = 500

/** One execution, and whether it left its sign. */
async function fires(ports: Ports, { script, sign }: Attack, how: 'open' | 'inside'): Promise<boolean> {
  const { world, arena } = ports
  const token = `tri-audit-${world.secret(6)}`
  const area = await makeArea(join(arena.plant, 'areas', world.id('att')))
  await mkdir(area.work)
  const victim = await arena.victim()
  const env = { ...arena.variables, MARK: join(arena.plant, 'marks', 'mark'), VICTIM: `${victim.pid}`, TOKEN: token }
  try {
    const said = await (how === 'open' ? carryOpen : carryInside)(ports, area, env, script)
    const hasFired = (): boolean => {
      if ('outlives' in sign) return alive(token).length > 0
      if ('harms' in sign) return isHarmed(victim)
      if ('makes' in sign) return existsSync(join(arena.plant, sign.makes))
      return said.includes(sign.says === 'the secret' ? arena.secret : 'GAINED')
    }
    // What was started in the background, or killed, may take a moment to be what it becomes.
    const most = how === 'open' ? 100 : 'outlives' in sign ? 30 : 3
    for (let looks = most; looks > 0 && !hasFired(); looks -= 1) await world.timer.sleep(lookMs)
    return hasFired()
  } finally {
    victim.signal('SIGKILL')
    // More than once, for what starts the next one while it is being ended.
    for (let looks = 100, left = alive(token); looks > 0 && left.length > 0; looks -= 1, left = alive(token)) {
      left.forEach(killProcess)
      await world.timer.sleep(1)
    }
    if ('makes' in sign) await sweep(arena.plant, sign.makes)
    await removeArea(area)
  }
}

type Carry = (ports: Ports, area: Area, env: Record<string, string>, script: string) => Promise<string>

const carryOpen: Carry = async ({ world, path }, area, env, script) => {
  const child = await world.spawn({
    file: 'sh',
    args: ['-c', script],
    cwd: area.work,
    env: { PATH: `${path}:/usr/sbin:/sbin`, ...env },
  })
  const said = collect(child.stdout)
  child.stderr.resume()
  await withinPatience(world, child.exit, () => child.signal('SIGKILL'))
  // What it said may still be on its way; a child of it may hold the pipe open for ever.
  const enough = new AbortController()
  await Promise.race([said.ended, world.timer.sleep(drainMs, enough.signal)])
  enough.abort()
  child.stdout.destroy()
  return said.text()
}

const carryInside: Carry = async ({ world, sandbox, arena }, area, env, script) => {
  const contained = await sandbox.start(boxOf(arena, area, env, script))
  const said = collect(contained.stdout)
  contained.stderr.resume()
  await withinPatience(world, contained.exit, () => void contained.kill())
  await contained.kill()
  await said.ended // it ends soon after the box, whoever holds the other end
  return said.text()
}

/** As an agent's box is: its clone's objects, its program and its tools are shown read-only. */
function boxOf(arena: Arena, area: Area, env: Record<string, string>, script: string): Box {
  const shown = shownFolders.flatMap(({ folder, inside }) =>
    inside === null ? [] : [{ from: join(arena.plant, folder), to: inside, mode: 'ro' as const }],
  )
  return {
    area,
    argv: ['/bin/sh', '-c', script],
    env,
    stdin: null,
    mounts: shown,
    gateway: null,
    toolchain: [`${join(arena.plant, 'toolchain/bin')}/`],
  }
}

async function withinPatience(world: World, end: Promise<unknown>, stop: () => void): Promise<void> {
  const cancel = world.timer.after(patienceMs, stop)
  await end
  cancel()
}

function collect(stream: Readable): { text(): string; ended: Promise<void> } {
  let text = ''
  stream.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  const ended = new Promise<void>((resolve) => {
    stream.once('close', resolve)
    stream.once('end', resolve)
    stream.on('error', () => resolve()) // a stream that breaks has said what it said
  })
  return { text: () => text, ended }
}

/** Processes of the machine that have this text in their words: only ever one that was drawn for one attack. */
const alive = (token: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => read(`/proc/${pid}/cmdline`).includes(token))
    .map(Number)

const isHarmed = ({ pid }: Child): boolean => {
  const state = /\) (\S)/.exec(read(`/proc/${pid}/stat`))?.[1]
  return state === undefined || 'TtZX'.includes(state)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return '' // gone meanwhile
  }
}

/** Takes no argument that could be wrong, and would act. */
const unaskable = ['vhangup']

/** Asks for every denied system call with arguments that no kernel takes; prints its name and how it was refused. */
const askAll = (numbers: readonly (readonly [string, number])[]): string =>
  `perl -e '$SIG{SYS} = "IGNORE"; for (qw(${numbers.map(([name, number]) => `${name}=${number}`).join(' ')})) { my ($n, $k) = split /=/; $! = 0; my $r = syscall($k, -1, -1, -1, -1, -1); print "$n ", $r == -1 ? $!+0 : 0, "\\n" }'`

const EPERM = '1'
const ENOSYS = '38'

/** Every denied system call, one verdict each: refused inside without being looked at, and not so outside. */
export async function askForCalls(ports: Ports): Promise<Verdict[]> {
  const column = arch() === 'x64' ? 0 : 1
  const numbers = Object.entries(denied).flatMap(([name, pair]) => {
    const number = pair[column]
    return number === null || unaskable.includes(name) ? [] : [[name, number] as const]
  })
  if (!ports.arena.has('perl') || !ports.arena.has('root'))
    return numbers.map(([name]) => ({ name, group: 'call', state: 'absent', why: 'it takes perl and root to try it' }))
  const ask = async (carry: Carry) => {
    const area = await makeArea(join(ports.arena.plant, 'areas', ports.world.id('att')))
    await mkdir(area.work)
    const said = await carry(ports, area, {}, askAll(numbers)).finally(() => removeArea(area))
    return new Map(said.split('\n').map((line) => line.split(' ') as [string, string]))
  }
  const open = await ask(carryOpen)
  const inside = await ask(carryInside)
  return numbers.map(([name]): Verdict => {
    const group = 'call'
    if (open.get(name) === ENOSYS) return { name, group, state: 'absent', why: 'this kernel has it not' }
    if (open.get(name) === undefined || open.get(name) === EPERM)
      return { name, group, state: 'idle', why: 'its control did not fire' }
    return { name, group, state: inside.get(name) === EPERM ? 'held' : 'breached' }
  })
}
