/** A shop whose daemon is killed again and again, and what must be true each time the next one serves. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import type { Task } from '../../src/core/task.ts'
import type { Reader } from '../../src/store/database.ts'
import { verifyLog } from '../../src/store/verify-log.ts'
import type { Rule } from '../../sim/scenario.ts'
import { approving, program, rig, world, writing, type Made, type Rig } from '../e2e/rig.ts'
import type { Stop } from './point.ts'

/** Nothing waits longer than this for a kill or a start; a loaded machine is slow, and a daemon that hangs never comes. */
const patienceMs = 60_000
/** numbers.md says one second on a machine that does nothing else; this only tells slow from broken. Printed is what was measured. */
const servingBoundMs = 15_000

export const titleOf = (n: number): string => `Sell tea number ${String(n).padStart(3, '0')}`

export type Kept = {
  pid: number
  ended: Promise<{ signal: number; code: number }>
  /** Milliseconds from its start until it said that it serves; null where it ended before. */
  serving: Promise<number | null>
  /** Resolves when the program and all it ever started have ended. */
  allEnded: Promise<unknown>
  /** What of it is alive. */
  remaining(): number[]
  said(): string
  drop(): void
}

const keeper = join(import.meta.dirname, 'keeper.pl')

export type Storm = AsyncDisposable & {
  shop: Rig
  /** Tasks whose `add` answered. */
  acknowledged: Set<string>
  kills: string[]
  servingMs: number[]
  /** Has tasks added until so many are not over. */
  keepBusy(tasks: number): Promise<void>
  start(stop?: Stop): Promise<Kept>
  /** Starts a daemon that is to die at `stop`; waits until it has; then holds what it left to the promises. */
  killAt(name: string, stop: Stop): Promise<void>
  /** Starts one and, once an attempt has a process, does this to it; then kills the daemon too. */
  withWorker(name: string, act: (pid: number, attempt: string) => Promise<void>): Promise<void>
  /** Starts one that is to live, and looks whether anything of the dead ones is left once it serves. */
  serve(): Promise<Kept>
  /** Asks the daemon to end, and waits until it has, and all that it started. */
  stop(): Promise<void>
  /** Looks at the dead daemon's remains, and at all that was acknowledged before. */
  takeStock(): Promise<void>
}

/** `finished`: attempts whose agent was done, so that the next daemon takes their work in. */
type Remains = { attempts: string[]; finished: string[]; holds: number[]; areas: string[] }

export async function storm(tasks: number, config: Made['config'] = {}, rules: readonly Rule[] = []): Promise<Storm> {
  const shop = await rig({
    rules: [...rules, ...Array.from({ length: tasks }, (_, n) => writing(titleOf(n))), approving],
    config,
  })
  // Whoever waits looks again after each write of any process to the database, and each folder that comes or goes.
  const watchers = [shop.paths.stateFolder, shop.paths.areas].map((folder) => watch(folder, () => shop.look()))
  const acknowledged = new Set<string>()
  const kills: string[] = []
  const servingMs: number[] = []
  let known: unknown[] = []
  let left: Remains = { attempts: [], finished: [], holds: [], areas: [] }
  let added = 0

  const formers: Kept[] = []
  let present: Kept | null = null
  const start = async (stop?: Stop): Promise<Kept> => {
    const kept = await spawnProgram(shop, ['up', '--trust'], stop)
    if (present) formers.push(present)
    present = kept
    return kept
  }
  const takeStock = async () => {
    left = await remainsOf(shop)
    known = await checkLog(shop, known, acknowledged)
  }
  const check = async ({ serving, said, ended }: Kept, mayDie: boolean) => {
    const ms = await within(serving, shop, 'to serve')
    assert.ok(ms !== null || mayDie, said())
    if (ms === null) return
    servingMs.push(ms)
    assert.ok(ms < servingBoundMs, `serving again took ${ms} ms`)
    const alive = formers.flatMap((each) => each.remaining())
    assert.deepEqual(
      alive.filter(isOfAttempt).map(describe),
      [],
      'no attempt of a dead daemon lives once the next serves',
    )
    // what it was starting or asking (git, a look at the sandbox) has nobody left to answer, and ends, or is ended by a daemon that lives so long
    const isGone = Promise.all(formers.map((each) => each.allEnded)).then(() => true)
    const gone = await within(
      Promise.race([isGone, ended.then(() => formers.every((each) => each.remaining().length === 0))]),
      shop,
      () =>
        `for the end of ${formers
          .flatMap((each) => each.remaining())
          .map(describe)
          .join(', ')}`,
    )
    if (!gone) return
    formers.length = 0
    await checkGone(shop, left)
    await checkReaped(shop, left, ended)
  }
  return {
    shop,
    acknowledged,
    kills,
    servingMs,
    start,
    takeStock,
    async keepBusy(wanted) {
      const open = await Promise.all([...acknowledged].map(async (id) => mayBeLostOnce(await shop.task(id))))
      for (let busy = open.filter(Boolean).length; busy < wanted; busy++)
        acknowledged.add(await shop.add(titleOf(added++)))
    },
    async killAt(name, stop) {
      const started = await start(stop)
      await check(started, true)
      const { signal } = await within(started.ended, shop, `to be killed ${name}`)
      assert.equal(signal, 9, name)
      kills.push(name)
      await takeStock()
    },
    async withWorker(name, act) {
      const started = await start()
      await check(started, false)
      const { pid, attempt } = await shop.until('a process', (reader) =>
        reader.get<{ pid: number; attempt: string }>(
          'select pid, attempt from process where attempt in (select id from attempt) limit 1',
        ),
      )
      await act(pid, attempt)
      process.kill(started.pid, 'SIGKILL')
      await started.ended
      kills.push(name)
      await takeStock()
    },
    async serve() {
      const started = await start()
      await check(started, false)
      return started
    },
    async stop() {
      process.kill(present!.pid, 'SIGTERM')
      assert.deepEqual(await within(present!.ended, shop, 'to stop'), { signal: 0, code: 0 }, present!.said())
      await within(present!.allEnded, shop, 'for all to end')
    },
    async [Symbol.asyncDispose]() {
      for (const each of watchers) each.close()
      for (const kept of [...formers, ...(present ? [present] : [])]) kept.drop()
      await shop[Symbol.asyncDispose]()
    },
  }
}

/** The fifth loss in a row is a question for a person, and nothing of that task starts until it is answered. */
const mayBeLostOnce = (task: Task): boolean => task.phase === 'open' && task.lost.times < 4

/**
 * A program of ours as a process of its own, to be killed at `stop`. Its keeper is the parent of whatever outlives it, and ends when all of that has
 * ended: nothing that a dead program started can get away unseen.
 */
export async function spawnProgram(shop: Rig, args: readonly string[], stop?: Stop): Promise<Kept> {
  const url = new URL('stop.ts', import.meta.url)
  url.searchParams.set('stop', JSON.stringify(stop ?? null))
  const began = performance.now()
  const child = await world.spawn({
    file: 'perl',
    args: [keeper, process.execPath, ...(stop ? ['--import', url.href] : []), program, ...args],
    cwd: shop.repository,
    env: shop.env,
  })
  const born = Promise.withResolvers<number>()
  const ended = Promise.withResolvers<{ signal: number; code: number }>()
  const serving = Promise.withResolvers<number | null>()
  let said = ''
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
    const pid = /^pid (\d+)$/m.exec(said)?.[1]
    if (pid !== undefined) born.resolve(Number(pid))
    if (said.includes('/health')) serving.resolve(performance.now() - began)
    const end = /^ended (\d+) (\d+)$/m.exec(said)
    if (!end) return
    serving.resolve(null)
    ended.resolve({ signal: Number(end[1]), code: Number(end[2]) })
  })
  return {
    pid: await born.promise,
    ended: ended.promise,
    serving: serving.promise,
    allEnded: child.exit,
    remaining: () => childrenOf(child.pid),
    said: () => `${said.replaceAll(/^(?:pid|ended) .*\n/gm, '')}${complaint}`,
    drop: () => void child.signal('SIGKILL'),
  }
}

/** The processes that a keeper looks after now, each with what names it for ever. */
function childrenOf(keeper: number): number[] {
  try {
    return readFileSync(`/proc/${keeper}/task/${keeper}/children`, 'latin1')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number)
  } catch {
    return [] // it has ended, thus all of them
  }
}

const readProc = (pid: number, name: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1').replaceAll('\0', ' ').trim()
  } catch {
    return '' // gone meanwhile
  }
}

const describe = (pid: number): string => `${pid} ${readProc(pid, 'cmdline').slice(0, 200)} (${readProc(pid, 'wchan')})`

/** It sees the area of an attempt. */
const isOfAttempt = (pid: number): boolean => readProc(pid, 'mountinfo').includes('/areas/att_')

/** What the dead daemon left: none of it may be there once the next one serves. */
async function remainsOf(shop: Rig): Promise<Remains> {
  const rows = await shop.database.read(async (reader) => ({
    attempts: await reader.all<{ id: string }>("select id from attempt where state <> 'ended'"),
    holds: await reader.all<{ id: number }>('select id from hold'),
  }))
  const areas = readdirSync(shop.paths.areas).filter((name) => name !== 'warm')
  return {
    attempts: rows.attempts.map(({ id }) => id),
    finished: areas.filter((name) => existsSync(join(shop.paths.areas, name, 'finished.json'))),
    holds: rows.holds.map(({ id }) => id),
    areas,
  }
}

/** Nothing that was ever seen in the log is gone or changed; every acknowledged task is there; the seals hold; no page is damaged. */
async function checkLog(shop: Rig, known: readonly unknown[], acknowledged: ReadonlySet<string>): Promise<unknown[]> {
  const now = await shop.database.read(async (reader) => ({
    events: await reader.all<{ type: string; stream: string }>('select * from event order by seq'),
    integrity: await reader.all('pragma integrity_check'),
    orphans: await reader.all('pragma foreign_key_check'),
  }))
  assert.deepEqual(now.events.slice(0, known.length), known, 'the log only grows')
  const streams = new Set(now.events.filter(({ type }) => type === 'task.added').map(({ stream }) => stream))
  assert.deepEqual(
    [...acknowledged].filter((id) => !streams.has(`task/${id}`)),
    [],
    'every acknowledged task is there',
  )
  assert.deepEqual(
    [now.integrity.map((row) => ({ ...(row as object) })), now.orphans],
    [[{ integrity_check: 'ok' }], []],
  )
  const { damage } = await verifyLog(shop.database)
  assert.deepEqual(damage, [], 'the log is what was sealed')
  return now.events
}

/** Nothing of the dead daemon's attempts is left, and all they held is charged. */
async function checkGone(shop: Rig, left: Remains): Promise<void> {
  const list = JSON.stringify(left.attempts)
  const open = left.attempts.filter((id) => !left.finished.includes(id))
  const rows = await shop.database.read(async (reader) => ({
    open: await stillOpen(reader, open),
    keys: await reader.all(
      'select attempt from virtual_key where attempt in (select value from json_each(:list)) and revoked_at is null',
      { list },
    ),
    holds: await reader.all('select id from hold where id in (select value from json_each(:ids))', {
      ids: JSON.stringify(left.holds),
    }),
    uncharged: await reader.all(
      'select value from json_each(:ids) where value not in (select hold from charge where hold is not null)',
      { ids: JSON.stringify(left.holds) },
    ),
    sums: await reader.all(
      `select scope from account a where held_nano_usd <> (
         select coalesce(sum(h.input_nano_usd + h.output_nano_usd), 0) from hold h, json_each(h.scopes) s where s.value = a.scope)`,
    ),
  }))
  assert.deepEqual(rows, { open: [], keys: [], holds: [], uncharged: [], sums: [] })
}

/** Which of these attempts have not ended, or have a lease. */
const stillOpen = (reader: Reader, attempts: readonly string[]) =>
  reader.all(
    `select value as id from json_each(:list)
     where value in (select id from attempt where state <> 'ended') or value in (select attempt from lease)`,
    { list: JSON.stringify(attempts) },
  )

/** Finished work is taken in and folders of the dead are removed beside the first work of the next daemon, unless it is killed before it comes to that. */
async function checkReaped(shop: Rig, left: Remains, ended: Kept['ended']): Promise<void> {
  let isOver = false
  void ended.then(() => {
    isOver = true
    shop.look()
  })
  await shop.until('the areas of the dead to be removed', () => {
    const areas = new Set(readdirSync(shop.paths.areas))
    return Promise.resolve(isOver || left.areas.every((name) => !areas.has(name)))
  })
  await shop.until('finished work to be taken in', async (reader) =>
    isOver ? true : (await stillOpen(reader, left.finished)).length === 0,
  )
}

async function within<T>(what: Promise<T>, shop: Rig, name: string | (() => string)): Promise<T> {
  const late = Promise.withResolvers<never>()
  const cancel = world.timer.after(patienceMs, () => {
    shop.events().then(
      (events) =>
        late.reject(
          new Error(
            `waited in vain ${typeof name === 'string' ? name : name()}\n${events
              .slice(-30)
              .map((each) => JSON.stringify(each).slice(0, 200))
              .join('\n')}`,
          ),
        ),
      late.reject,
    )
  })
  try {
    return await Promise.race([what, late.promise])
  } finally {
    cancel()
  }
}

/** Every task is done, and is on the landing branch exactly once; whatever was given up after too many losses, a person has tried again. */
export async function landsAll({ shop, acknowledged }: Storm): Promise<void> {
  for (const id of acknowledged) {
    for (let tries = 0; ; tries++) {
      const task = await shop.state(id, 'done', 'escalated')
      if (task.phase === 'done') break
      assert.ok(tries < 5, `${id} is given up again and again: ${task.why}`)
      const typed = await shop.type('retry', id)
      assert.equal(typed.code, 0, typed.stderr)
    }
  }
  const subjects = (await shop.git('log', '--format=%s', 'main..tri-agent/landing')).split('\n')
  const titles = await Promise.all([...acknowledged].map(async (id) => (await shop.task(id)).title))
  assert.deepEqual(subjects.toSorted(), titles.toSorted(), 'each task has landed exactly once')
}

/** For whoever reads the suite's output: how often, and how fast it was there again. */
export function report(name: string, { kills, servingMs }: Storm): void {
  const sorted = servingMs.toSorted((a, b) => a - b)
  const say = (share: number) => `${Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0)} ms`
  process.stdout.write(
    `${name}: ${kills.length} kills; serving again after ${say(0.5)} (median), ${say(1)} (longest of ${sorted.length})\n`,
  )
}
