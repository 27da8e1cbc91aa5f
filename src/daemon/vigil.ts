/**
 * The vigil over one attempt: beats for its lease, and two clocks. Beats say that the owner lives; activity (agent events, output, wire bytes)
 * says that the work moves. Waiting in the gateway stops the silence clock, and so does absence. Both clocks are monotonic.
 */
import type { AgentEvent } from '../agent/agent.ts'
import { silenceMs } from '../core/patience.ts'
import type { Role, Task } from '../core/task.ts'
import type { Carried } from '../engine/engine.ts'
import { watchCircling } from './circling.ts'
import type { Daemon } from './daemon.ts'

/** Watches until `end`; revokes the attempt as `stalled`, `timed-out`, or `over-budget` where it goes in circles. */
export function keepVigil(daemon: Daemon, carried: Carried, task: Task, role: Role) {
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
  const forget = gateway.onActivity((attempt) => {
    if (attempt === carried.attempt) active() // bytes move, or the gateway holds the request back: either way it is not silent
  })
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
      active()
    },
    end() {
      ended = true
      cancel()
      forget()
    },
  }
}
