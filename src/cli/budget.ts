/** budget: what may be spent and what was; set and raise it; let parked work go on. */
import type { Raised } from '../command/budget.ts'
import { limitOf } from '../core/budget.ts'
import { dayOf, dayStepOf, utcOf, familyDay, partOfDay, repoDay } from '../core/day.ts'
import { breakerEdge } from '../core/breaker.ts'
import { forecastDay } from '../core/forecast.ts'
import { suggestion } from '../core/nearest.ts'
import { levelAt } from '../core/pacer.ts'
import { parseUsd, plural, showUsd } from '../core/quantity.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { loadConfig } from '../host/config.ts'
import { nudge } from '../host/nudge.ts'
import type { Database, Reader } from '../store/database.ts'
import { accountOf, partsOf, raisedFor, totalsBy } from '../store/account.ts'
import { lastSeq, readLastLog, readLog } from '../store/log.ts'
import { readPacing, readSpending, spentLately } from '../store/pace.ts'
import { countTasks, listRepos } from '../store/task.ts'
import { ask } from './ask.ts'
import { answer, withDatabase, type Act, type Context, type Said } from './context.ts'
import { money, table } from './format.ts'
import { findRepository } from './repository.ts'
import { tell } from './tell.ts'

const settable = ['day', 'task', 'minute', 'burst', 'warn'] as const
type Settable = (typeof settable)[number]

export const budget: Act = (context, said) =>
  withDatabase(context, async (database) => {
    const loaded = await loadConfig({ file: context.paths.configFile, env: context.env })
    if (isRefusal(loaded)) return loaded
    const { settings } = loaded
    switch (said.args[0] ?? 'status') {
      case 'set':
        return set(context, said)
      case 'raise':
        return raise(context, database, said, settings)
      case 'resume':
        return resume(context, database, said)
      case 'history':
        return history(context, database)
      case 'forecast':
        return forecast(context, database, settings)
      default:
        return status(context, database, settings)
    }
  })

type Money = OperatorSettings['money']

async function readStatus(reader: Reader, { dayNanoUsd, taskNanoUsd, warnNanoUsd }: Money, at: number) {
  const scope = `day/${dayOf(at)}`
  const day = await accountOf(reader, scope)
  const limitNanoUsd = Math.min(dayNanoUsd + (await raisedFor(reader, scope)), Number.MAX_SAFE_INTEGER)
  const usedNanoUsd = (day?.spent ?? 0) + (day?.held ?? 0)
  const { pace, level, breaker } = await readPacing(reader)
  const { committedNanoUsd, heldNanoUsd } = await readSpending(reader, at)
  const forecast = forecastDay({ usedNanoUsd, limitNanoUsd }, await spentLately(reader, at), at)
  return {
    day: {
      spentNanoUsd: day?.spent ?? 0,
      heldNanoUsd: day?.held ?? 0,
      limitNanoUsd,
      step: dayStepOf(usedNanoUsd, limitNanoUsd),
      forecast,
    },
    minute: {
      spentNanoUsd: committedNanoUsd,
      heldNanoUsd,
      limitNanoUsd: pace?.minuteNanoUsd ?? null,
      burstNanoUsd: pace?.burstNanoUsd ?? null,
      levelNanoUsd: pace === null ? null : levelAt(level, pace, at) - heldNanoUsd,
      edgeNanoUsd: pace === null ? null : breakerEdge(pace),
      warnNanoUsd,
    },
    breaker,
    drift: await readDrift(reader, at),
    taskNanoUsd,
    parked: (await countTasks(reader))['parked'] ?? 0,
  }
}

/** What of today repositories and families have spent, and may; those that have a limit or spent something. */
async function readParts(reader: Reader, limits: Money, at: number) {
  const day = dayOf(at)
  const accounts = await partsOf(reader, day)
  const read = (name: string, scope: string, usual: number | null) => {
    const account = accounts.get(scope)
    const limitNanoUsd = usual === null ? null : Math.min(usual + (account?.raised ?? 0), Number.MAX_SAFE_INTEGER)
    const [spentNanoUsd, heldNanoUsd] = [account?.spent ?? 0, account?.held ?? 0]
    const isShown = limitNanoUsd !== null || spentNanoUsd + heldNanoUsd > 0
    const step = dayStepOf(spentNanoUsd + heldNanoUsd, limitNanoUsd)
    return isShown ? [{ name, spentNanoUsd, heldNanoUsd, limitNanoUsd, step }] : []
  }
  const spending = [...accounts.keys()].flatMap((scope) => partOfDay(scope) ?? [])
  const families = [
    ...Object.keys(limits.familiesNanoUsd),
    ...spending.flatMap(({ of, name }) => (of === 'family' ? [name] : [])),
  ]
  return {
    repositories: (await listRepos(reader)).flatMap(({ id, name }) =>
      read(name, repoDay(day, id), limitOf(limits.repositoriesNanoUsd, name)),
    ),
    families: [...new Set(families)].flatMap((family) =>
      read(family, familyDay(day, family), limitOf(limits.familiesNanoUsd, family)),
    ),
  }
}

function tellParts({ repositories, families }: Awaited<ReturnType<typeof readParts>>): string[] {
  const all = [
    ...repositories.map((each) => ({ ...each, what: 'repository' })),
    ...families.map((each) => ({ ...each, what: 'family' })),
  ]
  return all.map(({ what, name, spentNanoUsd, heldNanoUsd, limitNanoUsd, step }) => {
    const held = heldNanoUsd > 0 ? `, ${money(heldNanoUsd)} held` : ''
    const used = spentNanoUsd + heldNanoUsd
    const of = limitNanoUsd === null ? '' : ` of ${money(limitNanoUsd)} (${shareOf(used, limitNanoUsd)} %)`
    return `         ${what} ${name}: ${money(spentNanoUsd)} spent${held}${of}${stepWords[step]}`
  })
}

const shareOf = (usedNanoUsd: number, limitNanoUsd: number): number =>
  limitNanoUsd === 0 ? 100 : Math.floor((100 * usedNanoUsd) / limitNanoUsd)

/** The alarm looks at the last day, and never through a log of years. */
const alarmMs = 86_400_000
const alarmEvents = 20_000

/** Attempts of the last day whose clients' own counts do not agree with the wire. */
async function readDrift(reader: Reader, at: number) {
  const after = Math.max(0, (await lastSeq(reader)) - alarmEvents)
  const found = await readLog(reader, { after, since: at - alarmMs, types: ['usage.drifted'], limit: 1000 })
  const ways = found.flatMap(({ event }) => (event.type === 'usage.drifted' ? [event.drift] : []))
  const [more, less] = (['more', 'less'] as const).map((way) => ways.filter((each) => each === way).length)
  return { more: more!, less: less!, task: found.at(-1)?.stream.slice('task/'.length) ?? null }
}

function tellDrift({ more, less, task }: Awaited<ReturnType<typeof readDrift>>): string[] {
  if (task === null) return []
  const ways = [
    ...(more > 0
      ? [`${plural(more, 'attempt')} count more tokens than the wire saw: something may be asked past it`]
      : []),
    ...(less > 0 ? [`${plural(less, 'attempt')} count less than half of what the wire saw`] : []),
  ]
  return [`Drift    since yesterday the clients of ${ways.join('; of ')} (last: tri-agent show ${task})`]
}

async function status(context: Context, database: Database, { money: limits }: OperatorSettings): Promise<number> {
  const at = context.world.clock.now()
  const now = await database.read(async (reader) => ({
    ...(await readStatus(reader, limits, at)),
    ...(await readParts(reader, limits, at)),
  }))
  const { day, minute, breaker, parked } = now
  const share = shareOf(day.spentNanoUsd + day.heldNanoUsd, day.limitNanoUsd)
  const held = day.heldNanoUsd > 0 ? `, ${money(day.heldNanoUsd)} held` : ''
  const lines = [
    `Today    ${money(day.spentNanoUsd)} spent${held} of ${money(day.limitNanoUsd)} (${share} %)${stepWords[day.step]}`,
    `         ${tellForecast(day.forecast)}`,
    ...tellParts(now),
    minute.limitNanoUsd === null
      ? 'Minute   not paced: the daemon has not been up yet'
      : `Minute   ${money(minute.spentNanoUsd)} in the last one; ${money(minute.limitNanoUsd)} a minute pass, ${money(Math.max(0, minute.levelNanoUsd!))} of ${money(minute.burstNanoUsd!)} at once now`,
    breaker === null
      ? 'Breaker  closed'
      : `Breaker  tripped ${utcOf(breaker.trippedAt)}: ${breaker.why}\n         closes by itself once a minute is cheap again; at once: tri-agent budget resume`,
    `Task     ${money(now.taskNanoUsd)} each, where none was given a budget of its own`,
    ...tellDrift(now.drift),
    ...(parked > 0 ? [`Parked   ${plural(parked, 'task')}: tri-agent list --state parked`] : []),
  ]
  return answer(context, now, lines.join('\n'))
}

async function forecast(context: Context, database: Database, { money: limits }: OperatorSettings): Promise<number> {
  const { day } = await database.read((reader) => readStatus(reader, limits, context.world.clock.now()))
  return answer(context, { forecast: day.forecast }, tellForecast(day.forecast))
}

const stepWords = {
  open: '',
  'background-stops': ': background work stops, one slot stays',
  'normal-stops': ': only critical work starts',
  closed: ': nothing new starts',
} as const

function tellForecast(forecast: ReturnType<typeof forecastDay>): string {
  if (forecast === null) return 'nothing was spent lately'
  const rate = `${money(forecast.hourNanoUsd)} an hour lately`
  return forecast.endsAt === null
    ? `${rate}: that outlasts the day`
    : `${rate}: at this rate the day ends at ${utcOf(forecast.endsAt).slice(11)}`
}

function amountIn(said: Said, example: string, index = 2): number | Refusal {
  const written = said.args[index]
  const nanoUsd = written === undefined ? null : parseUsd(written)
  if (nanoUsd !== null && nanoUsd > 0) return nanoUsd
  return refuse(
    'bad-amount',
    `${written === undefined ? 'no amount is said' : `${JSON.stringify(written)} is no amount of dollars`}`,
    example,
  )
}

async function raise(
  context: Context,
  database: Database,
  said: Said,
  settings: OperatorSettings,
): Promise<number | Refusal> {
  const { money: limits } = settings
  const whose = said.args[1]
  if (whose === undefined)
    return refuse('no-scope', 'say what to raise: a task, day, repository or family', 'tri-agent budget raise day 20')
  if (whose === 'repository' || whose === 'family') return raisePart(context, database, said, settings)
  const by = amountIn(said, `tri-agent budget raise ${whose} 5`)
  if (isRefusal(by)) return by
  const { said: raised, heard } =
    whose === 'day'
      ? await ask(context, database, 'raiseDay', by, limits.dayNanoUsd)
      : await ask(context, database, 'raiseTask', whose, by, limits.taskNanoUsd)
  if (isRefusal(raised)) return raised
  return tellRaised(context, raised, heard, raised.scope)
}

function tellRaised(context: Context, raised: Raised, heard: boolean, what: string): number {
  const { resumed } = raised
  const goesOn = resumed.length === 0 ? '' : ` ${resumed.join(', ')} ${resumed.length === 1 ? 'goes' : 'go'} on.`
  const text = `${what} may cost ${money(raised.limitNanoUsd)} now.${goesOn}`
  return answer(context, { ...raised, daemonHeard: heard }, text)
}

/** `raise repository NAME 5`, `raise family NAME 5`: today's limit of one of them. */
async function raisePart(
  context: Context,
  database: Database,
  said: Said,
  settings: OperatorSettings,
): Promise<number | Refusal> {
  const [, whose, written] = said.args
  const what =
    whose === 'repository'
      ? ({ of: 'repo', key: 'repositories' } as const)
      : ({ of: 'family', key: 'families' } as const)
  if (written === undefined) return refuse('no-scope', `say which ${whose}`, `tri-agent budget raise ${whose} NAME 5`)
  const repo = what.of === 'repo' ? await database.read((reader) => findRepository(reader, context, written)) : null
  if (isRefusal(repo)) return repo
  const name = repo?.name ?? written
  if (what.of === 'family' && !Object.hasOwn(settings.families, name))
    return refuse('no-such-family', `${name} is no configured family`, suggestion(name, Object.keys(settings.families)))
  const usual = limitOf(settings.money[`${what.key}NanoUsd`], name)
  if (usual === null)
    return refuse(
      'no-limit',
      `${whose} ${name} has no limit of its own: only the day's holds for it`,
      `give it one: money.${what.key}.${name} in ${context.paths.configFile}`,
    )
  const by = amountIn(said, `tri-agent budget raise ${whose} ${name} 5`, 3)
  if (isRefusal(by)) return by
  const { said: raised, heard } = await ask(
    context,
    database,
    'raisePart',
    { of: what.of, name: repo?.id ?? name },
    by,
    usual,
  )
  if (isRefusal(raised)) return raised
  return tellRaised(context, raised, heard, `Today ${whose} ${name}`)
}

async function resume(context: Context, database: Database, said: Said): Promise<number | Refusal> {
  const named = said.args[1]
  if (named !== undefined) {
    const { said: task, heard } = await ask(context, database, 'resumeTask', named)
    if (isRefusal(task)) return task
    return answer(context, { resumed: [task.id], daemonHeard: heard }, `${task.id} goes on at ${task.step}.`)
  }
  const { said: resumed, heard } = await ask(context, database, 'closeBreaker')
  if (isRefusal(resumed)) return { ...resumed, hint: 'tri-agent budget, or tri-agent budget resume TASK' }
  const rest = resumed.length === 0 ? '' : ` ${resumed.join(', ')} ${resumed.length === 1 ? 'goes' : 'go'} on.`
  return answer(context, { resumed, daemonHeard: heard }, `The breaker is closed.${rest}`)
}

/** Settings are the operator's file and nothing else: `set` writes there. */
async function set(context: Context, said: Said): Promise<number | Refusal> {
  const whose = said.args[1]
  if (!settable.includes(whose as Settable))
    return refuse('no-scope', `say what to set: ${settable.join(', ')}`, 'tri-agent budget raise TASK 5, for one task')
  const nanoUsd = amountIn(said, `tri-agent budget set ${whose} 5`)
  if (isRefusal(nanoUsd)) return nanoUsd
  const { writeSetting } = await import('../host/setting-file.ts')
  const written = await writeSetting(context.paths.configFile, ['money', whose!], showUsd(nanoUsd))
  if (isRefusal(written)) return written
  const heard = await nudge(context.paths.socket)
  const now = heard ? ' The daemon goes by it from now on.' : ''
  return answer(
    context,
    { key: `money.${whose}`, nanoUsd, file: context.paths.configFile, daemonHeard: heard },
    `money.${whose} is ${showUsd(nanoUsd)} in ${context.paths.configFile}.${now}`,
  )
}

const daysShown = 14

async function history(context: Context, database: Database): Promise<number> {
  const { days, events } = await database.read(async (reader) => ({
    days: (await totalsBy(reader, 'day')).toSorted((a, b) => (a.name < b.name ? 1 : -1)).slice(0, daysShown),
    events: await readLastLog(reader, { stream: 'budget/main', since: 0, limit: 20 }),
  }))
  const rows = days.map(({ name, requests, nanoUsd }) => [name, money(nanoUsd), String(requests)])
  const text = [
    days.length === 0 ? 'Nothing was spent.' : table(['day', 'cost', 'requests'], rows, context.columns),
    ...events.map(({ at, event }) => `${utcOf(at)}  ${tell(event)}`),
  ]
  return answer(context, { days, events }, text.join('\n'))
}
