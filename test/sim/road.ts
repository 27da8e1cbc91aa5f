/** Laws of the road: what was put off waits for its time, nothing is tried or sent back for ever, and what a person stopped at once ends. */
import { isFrozen, type Machine } from './machine.ts'
import { broken, type Heard, type Law, type Rules, type Seen } from './table.ts'

const minute = 60_000
const day = 24 * 60 * minute
/** So often is one step tried, and work sent back, before a person is asked. */
const mostTries = 3
const mostReturns = 3
/**
 * So long may what a person stopped at once go on: the dispatcher rests after a failure (daemon/loop.ts), a program has time to end by itself (stage/ask.ts),
 * then to be gone (sandbox/companion.ts), and a daemon that is ending waits for what it hands over (no `stop` of a story is more patient).
 */
const endingMs = 30_000 + 2000 + 15_000 + minute
/**
 * So long may it still pass whose program had ended by itself: it is taken in and written down, for which git is asked fewer than a dozen times, and it
 * answers within 1.5 s (house.ts). Whatever still has to be executed is not, once it is stopped.
 */
const passingMs = 12 * 1500
/** So long may a machine be too small before nothing more starts on it: six looks (daemon/machine.ts). */
const noticeMs = minute

type Way = {
  notBefore: number | null
  parked: { scope: string; until: number | null } | null
  returns: number
  failures: Map<string, number>
  rounds: number
  heldNow: boolean
}
/** `since`: monotonic ms from which on it should have been ending; `patienceMs`: more, where somebody has to find out that it is there. */
type Attempt = { task: Seen; step: string; family: string | null; since: number | null; patienceMs: number }

export function roadLaws(machine: Machine, { floorMs }: Rules): Law {
  const ways = new Map<string, Way>()
  const attempts = new Map<string, Attempt>()
  const now = () => machine.world.clock.mono()
  const stopped = new Set<string>()
  let isTripped = false

  const isStopped = ({ task, family }: Pick<Attempt, 'task' | 'family'>): boolean =>
    task.phase === 'cancelled' ||
    (task.intent === null &&
      ((task.held && ways.get(task.id)!.heldNow) ||
        ['all all', `lane ${task.lane}`, `repo ${task.repo}`, `family ${family}`].some((each) => stopped.has(each))))

  const judgeStart = ({ row, event }: Heard, task: Seen, way: Way): void => {
    if (event.type !== 'attempt.admitted') return
    const { attempt, step, family } = event
    if (way.notBefore !== null && row.at < way.notBefore)
      broken(`${attempt} was admitted for ${task.id} ${way.notBefore - row.at} ms before its time`)
    if ((way.failures.get(step) ?? 0) >= mostTries)
      broken(`${task.id} tries to ${step} once more, and nobody asked for it`)
    if (isTripped && family !== null) broken(`${attempt} was admitted while the breaker was tripped`)
    const { since, until } = machine.memoryShort
    const hasLooked = (machine.sleeps.at(-1)?.at ?? -1) < since
    if (hasLooked && now() > since + noticeMs && now() < until)
      broken(`${attempt} was admitted on a machine without memory`)
    if (machine.isDraining) broken(`${attempt} was admitted by a daemon that ends`)
    way.notBefore = null
    attempts.set(attempt, { task, step, family, since: null, patienceMs: 0 })
  }
  const judgeResume = ({ row }: Heard, task: Seen, { parked }: Way): void => {
    if (row.actor !== 'daemon' || parked === null || parked.scope === 'daemon') return
    if (parked.until === null || row.at < parked.until) broken(`${task.id} went on by itself before its time`)
  }
  const judgePark = ({ row, event }: Heard, task: Seen): void => {
    if (event.type !== 'task.parked' || !event.scope.startsWith('day/')) return
    const { until } = event
    if (until === null || until <= row.at || until > row.at + day || until % day !== 0)
      broken(`${task.id} is parked at a day's limit, and not until the next day: ${until}`)
  }
  const note = ({ row, event }: Heard, task: Seen, way: Way): void => {
    switch (event.type) {
      case 'task.delayed':
        way.notBefore = event.until
        return
      case 'task.parked':
        way.parked = { scope: event.scope, until: event.until }
        return
      case 'task.resumed':
        if (way.parked !== null) way.notBefore = null
        way.parked = null
        return
      case 'task.retried':
        if (!row.actor.startsWith('person:')) broken(`${task.id} was tried again by ${row.actor}`)
        way.notBefore = null
        way.returns = 0
        way.failures.clear()
        return
      case 'task.returned':
      case 'task.rejected':
        way.notBefore = null
        way.returns += 1
        way.failures.clear()
        if (event.type === 'task.returned' && way.returns > mostReturns)
          broken(`${task.id} was sent back ${way.returns} times, and nobody was asked`)
        return
      case 'task.planned':
      case 'candidate.taken':
        way.failures.clear()
        return
      case 'round.opened':
        if (event.round <= way.rounds) broken(`round ${event.round} of ${task.id} comes after round ${way.rounds}`)
        way.rounds = event.round
        way.failures.clear()
        return
      case 'task.held':
        way.heldNow = event.now === true
        return
      case 'landing.intended':
        if (isStopped({ task, family: null })) broken(`${task.id} is about to land, and a person has stopped it`)
        return
      default:
    }
  }
  const ended = ({ event }: Heard, way: Way): void => {
    if (event.type !== 'attempt.ended') return
    const { step, since, patienceMs } = attempts.get(event.attempt)!
    attempts.delete(event.attempt)
    if (event.outcome === 'passed' && since !== null && now() - since > passingMs + patienceMs)
      broken(`${event.attempt} passed ${Math.round((now() - since) / 1000)} s after a person stopped it`)
    if (!['passed', 'killed', 'lost', 'over-budget', 'rate-limited'].includes(event.outcome))
      way.failures.set(step, (way.failures.get(step) ?? 0) + 1)
  }
  return {
    hear(heard) {
      const { event, task } = heard
      if (event.type === 'breaker.tripped') isTripped = true
      if (event.type === 'breaker.closed') isTripped = false
      if (event.type === 'work.paused') stopped[event.now ? 'add' : 'delete'](`${event.what} ${event.name}`)
      if (event.type === 'work.resumed') stopped.delete(`${event.what} ${event.name}`)
      if (event.type === 'task.added')
        ways.set(event.task, {
          notBefore: null,
          parked: null,
          returns: 0,
          failures: new Map(),
          rounds: 0,
          heldNow: false,
        })
      const way = task && ways.get(task.id)
      if (!way) return
      judgeStart(heard, task, way)
      if (event.type === 'task.resumed') judgeResume(heard, task, way)
      judgePark(heard, task)
      note(heard, task, way)
      ended(heard, way)
    },
    /** What is to end at once does, unless it cannot: its daemon is away, the disk full, its worker frozen, or it hangs in the kernel. */
    look() {
      const isUnwell = machine.gateway === null || machine.diskFullUntil + minute > now()
      const lastSleep = machine.sleeps.at(-1)?.at ?? 0
      for (const [attempt, each] of attempts) {
        const isHanging = [...machine.processes.values()].some(
          (process) => process.attempt === attempt && process.stuckUntil > now(),
        )
        const isAlone = isUnwell || isHanging || isFrozen(machine, attempt) || machine.beatsLostUntil > now()
        if (isAlone) each.patienceMs = floorMs
        if (isAlone || !isStopped(each)) each.since = null
        else if (each.since === null || lastSleep >= each.since) each.since = now()
        else if (now() - each.since > endingMs + each.patienceMs)
          broken(`${attempt} goes on ${Math.round((now() - each.since) / 1000)} s after a person stopped it`)
      }
    },
    end() {},
  }
}
