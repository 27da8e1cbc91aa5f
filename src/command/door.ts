/**
 * The commands that may be carried out elsewhere than where they were said: by the daemon, whose writer commits them together with everything else.
 * Each is the function the command line would call itself, with a look at the shape of what came over the wire. Everything else about it is decided
 * in the function, in its one transaction.
 */
import type { Wish } from '../core/wish.ts'
import type { CommandPorts } from './ports.ts'

type Shape = (value: unknown) => boolean

const text: Shape = (value) => typeof value === 'string'
const flag: Shape = (value) => typeof value === 'boolean'
const number: Shape = (value) => typeof value === 'number' && Number.isFinite(value)
const texts: Shape = (value) => Array.isArray(value) && value.every(text)
const maybe =
  (shape: Shape): Shape =>
  (value) =>
    value === null || value === undefined || shape(value)
/** A plain object with these fields and no others. */
const record =
  (fields: Record<string, Shape>): Shape =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).every((key) => Object.hasOwn(fields, key)) &&
    Object.entries(fields).every(([key, shape]) => shape((value as Record<string, unknown>)[key]))

const wish: Record<keyof Wish, Shape> = {
  repo: text,
  title: text,
  text: maybe(text),
  kind: maybe(text),
  lane: maybe(text),
  size: maybe(text),
  tags: maybe(texts),
  after: maybe(texts),
  acceptance: maybe(texts),
  budgetNanoUsd: maybe(number),
  ref: maybe(text),
  path: maybe(text),
}
const partOfDay: Shape = (value) => value === 'repo' || value === 'family'
const scope: Shape = (value) => value === 'all' || value === 'lane' || value === 'repo' || value === 'family'

export const doors = {
  add: { load: async () => (await import('./add.ts')).addTask, shapes: [record(wish)] },
  approve: { load: async () => (await import('./decision.ts')).approveTask, shapes: [text, maybe(text)] },
  reject: { load: async () => (await import('./decision.ts')).rejectTask, shapes: [text, text] },
  retry: { load: async () => (await import('./decision.ts')).retryTask, shapes: [text] },
  cancel: { load: async () => (await import('./cancel.ts')).cancelTask, shapes: [text, text] },
  prioritize: {
    load: async () => (await import('./decision.ts')).prioritizeTask,
    shapes: [text, record({ lane: maybe(text), override: maybe(flag) })],
  },
  hold: { load: async () => (await import('./decision.ts')).holdTask, shapes: [text, text, flag] },
  release: { load: async () => (await import('./decision.ts')).releaseTask, shapes: [text] },
  pause: {
    load: async () => (await import('./pause.ts')).pauseWork,
    shapes: [record({ what: scope, name: text, why: text, now: flag })],
  },
  raiseTask: { load: async () => (await import('./budget.ts')).raiseTaskBudget, shapes: [text, number, number] },
  raiseDay: { load: async () => (await import('./budget.ts')).raiseDayBudget, shapes: [number, number] },
  raisePart: {
    load: async () => (await import('./budget.ts')).raisePartOfDay,
    shapes: [record({ of: partOfDay, name: text }), number, number],
  },
  resumeTask: { load: async () => (await import('./budget.ts')).resumeTask, shapes: [text] },
  closeBreaker: { load: async () => (await import('./budget.ts')).closeTheBreaker, shapes: [] },
  resume: { load: async () => (await import('./pause.ts')).resumeWork, shapes: [record({ what: scope, name: text })] },
} as const satisfies Record<
  string,
  { load: () => Promise<(ports: CommandPorts, ...args: never[]) => unknown>; shapes: readonly Shape[] }
>

export type Door = keyof typeof doors
type Act<Name extends Door> = Awaited<ReturnType<(typeof doors)[Name]['load']>>
export type Args<Name extends Door> = Parameters<Act<Name>> extends [CommandPorts, ...infer Rest] ? Rest : never
export type Answer<Name extends Door> = Awaited<ReturnType<Act<Name>>>

export const isDoor = (name: unknown): name is Door => typeof name === 'string' && Object.hasOwn(doors, name)

/** Are these arguments of the shape that this command takes? */
export const fits = (name: Door, args: unknown): boolean => {
  const { shapes } = doors[name]
  return Array.isArray(args) && args.length === shapes.length && shapes.every((shape, index) => shape(args[index]))
}

/** Carries a command out. Loads what it needs of it only now: where the daemon does it, nobody else has to. */
export async function carryOut<Name extends Door>(
  ports: CommandPorts,
  name: Name,
  args: Args<Name>,
): Promise<Answer<Name>> {
  const act = (await doors[name].load()) as unknown as (
    ports: CommandPorts,
    ...rest: Args<Name>
  ) => Promise<Answer<Name>>
  return act(ports, ...args)
}
