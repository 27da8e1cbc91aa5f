/** show: one task whole, for a person who has to decide something about it, ending in what to type next. */
import { taskAt } from '../core/history.ts'
import type { Outcome } from '../core/outcome.ts'
import { tellGate, type GateProgress } from '../core/gate-progress.ts'
import { isRefusal, refuse } from '../core/refusal.ts'
import type { JudgedFinding } from '../core/review.ts'
import { isOver, stateOf, type Task } from '../core/task.ts'
import type { Explanation } from '../core/vendor-refusal.ts'
import { readMoment } from '../host/moment.ts'
import type { Reader } from '../store/database.ts'
import { storyOf } from '../store/log.ts'
import { attemptsOf, findTask, loadTask, repoById, type AttemptRow } from '../store/task.ts'
import { answer, withDatabase, type Act, type Context } from './context.ts'
import { briefTask, nextSteps, situation } from './describe.ts'
import { age, clean, clip, clockTime, money, table, wrap } from './format.ts'
import { findDaemon } from './presence.ts'

type Shown = {
  /** Null for the present. */
  at: number | null
  task: Task
  attempts: AttemptRow[]
  /** What it means that an attempt was refused, by its id. */
  explained: ReadonlyMap<string, Explanation>
  waitsFor: { id: string; title: string; state: string }[]
  parts: { id: string; title: string; state: string }[]
  repository: string
  gate: GateProgress | null
  /** What keeps a ready task from starting. */
  waits: string | null
  next: string[]
}

/** Loaded only for a task that is ready: the words come from admission, which nothing else here needs. */
const whyWaiting = async (reader: Reader, task: Task, now: number): Promise<string | null> =>
  (await (await import('./waiting.ts')).waitingReader(reader, now))(task)

const nameOf = (task: Task) => ({ id: task.id, title: task.title, state: stateOf(task) })

export const show: Act = (context, said) =>
  withDatabase(context, (database) =>
    database.read(async (reader) => {
      const when = said.text('at')
      const at = when === undefined ? null : readMoment('--at', when, context.world.clock.now())
      if (isRefusal(at)) return at
      const present = await findTask(reader, said.args[0]!)
      if (isRefusal(present)) return present
      const load = async (id: string) => (at === null ? loadTask(reader, id) : taskAt(await storyOf(reader, id), at))
      const task = at === null ? present : await load(present.id)
      if (task === null)
        return refuse(
          'not-yet',
          `${present.id} was not there yet at ${clockTime(at!)}`,
          `it was added ${clockTime(present.addedAt)}`,
        )
      const needed = await Promise.all(task.after.map(load))
      const waitsFor = needed.filter((each): each is Task => each !== null && each.phase !== 'done').map(nameOf)
      const parts = (await Promise.all(task.children.map(load))).filter((each) => each !== null).map(nameOf)
      const rows = (await attemptsOf(reader, task.id)).map((row) => ({ ...row }))
      const attempts = at === null ? rows : attemptsAt(rows, at)
      const repository = (await repoById(reader, task.repo))?.name ?? task.repo
      const shown = {
        at,
        task,
        attempts,
        explained: await explainAll(attempts),
        waitsFor,
        parts,
        repository,
        gate: at === null && task.running.length > 0 ? await gateOf(reader, task, context) : null,
        waits:
          at === null && ['ready', 'delayed'].includes(stateOf(task))
            ? await whyWaiting(reader, task, context.world.clock.now())
            : null,
        next:
          at === null
            ? nextSteps(
                task,
                (await findDaemon(reader)) !== null,
                waitsFor.some(({ state }) => state === 'cancelled'),
              )
            : [],
      }
      return answer(context, asJson(shown), asText(context, shown))
    }),
  )

/** Loaded where something is under way: most tasks that are shown are not. */
async function gateOf(reader: Reader, task: Task, { world, paths }: Context): Promise<GateProgress | null> {
  const { readGates } = await import('./gate-progress.ts')
  return (await readGates(reader, [task], { now: world.clock.now(), folder: paths.transcripts })).get(task.id) ?? null
}

/** Attempts as they were at a time. */
const attemptsAt = (rows: readonly AttemptRow[], at: number): AttemptRow[] =>
  rows
    .filter(({ admitted_at }) => admitted_at <= at)
    .map((row) => {
      const started = row.started_at !== null && row.started_at <= at
      const begun = { ...row, started_at: started ? row.started_at : null, rung: started ? row.rung : null }
      if (row.ended_at !== null && row.ended_at <= at) return begun
      const open = { ended_at: null, outcome: null, reason: null, cost_nano_usd: 0, tokens: null, transcript: null }
      return { ...begun, ...open, state: started ? 'started' : 'admitted' }
    })

function asJson({ at, task, attempts, explained, waitsFor, waits, gate, repository, next }: Shown) {
  const { text, acceptance, budgetNanoUsd, ref, plan, candidate, gates, round, feedback, evidence, approval, report } =
    task
  return {
    ...(at === null ? {} : { at }),
    task: {
      ...briefTask(task),
      gate,
      repository,
      text,
      acceptance,
      budgetNanoUsd,
      ref,
      path: task.path ?? null,
      plan,
      candidate,
      gates,
      round,
      feedback,
      evidence,
      approval,
      report,
    },
    attempts: attempts.map((row) => ({
      explained: explained.get(row.id) ?? null,
      id: row.id,
      number: row.token,
      step: row.step,
      role: row.role,
      family: row.family,
      agent: row.agent,
      model: row.model,
      state: row.state,
      rung: row.rung,
      admittedAt: row.admitted_at,
      startedAt: row.started_at,
      endedAt: row.ended_at,
      outcome: row.outcome,
      reason: row.reason,
      costNanoUsd: row.cost_nano_usd,
    })),
    waitsFor,
    waits,
    next,
  }
}

function asText(context: Context, shown: Shown): string {
  const { task, repository, waitsFor, parts, next } = shown
  const columns = Math.min(context.columns, 160)
  const now = shown.at ?? context.world.clock.now()
  const blocked = waitsFor.map(({ id }) => id)
  const body = (text: string) => wrap(text, columns, '  ')
  const whereItIs = `${situation(task, blocked, shown.waits)}${shown.gate ? `, ${tellGate(shown.gate)}` : ''}`
  const heading = [
    `${task.id}  ${clean(task.title)}`,
    body(
      `${task.size} ${task.kind}, lane ${task.lane}${task.override ? ' (before everything else)' : ''}, in ${repository}${task.path === undefined ? '' : `, path ${task.path}`}, ${shown.at === null ? '' : `as it was ${clockTime(shown.at)}, `}added ${age(now - task.addedAt)} ${shown.at === null ? 'ago' : 'before'}${task.tags.length > 0 ? `, tags ${task.tags.join(', ')}` : ''}`,
    ),
    '',
    `${stateOf(task)}: ${wrap(whereItIs, columns - stateOf(task).length - 2).replaceAll('\n', '\n  ')}`,
    ...(isOver(task)
      ? []
      : [
          body(
            `${task.returns > 0 ? `sent back ${task.returns}×; ` : ''}${money(task.costNanoUsd)} of ${task.budgetNanoUsd === null ? 'the usual budget' : money(task.budgetNanoUsd)} spent`,
          ),
        ]),
  ]
  const sections: [string, string][] = [
    ['What is asked', [task.text.trim(), ...task.acceptance.map((each) => `• ${each}`)].filter(Boolean).join('\n')],
    ['Waits for', waitsFor.map(({ id, title, state }) => `${id}  ${title} (${state})`).join('\n')],
    ['Plan', planText(task)],
    ['Parts', parts.map(({ id, title, state }) => `${id}  ${title} (${state})`).join('\n')],
    ['Sent back with', task.feedback ? `from ${task.feedback.from}:\n${task.feedback.text}` : ''],
    ['Candidate', candidateText(task)],
    ['Gates', gatesText(task)],
    ['Review', reviewText(task)],
    ['Approval', task.approval ? `${task.approval.by}, of ${task.approval.commit.slice(0, 12)}` : ''],
    ['Landed', task.landed ? `${task.landed.commit} on ${task.landed.target}, ${clockTime(task.landed.at)}` : ''],
    ['Report', task.report ?? ''],
    ['Evidence', task.evidence ?? ''],
  ]
  const last = shown.attempts.findLast((row) => row.state === 'ended')
  const refused = isOver(task) || !last ? undefined : shown.explained.get(last.id)
  if (refused)
    sections.push(['Refused', `${refused.what}: ${refused.why}\n→ ${refused.next.replaceAll('TASK', task.id)}`])
  const attempts = attemptsText(shown.attempts, now, columns)
  return [
    ...heading,
    ...sections.filter(([, text]) => text.trim() !== '').flatMap(([title, text]) => ['', title, body(text)]),
    ...(attempts === '' ? [] : ['', 'Attempts', attempts]),
    ...(next.length > 0 ? ['', 'Type next', ...next.map((each) => `  ${each}`)] : []),
  ].join('\n')
}

/** What it means that a provider, or the gateway, said no to an attempt. Loaded only where one ended other than well. */
async function explainAll(rows: readonly AttemptRow[]): Promise<Map<string, Explanation>> {
  const ends = rows.filter(({ family, outcome }) => family !== null && outcome !== null && outcome !== 'passed')
  if (ends.length === 0) return new Map()
  const { explainReason } = await import('../core/vendor-refusal.ts')
  return new Map(
    ends.flatMap(({ id, family, outcome, reason, model }) => {
      const found = explainReason(family!, outcome as Outcome, reason ?? '', model ?? '')
      return found ? [[id, found]] : []
    }),
  )
}

function planText({ plan }: Task): string {
  if (!plan) return ''
  const parts = plan.subTasks.map(
    ({ title, kind, size, after }, index) =>
      `${index + 1}. ${title} (${size} ${kind}${after.length > 0 ? `, after ${after.map((n) => n + 1).join(', ')}` : ''})`,
  )
  const lines = [
    plan.approach.trim(),
    plan.files.length > 0 ? `files: ${plan.files.join(', ')}` : '',
    ...plan.acceptance.map((each) => `• ${each}`),
    ...parts,
  ]
  return lines.filter(Boolean).join('\n')
}

function candidateText({ candidate }: Task): string {
  if (!candidate) return ''
  const { commit, family, model, files, added, removed, message } = candidate
  return [
    `${commit.slice(0, 12)} by ${family} (${model}), +${added} −${removed} in ${files.slice(0, 12).join(', ')}${files.length > 12 ? ` and ${files.length - 12} more` : ''}`,
    message.trim() && `says: ${message.trim()}`,
  ]
    .filter(Boolean)
    .join('\n')
}

function gatesText({ gates }: Task): string {
  if (!gates) return ''
  const lines = gates.results.map(({ name, command, state, exitCode, ms, tail }) => {
    const known = gates.baseline.includes(name) ? ', red before, too' : ''
    const line = `${name}: ${state}${exitCode ? ` (exit ${exitCode})` : ''}, ${(ms / 1000).toFixed(1)} s${known}`
    return state === 'green' ? line : `${line}\n  $ ${command}\n${indent(lastLines(tail, 12))}`
  })
  return [...lines, ...(gates.notConcerned ?? []).map((name) => `${name}: not concerned, not executed`)].join('\n')
}

function reviewText({ round }: Task): string {
  if (!round) return ''
  const owed = round.policy.families.filter((family) => !round.votes.some((vote) => vote.family === family))
  return [
    `round ${round.number} of ${round.commit.slice(0, 12)}: ${round.verdict ?? 'open'}; ${round.policy.why}`,
    ...round.votes.map(({ family, model, summary }) => `${family} (${model}): ${summary.trim() || 'nothing to say'}`),
    ...(round.advice ? [`${round.advice.family}, advice that does not count: ${round.advice.summary}`] : []),
    ...(owed.length > 0 && round.verdict === null ? [`still asked: ${owed.join(', ')}`] : []),
    ...round.findings.map(findingText),
  ].join('\n')
}

const findingText = ({ by, state, severity, file, line, claim, proof, checks }: JudgedFinding): string =>
  [
    `${state.toUpperCase()} ${severity} ${file}${line === null ? '' : `:${line}`} (${by}): ${claim}`,
    ...(proof ? [`  $ ${proof}`] : []),
    ...checks.map((check) => indent(`${check.verdict} by ${check.by}: ${lastLines(check.evidence, 6)}`)),
  ].join('\n')

function attemptsText(rows: readonly AttemptRow[], now: number, columns: number): string {
  if (rows.length === 0) return ''
  const cells = rows.map((row) => {
    const seconds = row.started_at === null ? '' : `${(((row.ended_at ?? now) - row.started_at) / 1000).toFixed(1)} s`
    return [
      String(row.token),
      row.step,
      row.family ?? '–',
      row.model ?? '–',
      row.outcome ?? row.state,
      seconds,
      money(row.cost_nano_usd),
      row.reason ?? '',
    ]
  })
  const head = ['n', 'step', 'family', 'model', 'outcome', 'time', 'cost', 'reason']
  return table(head, cells, columns - 2)
    .split('\n')
    .map((line) => clip(`  ${line}`, columns))
    .join('\n')
}

const lastLines = (text: string, n: number): string => text.trim().split('\n').slice(-n).join('\n')
const indent = (text: string): string =>
  text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
