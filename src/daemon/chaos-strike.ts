/**
 * The storm: whichever daemon stands now, the blows that hit it, and what must be true each time the next one serves. It knows by itself which processes were
 * there when a daemon died: all of them must be gone once the next one serves.
 */
import { statfsSync } from 'node:fs'
import { describeProcess, takeCensus } from '../host/census.ts'
import { isAlive, killProcess, signalProcess, type ProcessIdentity } from '../host/proc.ts'
import { descendantsOf } from '../host/process-tree.ts'
import { capture } from '../host/process.ts'
import { allLeases, recordedProcesses } from '../store/lease.ts'
import { readLastLog } from '../store/log.ts'
import type { Blow, Powers, Victim } from './chaos-blow.ts'
import type { Mortal, Scene } from './chaos-scene.ts'

export type Storm = {
  /** What should not have been, in the order it was met. */
  problems: string[]
  servingMs: number[]
  /** False where there was nothing to hit. */
  strike(blow: Blow): Promise<boolean>
  /** Everything works again, and a daemon serves. */
  calm(): Promise<void>
  /** What the daemon that stands now has said. */
  said(): string
  /** Asks the daemon to end, waits until it has, and accounts for what it left. */
  stop(): Promise<void>
  /** Nothing of it goes on. */
  end(): Promise<void>
}

const lookMs = 20
/** A start, an end, an attempt that is to begin: what takes longer hangs, however busy the machine is. */
const patienceMs = 60_000
/** What a dead daemon had started and was not told of ends by itself, or is ended by the next; git may have to finish. */
const remainsMs = 10_000
/** How long an attempt may be waited for before something else is done. */
const workMs = 5000
/** Something is to be done between two blows, or all that is ever killed has just begun: an attempt comes to its end, or this long. */
const breathMs = 1200
/** A virtual size: what of it is used is a few megabytes. Work is let in from 2 GB on. */
export const roomKilobytes = 4 * 1024 * 1024

type Ports = { scene: Scene; powers: Powers; alone: boolean }

export function startStorm({ scene, powers, alone }: Ports): Storm {
  const { world, database } = scene
  const problems: string[] = []
  const servingMs: number[] = []
  let present: Mortal | null = null
  /** What was there when daemons died, and must be gone once the next serves. */
  let remains: ProcessIdentity[] = []
  /** The daemon was told to end, or cannot stand: its end is no surprise. */
  const expected = new Set<number>()

  const until = async (look: () => boolean | Promise<boolean>, mostMs: number): Promise<boolean> => {
    for (const began = world.clock.mono(); ; await world.timer.sleep(lookMs)) {
      if (await look()) return true
      if (world.clock.mono() - began > mostMs) return false
    }
  }
  const start = async (): Promise<Mortal> => {
    const started = await scene.start()
    present = started
    void started.ended.then(({ code, signal }) => {
      if (!expected.has(started.pid))
        problems.push(`a daemon that nobody told to ended by itself: ${signal ?? code}\n${started.said()}`)
      if (present === started) present = null
    })
    return started
  }
  /** Dead or ended: what is left of it is written down. */
  const bury = async (dead: Mortal): Promise<void> => {
    if (!(await until(dead.isOver, patienceMs))) {
      problems.push(`the daemon (pid ${dead.pid}) did not end:\n${dead.said()}`)
      killProcess(dead.pid)
      await dead.ended
    }
    if (present === dead) present = null
    remains = [...new Map([...remains, ...takeCensus(scene.folder, alone)].map((each) => [each.pid, each])).values()]
  }
  const kill = async (victim: Mortal): Promise<void> => {
    expected.add(victim.pid)
    killProcess(victim.pid)
    await bury(victim)
  }
  const account = async (): Promise<void> => {
    const left = () => remains.filter(isAlive)
    if (!(await until(() => left().length === 0, remainsMs)))
      for (const each of left()) {
        problems.push(
          `outlived its daemon by more than ${remainsMs / 1000} s after the next one served: ${describeProcess(each)}`,
        )
        killProcess(each.pid)
      }
    remains = []
  }
  const serve = async (): Promise<Mortal> => {
    if (present) return present
    const started = await start()
    const late = new AbortController()
    const ms = await Promise.race([started.serving, world.timer.sleep(patienceMs, late.signal).then(() => patienceMs)])
    late.abort()
    if (ms === null || ms >= patienceMs) throw new Error(`a daemon does not serve:\n${started.said()}`)
    servingMs.push(ms)
    await account()
    return started
  }
  /** The outermost process of an attempt that is under way, or null. */
  const findWork = async (): Promise<{ attempt: string; pid: number } | null> => {
    let found: { attempt: string; pid: number } | null = null
    await until(async () => {
      const rows = await database.read(recordedProcesses)
      found = rows.find((row) => isAlive({ bootId: row.boot_id, pid: row.pid, startTime: row.start_time })) ?? null
      return found !== null
    }, workMs)
    return found
  }
  let ended = 0
  const breathe = async (): Promise<void> => {
    const now = async () =>
      (await database.read((reader) => readLastLog(reader, { types: ['attempt.ended'], limit: 1 })))[0]?.seq ?? 0
    await until(async () => (await now()) > ended, breathMs)
    ended = await now()
  }
  const hit = async (blow: Exclude<Blow, { what: 'provider' | 'full disk' | 'blackout' }>): Promise<boolean> => {
    if (blow.what === 'kill' && blow.starting) {
      if (present) await kill(present)
      const started = await start()
      await world.timer.sleep(blow.afterMs)
      await kill(started)
      return true
    }
    const daemon = await serve()
    await breathe()
    const work = await findWork()
    await world.timer.sleep(blow.afterMs)
    if (present !== daemon) return false
    const pids = blow.whom === 'daemon' ? [daemon.pid] : work ? victims(work.pid, blow) : []
    if (pids.length === 0) return false
    if (blow.whom === 'daemon') return hitDaemon(blow, daemon)
    if (blow.what !== 'freeze') {
      if (!pids.some((pid) => signalProcess(pid, blow.what === 'kill' ? 'SIGKILL' : 'SIGTERM'))) return false
      return endOf(work!.attempt)
    }
    if (pids.filter((pid) => signalProcess(pid, 'SIGSTOP')).length === 0) return false
    await world.timer.sleep(blow.forMs)
    if (!blow.thaws) await kill(daemon)
    else for (const pid of pids) signalProcess(pid, 'SIGCONT')
    return true
  }
  /** What was hit ends, or has ended by itself: in either case its lease is given back. */
  const endOf = async (attempt: string): Promise<boolean> => {
    const isOver = async () => !(await database.read(allLeases)).some((lease) => lease.attempt === attempt)
    if (!(await until(isOver, patienceMs))) problems.push(`${attempt} was hit and does not end`)
    return true
  }
  const hitDaemon = async (
    blow: Exclude<Blow, { what: 'provider' | 'full disk' | 'blackout' }>,
    daemon: Mortal,
  ): Promise<boolean> => {
    if (blow.what === 'freeze') {
      signalProcess(daemon.pid, 'SIGSTOP')
      await world.timer.sleep(blow.forMs)
      if (!blow.thaws) await kill(daemon)
      else signalProcess(daemon.pid, 'SIGCONT')
      return true
    }
    if (blow.what === 'kill') await kill(daemon)
    else await terminate(daemon, blow.twice)
    return true
  }
  const isStopped = async (): Promise<boolean> => {
    const types = ['daemon.started', 'daemon.stopped'] as const
    const [last] = await database.read((reader) => readLastLog(reader, { types, limit: 1 }))
    return last?.event.type === 'daemon.stopped'
  }
  const terminate = async (daemon: Mortal, twice: boolean): Promise<void> => {
    expected.add(daemon.pid)
    signalProcess(daemon.pid, 'SIGTERM')
    if (twice) {
      await world.timer.sleep(lookMs)
      signalProcess(daemon.pid, 'SIGINT') // two of one kind may arrive as one
    }
    await bury(daemon)
    const { code, signal } = await daemon.ended
    // told again in its last moment, when it hears nothing any more: that it had ended is in the log
    const isLate = twice && signal === 'SIGINT' && (await isStopped())
    if (code !== 0 && !isLate) problems.push(`told to end, the daemon ended with ${signal ?? code}:\n${daemon.said()}`)
    await account()
  }
  const fillDisk = async ({ kills, forMs }: Blow & { what: 'full disk' }): Promise<boolean> => {
    const daemon = await serve()
    await findWork()
    await shrink(scene)
    await scene.keepBusy((await scene.unfinished()).length + 1)
    await world.timer.sleep(forMs)
    if (kills && present === daemon) {
      await kill(daemon)
      const again = await start() // it may not stand, and need not
      expected.add(again.pid)
      await world.timer.sleep(forMs)
      if (!again.isOver()) await kill(again)
      else await bury(again)
    }
    await resize(scene, roomKilobytes)
    return true
  }
  const blackOut = async (forMs: number): Promise<boolean> => {
    await serve()
    await findWork()
    await command(scene, 'ip', 'link', 'set', 'lo', 'down')
    await world.timer.sleep(forMs)
    await command(scene, 'ip', 'link', 'set', 'lo', 'up')
    return true
  }
  return {
    problems,
    servingMs,
    strike(blow) {
      if (blow.what === 'provider') {
        scene.proxy.order(blow.trouble, blow.times)
        return Promise.resolve(true)
      }
      if (blow.what === 'full disk') return fillDisk(blow)
      return blow.what === 'blackout' ? blackOut(blow.forMs) : hit(blow)
    },
    async calm() {
      scene.proxy.calm()
      if (powers.disk) await resize(scene, roomKilobytes)
      if (powers.network) await command(scene, 'ip', 'link', 'set', 'lo', 'up')
      await serve()
    },
    said: () => present?.said() ?? '',
    async stop() {
      await terminate(await serve(), false)
    },
    async end() {
      if (present) await kill(present)
      for (const each of takeCensus(scene.folder, alone)) killProcess(each.pid)
    },
  }
}

/** Of an attempt's tree: its outermost process, or the one deepest in it. A worker is frozen with all it started: nothing of it hears that the daemon died. */
function victims(pid: number, { what, whom }: { what: string; whom: Victim }): number[] {
  const below = descendantsOf(pid)
  if (whom === 'worker') return what === 'freeze' ? [pid, ...below] : [pid]
  return below.slice(-1)
}

/** As small as it can be: others write meanwhile, and a size below what is used is refused. */
async function shrink(scene: Scene, more = 0): Promise<void> {
  const { blocks, bfree, bsize } = statfsSync(scene.folder)
  const used = Math.ceil(((blocks - bfree) * bsize) / 1024)
  const failed = await resize(scene, used + more).then(
    () => null,
    (error: Error) => error,
  )
  if (failed !== null && more > 4096) throw failed
  if (failed !== null) await shrink(scene, more + 16)
}

const resize = (scene: Scene, kilobytes: number): Promise<void> =>
  command(scene, 'mount', '-o', `remount,size=${kilobytes}k`, scene.folder)

async function command({ world, env }: Scene, file: string, ...args: string[]): Promise<void> {
  const own = { ...env, PATH: `${env['PATH']}:/usr/sbin:/sbin` }
  const done = await capture(world.spawn, { file, args, cwd: '/', env: own })
  if (done.code !== 0) throw new Error(`${file} ${args.join(' ')}: ${done.stderr.trim()}`)
}
