/**
 * Torture: whole daemons on a virtual clock, story after story, until the time or the days are used up. Fails when a story breaks (and then says how to
 * tell it again, as short as it could be made), when a seed told twice is not the same story, when fewer days were managed than the floor, or when
 * a shipped module was never entered.
 */
import { createHash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { bugs, isBug, type Bug } from './bug.ts'
import { exempt, type Entered } from './entered.ts'
import type { Ending } from './play.ts'
import { shrink } from './shrink.ts'
import { drawStory, sayStep, type Story } from './story.ts'
import { serveTeller, startTeller, storyFolder } from './teller.ts'

const help = `torture: whole daemons on a virtual clock, with everything going wrong that can

  npm run torture                       nearly 3 minutes of stories, longer until 60 simulated days are told and 200 daemons have died
  npm run torture -- --minutes 10       longer
  npm run torture -- --full             10,000 simulated days; ended by ctrl-c it counts what it has told
  npm run torture -- --stories 5        so many stories, whatever the time
  npm run torture -- --bugs             each hand-made bug must be found
  npm run torture -- --seed 7           one story; a failure is made short and printed
      --bug no-fence                    with this hand-made bug in it
      --only 3,17                       nothing of it but these steps
      --keep                            leave its database to be looked at
      --days 1                          so many days' happenings in a story's first act, its rests not counted
      --shrink 60                       for so many seconds of CPU a failure may be made shorter
      --from 1                          the first seed
      --jobs 2                          processes side by side
      --help
`

/**
 * A whole allotment that managed fewer simulated days has failed, and one whose days were so quiet that fewer daemons died. On a machine that others use, too,
 * it may take so many times as long for them.
 */
const floor = { days: 60, deaths: 200 }
const nothing = { days: 0, deaths: 0 }
const mostTimes = 3
const fullDays = 10_000
/** Every so-manieth story is told twice. */
const twiceEvery = 10
type Options = Telling & { from: number; stories: number; minutes: number; mostDays: number; jobs: number }
/** What is told, and how long a failure may be made shorter. */
type Telling = { days: number; bug: Bug | null; shrinkMs: number }
type Failure = { seed: number; ending: Ending }
type Told = { endings: Map<number, Ending>; twice: number; failures: Failure[]; entered: Entered[] }

const daysOf = (endings: ReadonlyMap<number, Ending>): number => sum([...endings.values()].map(({ days }) => days))
const deathsOf = (endings: ReadonlyMap<number, Ending>): number =>
  sum([...endings.values()].map(({ deaths }) => deaths))
const isBelow = (endings: ReadonlyMap<number, Ending>, least: typeof floor): boolean =>
  daysOf(endings) < least.days || deathsOf(endings) < least.deaths
const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0)

const progressMs = 20_000

/** Says on stderr how far it is, now and then. */
function tellProgress({ mostDays, stories }: Options): (endings: Told['endings']) => void {
  const began = performance.now()
  let saidAt = began
  return (endings) => {
    const now = performance.now()
    if (now - saidAt < progressMs) return
    saidAt = now
    const [count, of] = Number.isFinite(mostDays) ? [daysOf(endings), mostDays] : [endings.size, stories]
    const left = Number.isFinite(of) ? `, about ${Math.ceil(((now - began) / 60_000) * (of / count - 1))} min left` : ''
    console.error(`${endings.size} stories, ${daysOf(endings).toFixed(0)} simulated days${left}`)
  }
}

/** Tells stories until something is used up or breaks, or somebody asks for the end: what was told until then counts. */
async function tellMany(options: Options, least: typeof floor = nothing): Promise<Told> {
  const told: Told = { endings: new Map(), twice: 0, failures: [], entered: [] }
  const began = performance.now()
  const isInTime = () => {
    const times = isBelow(told.endings, least) ? mostTimes : 1
    return performance.now() - began < options.minutes * 60_000 * times
  }
  let next = options.from
  let isAskedToEnd = false
  const end = () => void (isAskedToEnd = true)
  process.once('SIGINT', end).once('SIGTERM', end)
  const goesOn = () =>
    !isAskedToEnd &&
    told.failures.length === 0 &&
    next < options.from + options.stories &&
    isInTime() &&
    daysOf(told.endings) < options.mostDays
  const progress = tellProgress(options)
  const fail = (seed: number, ending: Ending, broken = ending.broken) =>
    told.failures.push({ seed, ending: { ...ending, broken } })
  const tellSome = async (): Promise<Entered[]> => {
    const teller = startTeller(import.meta.filename)
    while (goesOn()) {
      const seed = next++
      const ending = await teller.tell(seed, options.days, options.bug)
      told.endings.set(seed, ending)
      progress(told.endings)
      if (ending.broken !== null) fail(seed, ending)
      else if ((seed - options.from) % twiceEvery === 0) {
        told.twice += 1
        const { hash } = await teller.tell(seed, options.days, options.bug)
        if (hash !== ending.hash) fail(seed, ending, `told twice it is two stories: ${ending.hash} and ${hash}`)
      }
    }
    return teller.end()
  }
  const entered = await Promise.all(Array.from({ length: options.jobs }, tellSome))
  process.off('SIGINT', end).off('SIGTERM', end)
  return { ...told, entered: merge(entered) }
}

const merge = (all: readonly Entered[][]): Entered[] =>
  all[0]!.map((each, index) => ({ ...each, entered: Math.max(...all.map((other) => other[index]!.entered)) }))

/** The shortest story found that breaks in the same way. */
async function shorten({ seed, ending }: Failure, { days, bug, shrinkMs }: Telling): Promise<Story> {
  const began = process.cpuUsage()
  const spentMs = () => process.cpuUsage(began).user / 1000 // not the time of day: on a busy machine everything takes longer
  const { play } = await import('./play.ts')
  const tell = (story: Story, untilMs: number) => play(story, storyFolder(), { bug, untilMs })
  return shrink(drawStory(seed, days), ending, tell, () => spentMs() < shrinkMs)
}

/** Says what broke, the shortest story that breaks so, and what to type. */
async function report(failure: Failure, telling: Telling): Promise<void> {
  const { seed, ending } = failure
  const { days, bug } = telling
  console.log(`\nseed ${seed} broke ${ending.at}:\n${ending.broken}\n`)
  const { steps } = await shorten(failure, telling)
  console.log(`the shortest story found that breaks so, ${steps.length} steps:`)
  for (const step of steps) console.log(`  ${sayStep(step)}`)
  const only = steps.map(({ n }) => n).join(',')
  console.log(
    `\nto tell it again: npm run torture -- --seed ${seed} --days ${days} --only ${only}${bug ? ` --bug ${bug}` : ''}\n`,
  )
}

/** What of the shipped rooms no story went through. */
const unentered = (entered: readonly Entered[]): string[] => [
  ...entered.filter((each) => each.entered === 0 && !exempt(each.file)).map(({ file }) => `${file} was never entered`),
  ...entered.filter((each) => each.entered > 0 && exempt(each.file)).map(({ file }) => `${file} is exempt for nothing`),
]

/** A whole allotment, with its floor. */
async function torture(options: Options, least: typeof floor): Promise<number> {
  const began = performance.now()
  const { endings, twice, failures, entered } = await tellMany(options, least)
  const seconds = (performance.now() - began) / 1000
  const all = [...endings.entries()].toSorted(([a], [b]) => a - b).map(([, ending]) => ending)
  const days = daysOf(endings)
  const total = (name: 'tasks' | 'landed' | 'deaths' | 'events') => sum(all.map((each) => each[name]))
  const hash = createHash('sha256')
    .update(all.map((each) => each.hash).join(' '))
    .digest('hex')
  const problems = failures.length > 0 || least.days === 0 ? [] : unentered(entered)
  if (isBelow(endings, least) && failures.length === 0)
    problems.push(
      `${days.toFixed(1)} simulated days and ${total('deaths')} deaths, below the floor of ${least.days} and ${least.deaths}`,
    )
  console.log(
    `${all.length} stories, ${days.toFixed(1)} simulated days in ${seconds.toFixed(0)} s: ${total('tasks')} tasks, ${total('landed')} landings, ` +
      `${total('deaths')} deaths, ${total('events')} events; ${twice} told twice and the same; log ${hash.slice(0, 16)}`,
  )
  for (const failure of failures) await report(failure, options)
  for (const problem of problems) console.log(problem)
  const bad = failures.length + problems.length
  console.log(`${all.length - failures.length} passed, ${bad} failed`)
  return bad === 0 ? 0 : 1
}

/** A history that is longer has not been made short. */
const mostSteps = 15

/** Each hand-made bug must be found within the allotment of a whole torture, and its history be made short; a simulation that finds nothing proves nothing. */
async function findBugs(options: Options): Promise<number> {
  let missed = 0
  for (const name of Object.keys(bugs).filter(isBug)) {
    const { endings, failures } = await tellMany({ ...options, bug: name })
    const found = failures.toSorted((a, b) => a.ending.atMs - b.ending.atMs)[0]
    const days = `${daysOf(endings).toFixed(1)} simulated days`
    if (!found) console.log(`${name}: NOT FOUND in ${days}: ${bugs[name]}`)
    const steps = found ? (await shorten(found, { ...options, bug: name })).steps.length : Infinity
    if (steps > mostSteps) missed += 1
    if (!found) continue
    const how = steps > mostSteps ? `NOT MADE SHORT: ${steps} steps` : `${steps} steps`
    console.log(`${name}: found by seed ${found.seed}, in ${days}, ${how}: ${found.ending.broken?.split('\n')[0]}`)
  }
  const all = Object.keys(bugs).length
  console.log(`${all - missed} passed, ${missed} failed`)
  return missed === 0 ? 0 : 1
}

/** One story, whole or in parts, in this process. */
async function tellOne(
  seed: number,
  { days, bug, shrinkMs }: Telling,
  { only, keep }: { only: string | undefined; keep: boolean },
): Promise<number> {
  const { play } = await import('./play.ts')
  const story = drawStory(seed, days)
  const wanted = only?.split(',').map(Number)
  const steps = wanted ? story.steps.filter(({ n }) => wanted.includes(n)) : story.steps
  const ending = await play({ ...story, steps }, storyFolder(), { keep, bug })
  console.log(ending)
  if (keep) console.log(`its database: ${storyFolder()}/state/tasks.db`)
  if (ending.broken !== null && !wanted) await report({ seed, ending }, { days, bug, shrinkMs })
  console.log(ending.broken === null ? '1 passed, 0 failed' : '0 passed, 1 failed')
  return ending.broken === null ? 0 : 1
}

const valued = <Name extends string>(...names: Name[]) =>
  Object.fromEntries(names.map((name) => [name, { type: 'string' }])) as Record<Name, { type: 'string' }>
const flags = <Name extends string>(...names: Name[]) =>
  Object.fromEntries(names.map((name) => [name, { type: 'boolean' }])) as Record<Name, { type: 'boolean' }>

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      ...valued('minutes', 'days', 'from', 'stories', 'jobs', 'seed', 'only', 'bug', 'shrink'),
      ...flags('full', 'keep', 'help', 'child', 'bugs'),
    },
  })
  if (values.child) await serveTeller()
  if (values.help) console.log(help)
  if (values.child || values.help) return 0
  const number = (said: string | undefined, usual: number) => (said === undefined ? usual : Number(said))
  const days = number(values.days, 1)
  const shrinkMs = number(values.shrink, 60) * 1000
  const bug = values.bug !== undefined && isBug(values.bug) ? values.bug : null
  if (values.bug !== undefined && bug === null)
    throw new Error(`no such bug; there are: ${Object.keys(bugs).join(', ')}`)
  if (values.seed !== undefined)
    return tellOne(Number(values.seed), { days, bug, shrinkMs }, { only: values.only, keep: values.keep ?? false })
  const isCounted = values.stories !== undefined || values.full === true
  const options: Options = {
    days,
    from: number(values.from, 1),
    stories: number(values.stories, Infinity),
    minutes: number(values.minutes, isCounted ? Infinity : 2.75),
    mostDays: values.full ? fullDays : Infinity,
    jobs: number(values.jobs, Math.min(4, availableParallelism())),
    bug,
    shrinkMs,
  }
  if (values.bugs) return findBugs({ ...options, minutes: number(values.minutes, 3) })
  if (values.full) return torture(options, { days: fullDays, deaths: 1000 })
  return torture(options, values.stories === undefined ? floor : nothing)
}

process.exitCode = await main()
