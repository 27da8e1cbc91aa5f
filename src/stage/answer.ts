/**
 * Reading an agent's structured answer: the last JSON object it gave, held to a schema. What does not fit is no answer at all: an unreadable
 * review is not an approval, an unreadable plan is not a plan.
 */
import * as z from 'zod'
import { kinds, sizes, type Plan } from '../core/task.ts'
import { severities } from '../core/review.ts'
import type { AgentEnd } from '../agent/agent.ts'

/** numbers.md: at most 8 sub-tasks. */
export const mostSubTasks = 8
/** More findings than this in one answer are noise or an attack on the checkers' budget. */
const mostFindings = 50

const text = z.string().max(20_000)

/** A part lands something: a report in the middle of a change helps nobody. */
const partKinds = kinds.filter((kind) => kind !== 'review' && kind !== 'architect')

const planSchema = z.object({
  approach: text.min(1),
  files: z.array(z.string().max(4096)).max(500).default([]),
  acceptance: z.array(text).max(50).default([]),
  subTasks: z
    .array(
      z.object({
        title: z.string().min(1).max(200),
        text: text.default(''),
        kind: z.enum(partKinds).default('feature'),
        size: z.enum(sizes).default('small'),
        acceptance: z.array(text).max(50).default([]),
        after: z.array(z.number().int().min(0)).default([]),
      }),
    )
    .max(mostSubTasks)
    .refine(
      (parts) => parts.every(({ after }, index) => after.every((each) => each < index)),
      'after may only name earlier parts',
    )
    .default([]),
})

const reviewSchema = z.object({
  summary: text,
  findings: z
    .array(
      z.object({
        file: z.string().max(4096),
        line: z.number().int().nullable().default(null),
        severity: z.enum(severities),
        claim: text.min(1),
        proof: z.string().max(4096).nullable().default(null),
      }),
    )
    .max(mostFindings),
})

const checkSchema = z.object({ verdict: z.enum(['confirmed', 'dismissed', 'undecided']), evidence: text })

export type ReviewAnswer = z.infer<typeof reviewSchema>
export type CheckAnswer = z.infer<typeof checkSchema>
export type Unreadable = { unreadable: string }

export const readPlan = (end: AgentEnd): Plan | Unreadable => read(planSchema, end)
export const readReview = (end: AgentEnd): ReviewAnswer | Unreadable => read(reviewSchema, end)
export const readCheck = (end: AgentEnd): CheckAnswer | Unreadable => read(checkSchema, end)

const made = new WeakMap<z.ZodType, object>()

/** The JSON schemas, for clients that can be held to one. */
export const answerSchemas = () => ({
  plan: jsonSchemaOf(planSchema),
  review: jsonSchemaOf(reviewSchema),
  check: jsonSchemaOf(checkSchema),
})

/** Each takes milliseconds, and is made once. */
function jsonSchemaOf(schema: z.ZodType): object {
  const known = made.get(schema) ?? z.toJSONSchema(schema, { io: 'input' })
  made.set(schema, known)
  return known
}

function read<T>(schema: z.ZodType<T>, end: AgentEnd): T | Unreadable {
  const found = end.structured ?? lastObject(end.text)
  if (found === undefined) return { unreadable: 'no JSON object in the last message' }
  const parsed = schema.safeParse(found)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  return { unreadable: `${issue?.path.join('.') || 'answer'}: ${issue?.message}` }
}

/** The last fenced JSON block, or the whole message when it is nothing but JSON. */
function lastObject(message: string): unknown {
  const fences = [...message.matchAll(/```(?:json)?\s*\n([\s\S]*?)\n```/g)].map((match) => match[1]!)
  for (const candidate of [fences.at(-1), message.trim()]) {
    if (candidate === undefined || !candidate.trimStart().startsWith('{')) continue
    try {
      return JSON.parse(candidate)
    } catch {
      continue
    }
  }
  return undefined
}
