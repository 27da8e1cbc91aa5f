/** An event as a sentence in plain words. Total: a type that is not here does not compile. */
import { sayScope } from '../core/day.ts'
import type { Event, TaskEvent } from '../core/event.ts'
import { gateLine } from '../core/gate.ts'
import { plural } from '../core/quantity.ts'
import { age, bytesText, money } from './format.ts'

/** What happened, without when and to whom. */
export function tell(event: Event): string {
  switch (event.type) {
    case 'repo.registered':
      return `repository ${event.name} registered: ${event.path}, from ${event.base}`
    case 'repo.trusted':
      return `${event.by} agreed to its commands`
    case 'daemon.started':
      return `daemon started: pid ${event.pid}, sandbox rung ${event.rung}, version ${event.version}`
    case 'daemon.stopped':
      return `daemon ended: ${event.why}`
    case 'daemon.resumed':
      return `away for ${age(event.awayMs)}: the machine slept, the daemon was stopped, or the clock was set; nothing was given up for it`
    case 'work.paused':
      return `paused ${thing(event)}${event.now ? ' at once' : ''}${event.why ? `: ${event.why}` : ''}`
    case 'work.resumed':
      return `resumed ${thing(event)}`
    case 'daemon.reaped':
      return tellReaped(event)
    case 'store.failed':
      return `the database could not be written: ${firstLine(event.why)}; nothing new started`
    case 'store.recovered':
      return `the database could be written again after ${age(event.awayMs)}`
    case 'store.restored':
      return `restored from ${event.file}, up to event ${event.from?.seq ?? 0}; ${plural(event.landings.length, 'landing')} since then recorded${event.money === 'counted' ? '' : ", today's budget counts as used"}`
    case 'log.adopted':
      return `the log goes on under the key ${event.key}; up to event ${event.last} it was sealed with ${event.before.join(', ')}, without which it is taken as it was found`
    case 'loop.failed':
      return `the ${event.loop} loop failed and goes on: ${firstLine(event.error)}`
    case 'breaker.tripped':
      return `the breaker tripped: ${event.why}`
    case 'family.closed':
      return `${event.family} is closed (${event.model}): ${event.why}`
    case 'family.opened':
      return `${event.family} is open again (${event.model})`
    case 'breaker.closed':
      return 'the breaker closed again'
    case 'budget.raised':
      return `${event.by} added ${money(event.byNanoUsd)} to ${sayScope(event.scope)}`
    case 'limits.changed':
      return `the settings changed: ${event.changed.map(({ limit, beforeNanoUsd, nanoUsd }) => `money.${limit} from ${moneyOrNone(beforeNanoUsd)} to ${moneyOrNone(nanoUsd)}`).join(', ')}`
    case 'spending.warned':
      return `a dear minute: ${money(event.minuteNanoUsd)}, a warning is due above ${money(event.warnNanoUsd)}`
    default:
      return tellTask(event)
  }
}

const moneyOrNone = (nanoUsd: number | null): string => (nanoUsd === null ? 'no limit' : money(nanoUsd))

function tellReaped({ found, count, unaccounted, bytes }: Extract<Event, { type: 'daemon.reaped' }>): string {
  const first = found[0] ? `: ${found[0].kind} ${found[0].name}${count > 1 ? '…' : ''}` : ''
  return `removed ${plural(count, 'leftover')} (${unaccounted} that nobody accounted for, ${bytesText(bytes)})${first}`
}

function tellTask(event: TaskEvent): string {
  switch (event.type) {
    case 'task.added':
      return `added: ${event.title} (${event.size} ${event.kind}, lane ${event.lane})`
    case 'task.planned':
      return `planned by ${event.family}: ${list(event.plan.files, 'files')}, ${event.plan.subTasks.length} parts`
    case 'task.split':
      return `split into ${event.children.join(', ')}`
    case 'task.joined':
      return 'all of its parts are done'
    case 'task.prioritized':
      return `put ${[event.lane && `into lane ${event.lane}`, event.override === null ? null : event.override ? 'before everything else' : 'back into its lane'].filter(Boolean).join(', ')}`
    case 'task.held':
      return `held${event.now ? ' at once' : ''}: ${event.why}`
    case 'task.released':
      return 'released'
    case 'task.delayed':
      return `waits: ${event.why}`
    case 'task.escalated':
      return `needs a person: ${event.why}`
    case 'task.retried':
      return `opened again at ${event.step}`
    case 'task.parked':
      return `parked${event.scope === 'daemon' ? '' : ` at ${sayScope(event.scope)}`}${event.archive ? ', its work kept' : ''}: ${event.why}`
    case 'task.resumed':
      return `goes on: ${event.why}`
    case 'task.budgeted':
      return `${event.by} lets it cost ${money(event.budgetNanoUsd)}`
    case 'task.cancelled':
      return `cancelled: ${event.why}`
    case 'task.approved':
      return `approved by ${event.by}: ${short(event.commit)} may land`
    case 'task.rejected':
      return `rejected by ${event.by}: ${event.why}`
    case 'task.returned':
      return `sent back by ${event.from}${event.rebase ? ' to start over from the tip' : ''}: ${firstLine(event.feedback)}`
    case 'task.reported':
      return `reported: ${firstLine(event.report)}`
    case 'task.landed':
      return `landed on ${event.target} as ${short(event.commit)}`
    case 'verdict.reached':
      return `round ${event.round} ${event.verdict}: ${event.why}`
    default:
      return tellWork(event)
  }
}

function tellWork(event: Exclude<TaskEvent, { type: `task.${string}` | `verdict.${string}` }>): string {
  switch (event.type) {
    case 'attempt.admitted':
      return `attempt ${event.token} may start: ${event.step}${event.family ? ` by ${event.family} (${event.model})` : ''}${event.because ? `, ${event.because}` : ''}`
    case 'attempt.started':
      return `${event.attempt} started on rung ${event.rung}`
    case 'attempt.ended':
      return `${event.attempt} ${event.outcome}${event.reason ? `: ${firstLine(event.reason)}` : ''}${event.costNanoUsd > 0 ? ` (${money(event.costNanoUsd)})` : ''}${event.killed !== null && event.killed.survivors > 0 ? `; of its processes ${event.killed.survivors} survived` : ''}`
    case 'candidate.taken':
      return `${event.family} handed over ${short(event.commit)}: ${list(event.files, 'files')}, +${event.added} −${event.removed}`
    case 'usage.drifted':
      return `${event.attempt}: its client counts ${event.drift} tokens than the wire saw: ${sum(event.said)}, not ${sum(event.wire)}`
    case 'tools.stripped':
      return `${event.attempt}: taken out of its requests, its provider would have done it: ${event.tools.join(', ')}`
    case 'tools.passed':
      return `${event.attempt}: its provider may, by your settings: ${event.tools.join(', ')}`
    case 'tools.used':
      return `${event.attempt}: its provider did by itself: ${Object.entries(event.uses)
        .map(([tool, uses]) => `${tool} ${uses} times`)
        .join(', ')} (${money(event.costNanoUsd)} beside the tokens)`
    case 'gates.finished':
      return `gates: ${gateLine(event.report) || 'none'}${event.report.reused ? ' (result of the same tree)' : ''}`
    case 'round.opened':
      return `review round ${event.round} of ${short(event.commit)}: ${event.policy.why}`
    case 'vote.cast':
      return `${event.family} reviewed: ${list(
        event.findings.map(({ claim }) => claim),
        'findings',
      )}`
    case 'advice.given':
      return `${event.family} advised, which does not count: ${firstLine(event.summary)}`
    case 'finding.checked':
      return `${event.finding} ${event.verdict} by ${event.by}: ${firstLine(event.evidence)}`
    case 'landing.intended':
      return `lands ${short(event.commit)} on ${event.target}`
    case 'landing.refused':
      return `could not land: ${event.why}`
  }
}

const thing = ({ what, name }: { what: string; name: string }): string =>
  what === 'all' ? 'everything' : `${what === 'repo' ? 'repository' : what} ${name}`

const sum = (tokens: { input: number; cachedInput: number; cacheWrite: number; output: number }): number =>
  tokens.input + tokens.cachedInput + tokens.cacheWrite + tokens.output

const short = (sha: string): string => sha.slice(0, 9)

const firstLine = (text: string): string => {
  const [first = '', ...rest] = text.trim().split('\n')
  return rest.length > 0 ? `${first} …` : first
}

const list = (words: readonly string[], what: string): string =>
  words.length === 0
    ? `no ${what}`
    : words.length > 3
      ? `${words.slice(0, 3).join(', ')} and ${words.length - 3} more`
      : words.join(', ')
