/**
 * The vigil over one attempt: beats for its lease, and two clocks. Beats say that the owner lives; activity (agent events, output, bytes of answers,
 * CPU of the tree) says that the work moves. Waiting for the gateway or the model stops the silence clock, and so does absence; an agent that only says
 * that it tries again is as good as silent. Both clocks are monotonic.
 */
import type { AgentEvent } from '../agent/agent.ts'
import { silenceMs } from '../core/patience.ts'
import type { Role, Task } from '../core/task.ts'
import type { Carried } from '../engine/engine.ts'
import { watchCircling } from './circling.ts'
import type { Daemon } from './daemon.ts'

/** Who waits is said to, at least so often: a longer pause was none. */
const waitingMs = 5000
/** Of one core. A program that only waits uses a hundredth. */
const busyShare = 0.1

/**
 * Said without doing anything: that it tries again, complaints, and words nobody knows, as a beat of a client's own would be. Whoever works shows that by
 * its CPU and by what it asks.
 */
const idle: ReadonlySet<AgentEvent['type']> = new Set(['retry', 'warning', 'unknown'])

/** Watches until `end`; revokes the attempt as `stalled`, `timed-out`, or `over-budget` where it goes in circles. */
export function keepVigil(
  daemon: Daemon,
  carried: Carried,
  task: Task,
  role: Role,
  /** Milliseconds of CPU that what is under way has used so far; null where that is not known. */
  cpuMs: () => number | null = () => null,
) {
  const { world, settings, engine, gateway, absence } = daemon
  const present = () => world.clock.mono() - absence.lostMs()
  const began = present()
  const window = silenceMs(task.size, settings.patience)
  const { wallMs } = settings.patience
  const longest = role === 'reviewer' ? Math.min(settings.review.reviewerMs, wallMs) : wallMs
  let activeAt = began
  let moved = false
  let ended = false
  const active = () => {
    activeAt = present()
    moved = true
  }
  let waitedAt = began
  const forget = gateway.onActivity((attempt, kind) => {
    if (attempt !== carried.attempt) return
    if (kind === 'bytes') return active()
    const now = present()
    if (now - waitedAt < waitingMs) activeAt = Math.min(now, activeAt + now - waitedAt) // the clock stands still meanwhile
    waitedAt = now
    moved = true
  })
  let worked = { at: began, cpuMs: 0 }
  /** Has the tree used so much CPU since the last look that it does something, and does not only wait? */
  const works = (now: number): boolean => {
    const used = cpuMs() ?? 0
    const isBusy = used - worked.cpuMs > busyShare * (now - worked.at)
    worked = { at: now, cpuMs: used }
    return isBusy
  }
  const circling = watchCircling({
    now: present,
    report: () => gateway.report(carried.attempt),
    pacerEmptyMs: () => gateway.pacerEmptyMs(),
  })
  let cancel = () => {}
  const look = () => {
    void absence.look().catch((error: unknown) => daemon.failed('absence', error))
    const now = present()
    if (now - began > longest) return engine.revoke(carried.attempt, 'timed-out')
    if (works(now)) active()
    if (now - activeAt > window) return engine.revoke(carried.attempt, 'stalled')
    if (circling.isWaste()) {
      const why = 'it goes in circles: nothing new for ten minutes, while others wait for the money it spends'
      void gateway
        .halt(carried.attempt, { scope: 'waste', why })
        .catch((error: unknown) => daemon.failed('vigil', error))
      return engine.revoke(carried.attempt, 'over-budget')
    }
    const wasMoved = moved
    moved = false
    void carried.beat(wasMoved).then(
      (alive) => {
        if (alive && !ended) cancel = world.timer.after(settings.lease.beatMs, look)
      },
      (error: unknown) => {
        void daemon.failed('vigil', error)
        if (!ended) cancel = world.timer.after(settings.lease.beatMs, look)
      },
    )
  }
  cancel = world.timer.after(Math.min(settings.lease.beatMs, window, longest), look)
  return {
    active,
    onAgentEvent(event: AgentEvent) {
      circling.onAgentEvent(event)
      if (!idle.has(event.type)) active()
    },
    end() {
      ended = true
      cancel()
      forget()
    },
  }
}
