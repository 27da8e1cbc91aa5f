/**
 * What must hold after the play, law by law: what a client, the log, the ledger, git and the provider say is compared with one another. Pure. A law
 * answers everything that contradicts it; nothing is the proof.
 */
import type { AgentEvent } from '../../src/agent/agent.ts'
import { adapterNamed } from '../../src/agent/registry.ts'
import type { AttemptAdmitted, AttemptEnded } from '../../src/core/event.ts'
import { readTrailers } from '../../src/core/trailer.ts'
import type { Client } from './cast.ts'
import { isAtLeast } from '../../src/core/rung.ts'
import type { Played } from './play.ts'
import { keyOf, type Place, type Wish } from './story.ts'

export type Law = { law: string; wrong: string[] }

/** Every law, in the order in which they are worth reading. */
export const lawsOf = (played: Played, isolated: boolean): Law[] => [
  ...(isolated
    ? [{ law: 'nothing but the loopback interface was there', wrong: differ(['lo'], played.interfaces) }]
    : []),
  { law: 'every agent was contained in a namespace', wrong: differ(true, isAtLeast(played.rung, 'namespace')) },
  ...played.wishes.flatMap((wish, index) => lawsOfWish(played, wish, index)),
  ...played.cast.map((client) => ({
    law: `${client.name} ${client.version} used its own tools: it wrote, executed and read files`,
    wrong: toolsMissing(played, client),
  })),
  { law: 'every request came from a client of the pinned version and through the gateway', wrong: strangers(played) },
  { law: 'the gateway metered every request as the provider did', wrong: metersDiffer(played) },
  {
    law: "no client went where the repository's own settings lead, nor started what they name",
    wrong: differ(0, played.elsewhere),
  },
  { law: 'no attempt failed but those that were stopped, and nothing within the daemon', wrong: failures(played) },
  { law: 'verify-history finds every landing in order', wrong: unverified(played) },
  { law: 'no process and no folder of an attempt is left', wrong: leftovers(played) },
]

function lawsOfWish(played: Played, wish: Wish, index: number): Law[] {
  const { client, title } = wish
  const others = played.cast.filter(({ name }) => name !== client.name)
  return [
    {
      law: `"${title}" landed with what ${client.name} wrote and what its shell computed`,
      wrong: notLanded(played, index),
    },
    {
      law: `${client.name} was stopped at its budget after one request more at the most, parked, and went on in its session once it was raised`,
      wrong: notStopped(played, index),
    },
    {
      law: `"${title}" is by ${client.family} and reviewed by ${others.map(({ family }) => family).join(', ')}: trailers and wire agree`,
      wrong: [...wrongTrailers(played, index, others), ...wrongModels(played, index, others)],
    },
  ]
}

/** Nothing where both are the same. */
const differ = (expected: unknown, found: unknown, what = ''): string[] =>
  JSON.stringify(expected) === JSON.stringify(found)
    ? []
    : [`${what}expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`]

function notLanded({ tasks, landed, wishes }: Played, index: number): string[] {
  const task = tasks[index]!
  const found = landed.get(task.id)
  if (!found) return [`${task.phase}: ${task.why ?? 'no reason'}\n${task.evidence ?? ''}`]
  const { files } = wishes[index]!
  return [...differ(Object.keys(files).toSorted(), found.paths.toSorted()), ...differ(files, found.texts)]
}

/** The one attempt of a wish that reached its budget, what it asked for afterwards, and how it was gone on with. */
function notStopped(played: Played, index: number): string[] {
  const { tasks, wishes, reached, events } = played
  const { id } = tasks[index]!
  const { client } = wishes[index]!
  const own = events.filter(({ stream }) => stream === `task/${id}`).map(({ event }) => event)
  const parked = own.flatMap((event) => (event.type === 'task.parked' ? [event] : []))
  const [first] = parked
  if (!first || parked.length > 1) return [`parked ${parked.length} times`]
  const denied = reached.filter(({ attempt, cut }) => attempt === first.attempt && !cut).length
  const next = own.flatMap((event) =>
    event.type === 'attempt.admitted' && event.step === 'implement' ? [event.attempt] : [],
  )
  const session = next[1] === undefined ? null : sessionOf(played, client, next[1])
  return [
    ...differ(`task/${id}`, first.scope, 'parked at '),
    ...(denied > 1 ? [`${denied} requests after its budget was reached`] : []),
    ...(reached.some(({ attempt }) => attempt === first.attempt) ? [] : ['its budget was never reached']),
    ...differ(first.attempt, next[0], 'parked: '),
    ...differ(2, next.length, 'attempts to implement: '),
    ...(first.archive?.session ? [] : ['no session was kept']),
    ...differ(first.archive?.session, session, 'went on in the session '),
  ]
}

/** The session that a client says it is in. */
function sessionOf({ transcripts }: Played, { name }: Client, attempt: string): string | null {
  const parser = adapterNamed(name).parser({} as Parameters<ReturnType<typeof adapterNamed>['parser']>[0])
  for (const { stream, text } of transcripts.get(attempt) ?? [])
    if (stream !== 'note')
      for (const event of parser.push(stream, text)) if (event.type === 'started' && event.session) return event.session
  return null
}

const named = ({ family, model }: Pick<Client, 'family' | 'model'>): string => `${family} ${model}`

function wrongTrailers({ tasks, landed, wishes }: Played, index: number, others: readonly Client[]): string[] {
  const trailers = readTrailers(landed.get(tasks[index]!.id)?.message ?? '')
  return [
    ...differ([named(wishes[index]!.client)], trailers['Implemented-By'], 'Implemented-By: '),
    ...differ(others.map(named).toSorted(), trailers['Reviewed-By']?.toSorted(), 'Reviewed-By: '),
  ]
}

/** Whose models the provider saw at each step of a wish. */
function wrongModels({ requests, wishes, places }: Played, index: number, others: readonly Client[]): string[] {
  const { client, size } = wishes[index]!
  const modelsAt = (step: Place['step']) => {
    const fits = requests.filter(
      ({ rule }) => rule !== null && places[rule]!.wish === index && places[rule]!.step === step,
    )
    return [...new Set(fits.map(({ model }) => model ?? ''))].toSorted()
  }
  const larger = size === 'medium'
  const checker = others.find(({ family }) => family !== 'google') // whose claim it is
  return [
    ...differ(larger ? [client.model] : [], modelsAt('plan'), 'planned on the wire: '),
    ...differ([client.model], modelsAt('implement'), 'implemented on the wire: '),
    ...differ(others.map(({ model }) => model).toSorted(), modelsAt('review'), 'reviewed on the wire: '),
    ...differ(larger ? [checker?.model] : [], modelsAt('crosscheck'), 'cross-checked on the wire: '),
  ]
}

const eventsOf = <Type extends string>(played: Played, type: Type) =>
  played.events.flatMap(({ event }) => (event.type === type ? [event as typeof event & { type: Type }] : []))

/** The attempts of a client, each with its tools that came to a good end, by the client's own account. */
export function attemptsOf(played: Played, client: Client) {
  const ends = new Map(
    eventsOf(played, 'attempt.ended').map((end): [string, AttemptEnded] => [end.attempt, end as AttemptEnded]),
  )
  return (eventsOf(played, 'attempt.admitted') as AttemptAdmitted[])
    .filter(({ agent }) => agent === client.name)
    .map(({ attempt, step }) => ({ attempt, step, end: ends.get(attempt), tools: toolsIn(played, client, attempt) }))
}

type ToolEvent = Extract<AgentEvent, { type: 'tool' }>

/** Where a client is read as in production: its own lines, through its own parser. */
function toolsIn({ transcripts }: Played, { name }: Client, attempt: string): ToolEvent[] {
  const parser = adapterNamed(name).parser({} as Parameters<ReturnType<typeof adapterNamed>['parser']>[0])
  return (transcripts.get(attempt) ?? [])
    .flatMap(({ stream, text }) => (stream === 'note' ? [] : parser.push(stream, text)))
    .filter((event): event is ToolEvent => event.type === 'tool' && event.phase === 'end' && event.ok === true)
}

/** Codex has no tool that reads: it uses its shell for that, so that it executes more than the one command. */
function toolsMissing(played: Played, client: Client): string[] {
  const attempts = attemptsOf(played, client)
  const counts = (step: string, kind: ToolEvent['kind']) =>
    attempts.filter((each) => each.step === step).map(({ tools }) => tools.filter((tool) => tool.kind === kind).length)
  const count = (step: string, kind: ToolEvent['kind']) => counts(step, kind).reduce((sum, each) => sum + each, 0)
  /** Of the two attempts to implement one did it; a client that goes on with a session may tell again what it did in it. */
  const done = (kind: ToolEvent['kind']) => Math.max(0, ...counts('implement', kind))
  const reviews = played.cast.length - 1
  return [
    ...differ(2, done('edit'), 'files written: '),
    ...(client.name === 'codex' && done('shell') > 1 ? [] : differ(1, done('shell'), 'commands executed: ')),
    ...differ(reviews, count('review', client.name === 'codex' ? 'shell' : 'read'), 'files read for reviews: '),
  ]
}

function strangers({ cast, requests }: Played): string[] {
  return requests.flatMap(({ n, method, path, model, key, status, userAgent, rule }) => {
    const client = cast.find((each) => each.model === model)
    const version = /^[\w-]+\/(\d+\.\d+\.\d+)\b/.exec(userAgent ?? '')?.[1]
    const found = { status, key, version, rule: rule !== null }
    const isCount = /count_?tokens|input_tokens/i.test(path) // the gateway's own question about a client's request
    const expected = { status: 200, key: client && keyOf(client.family), version: client?.version, rule: !isCount }
    return differ(expected, found, `request ${n}, ${method} ${path}: `)
  })
}

function metersDiffer({ cast, charges, requests }: Played): string[] {
  return cast.flatMap(({ model }) => {
    const charge = charges.find(({ name }) => name === model)
    const own = requests.filter((each) => each.model === model && each.tokens !== null)
    const sum = (kind: 'input' | 'cachedInput' | 'cacheWrite' | 'output') =>
      own.reduce((total, { tokens }) => total + tokens![kind], 0)
    const told = (['input', 'cachedInput', 'cacheWrite', 'output'] as const).map((kind) => [kind, sum(kind)])
    const metered = charge && [charge.input, charge.cachedInput, charge.cacheWrite, charge.output]
    return differ(
      [own.length, ...told.map(([, tokens]) => tokens)],
      charge && metered && [charge.requests, ...metered],
      `${model}, requests and tokens: `,
    )
  })
}

const parkedIn = (played: Played): Set<unknown> =>
  new Set(eventsOf(played, 'task.parked').map((event) => (event as { attempt?: unknown }).attempt))

const failures = (played: Played): string[] => [
  ...(eventsOf(played, 'attempt.ended') as AttemptEnded[])
    .filter(
      ({ attempt, outcome, killed }) =>
        (outcome !== 'passed' && !(outcome === 'over-budget' && parkedIn(played).has(attempt))) ||
        (killed?.survivors ?? 0) > 0,
    )
    .map(
      ({ attempt, outcome, reason, killed }) =>
        `${attempt}: ${outcome}, ${reason}, ${killed?.survivors ?? 0} survivors`,
    ),
  ...eventsOf(played, 'loop.failed').map((event) => JSON.stringify(event)),
]

function unverified({ verified, wishes }: Played): string[] {
  const { ok, verified: landings } = JSON.parse(verified.text) as { ok: boolean; verified: unknown[] }
  return differ([0, true, wishes.length], [verified.code, ok, landings.length], verified.text)
}

const leftovers = ({ left }: Played): string[] => [
  ...left.folders.map((name) => `the folder ${name}`),
  ...left.pids.map((pid) => `the process ${pid}`),
]
