/**
 * The "model": plain rules that say what is answered to whom. JSON-able, so a demo, a test or another process can hand one over.
 *
 *     conversation ──first rule whose words occur──▶ rule ──tool results so far──▶ step
 *
 * A conversation stays with its rule: the id of each call we make carries the rule's number and comes back with the next request.
 * Pure but for the memory handed in, which counts how often rules began and faults were given.
 */
import { refuse } from '../src/core/refusal.ts'
import type { Refusal } from '../src/core/refusal.ts'
import type { Ask, Tokens } from './dialect/dialect.ts'

export type Scenario = { rules: readonly Rule[] }

export type Rule = {
  /** Substrings that must all occur in what people said in the conversation; never looked for in system prompts or tool schemas. */
  when: readonly string[]
  /** None of these may occur there. */
  not?: readonly string[]
  /** These must all occur in what they said last: tells a resumed session's second question from its first. */
  last?: readonly string[]
  family?: 'anthropic' | 'openai' | 'google'
  /** Begin at most so many conversations with it, then look further down. A first request sent again counts again. */
  times?: number
  steps: readonly Step[]
  /** Overrides what is derived from sizes, for every reply of the rule. */
  usage?: Partial<Tokens>
}

export const misbehaviours = [
  'crash', // aborts in the middle of a line
  'flood', // 64 MB of output, then more for ever
  'hang', // sleeps, and ends at SIGTERM
  'ignore-term', // sleeps, and does not
  'double-fork', // leaves a daemon in a session of its own, holding stdout
  'garbage', // prints what is no event, then exits 0 without a last word
  'noise', // prints the same and goes on well
  'claim-done', // says it committed, did nothing
  'lie-tests', // says the tests pass
  'obey-injection', // does what INJECTION.md in the tree says
] as const

export type Misbehaviour = (typeof misbehaviours)[number]

export type FaultAnswer = { status: number; headers?: Readonly<Record<string, string>>; body?: unknown; times?: number }

export type Step = (
  | {
      write: {
        path: string
        content: string
        /** The file is there already: clients that demand a read first use the shell. */ over?: boolean
      }
    }
  /** `find` must occur exactly once: clients differ in what they do with a second one. */
  | { replace: { path: string; find: string; with: string } }
  | { read: { path: string } }
  | { shell: string }
  | { say: string }
  | { json: Readonly<Record<string, unknown>> }
  | { hang: true }
  | { fault: FaultAnswer }
  | { misbehave: Misbehaviour }
) & { usage?: Partial<Tokens> }

/** How often each rule began a conversation, and how often each fault step (`rule.step`) was given. */
export type ScenarioMemory = { begun: Map<number, number>; faulted: Map<string, number> }

export const freshMemory = (): ScenarioMemory => ({ begun: new Map(), faulted: new Map() })

export type Choice = { rule: number | null; step: Step; mark: string; usage: Partial<Tokens> }

/** What the model does next. `family` is that of the model named in the request. */
export function chooseStep(scenario: Scenario, ask: Ask, family: string, memory: ScenarioMemory): Choice {
  const index = followedRule(scenario, ask) ?? beginRule(scenario, ask, family, memory)
  const rule = index === null ? undefined : scenario.rules[index]
  if (index === null || !rule)
    return { rule: null, step: { say: 'No rule of the scenario matches this conversation.' }, mark: 'rx', usage: {} }
  const step = ask.tools.length === 0 ? lastWord(rule) : stepAt(rule, index, ask.toolResults, memory)
  return { rule: index, step, mark: `r${index}`, usage: { ...rule.usage, ...step.usage } }
}

function followedRule(scenario: Scenario, ask: Ask): number | null {
  const found = /_r(\d+)_/.exec(ask.marks.at(-1) ?? '')
  return found && scenario.rules[Number(found[1])] ? Number(found[1]) : null
}

function beginRule(scenario: Scenario, ask: Ask, family: string, memory: ScenarioMemory): number | null {
  const index = scenario.rules.findIndex((rule, at) => {
    const isSpent = rule.times !== undefined && (memory.begun.get(at) ?? 0) >= rule.times
    return !isSpent && matches(rule, ask, family)
  })
  if (index < 0) return null
  // A request without tools is a client's side errand (a title, a route): it begins nothing.
  if (ask.tools.length > 0) memory.begun.set(index, (memory.begun.get(index) ?? 0) + 1)
  return index
}

function matches(rule: Rule, ask: Ask, family: string): boolean {
  return (
    (rule.family === undefined || rule.family === family) &&
    rule.when.every((words) => ask.user.includes(words)) &&
    (rule.last ?? []).every((words) => ask.lastUser.includes(words)) &&
    !(rule.not ?? []).some((words) => ask.user.includes(words))
  )
}

/** The step after so many tool results. Faults stand between steps: they bring no result, so they take no number. */
function stepAt(rule: Rule, ruleIndex: number, toolResults: number, memory: ScenarioMemory): Step {
  let count = 0
  for (const [index, step] of rule.steps.entries()) {
    if ('fault' in step) {
      const name = `${ruleIndex}.${index}`
      const given = memory.faulted.get(name) ?? 0
      if (count < toolResults || given >= (step.fault.times ?? Infinity)) continue
      memory.faulted.set(name, given + 1)
      return step
    }
    if (count === toolResults) return step
    count++
  }
  const last = rule.steps.at(-1)
  return last && isLastWord(last) ? last : { say: 'Done.' }
}

const isLastWord = (step: Step): boolean => 'say' in step || 'json' in step

const lastWord = (rule: Rule): Step => rule.steps.findLast(isLastWord) ?? { say: 'ok' }

const stepKinds = ['write', 'replace', 'read', 'shell', 'say', 'json', 'hang', 'fault', 'misbehave']

/** Reads a scenario that came from outside. Refused where a rule or a step is not one we know. */
export function readScenario(value: unknown): Scenario | Refusal {
  const rules = isRecord(value) ? value.rules : undefined
  if (!Array.isArray(rules)) return refuse('bad-scenario', 'a scenario is an object with a list of rules')
  for (const [at, rule] of (rules as unknown[]).entries()) {
    if (!isRecord(rule) || !isTexts(rule.when) || !Array.isArray(rule.steps))
      return refuse('bad-scenario', `rule ${at} needs "when" (texts) and "steps" (a list)`)
    if (!isTexts(rule.not ?? []) || !isTexts(rule.last ?? []))
      return refuse('bad-scenario', `rule ${at}: "not" and "last" are lists of texts`)
    for (const [number, step] of (rule.steps as unknown[]).entries()) {
      const why = stepProblem(step)
      if (why !== null) return refuse('bad-scenario', `rule ${at}, step ${number}: ${why}`)
    }
  }
  return value as Scenario
}

function stepProblem(step: unknown): string | null {
  if (!isRecord(step)) return 'not an object'
  const kinds = Object.keys(step).filter((key) => key !== 'usage')
  const kind = kinds[0]
  if (kinds.length !== 1 || kind === undefined || !stepKinds.includes(kind))
    return `needs exactly one of ${stepKinds.join(', ')}, has ${kinds.join(', ') || 'none'}`
  if (kind === 'misbehave' && !misbehaviours.includes(step.misbehave as Misbehaviour))
    return `"${String(step.misbehave)}" is no misbehaviour: ${misbehaviours.join(', ')}`
  const fields = { write: ['path', 'content'], replace: ['path', 'find', 'with'], read: ['path'] }[kind]
  const inner = step[kind]
  const missing = fields?.filter((field) => !isRecord(inner) || typeof inner[field] !== 'string') ?? []
  if (missing.length > 0) return `"${kind}" needs the texts ${missing.join(', ')}`
  if ((kind === 'say' || kind === 'shell') && typeof inner !== 'string') return `"${kind}" is a text`
  if (kind === 'fault' && !(isRecord(inner) && typeof inner.status === 'number')) return '"fault" needs a status'
  return kind === 'json' && !isRecord(inner) ? '"json" is an object' : null
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every((item) => typeof item === 'string')
