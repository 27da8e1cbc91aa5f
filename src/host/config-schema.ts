/**
 * The shape of the two config files, and every sentence about what is wrong in them. Quantities come out in our units; keys keep the names a
 * person writes. Loaded only when a file is really read. It never reads a file and never repeats a value that could be a key.
 */
import * as z from 'zod'
import { suggestion } from '../core/nearest.ts'
import { providerToolNames, referenceNames } from '../core/provider-tool.ts'
import { parseDuration, parseSize, parseUsd } from '../core/quantity.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { hostPattern } from '../core/registry.ts'
import { rungs } from '../core/rung.ts'
import { readTaskPath } from '../core/task-path.ts'
import { agentNames } from '../core/setting.ts'
import { scrubText } from './scrub.ts'
import type { YamlText } from './yaml.ts'

const quantity = (parse: (written: string | number) => number | null, example: string, least = 1) =>
  z.unknown().transform((written, context): number => {
    const value = typeof written === 'string' || typeof written === 'number' ? parse(written) : null
    if (value !== null && value >= least) return value
    context.issues.push({ code: 'custom', message: `must be ${example}`, input: written })
    return z.NEVER
  })

const usd = quantity(parseUsd, 'an amount in dollars such as $10 or 10.50', 0)
const duration = quantity(parseDuration, 'a duration with its unit, such as 90s, 5m or 24h')
const anyDuration = quantity(parseDuration, 'a duration with its unit, such as 90s, 5m or 24h', 0)
const size = quantity(parseSize, 'a size with its unit, such as 100KB or 64MB')
const count = (most: number, least = 1) =>
  z
    .int({ error: `must be a whole number from ${least} to ${most}` })
    .min(least, `must be at least ${least}`)
    .max(most, `must be at most ${most}`)
const section = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject(shape).partial().optional()
const words = z.preprocess(
  (written) => (typeof written === 'string' ? [written] : written),
  z
    .array(z.string().trim().min(1, 'must not be empty').max(10_000, 'is too long'))
    .max(100, 'has more than 100 entries'),
)

const globs = words.pipe(
  z
    .array(
      z
        .string()
        .regex(/^(?!\.{0,2}\/|!)[^?{}\\]+$/, 'must be a path from the root, in which only * and ** stand for others')
        .transform((glob) => glob.replace(/\/+$/, '')),
    )
    .min(1, 'must name at least one'),
)

/** What git accepts as a branch, without what only confuses. Source: git-check-ref-format. */
const branch = z
  .string()
  .max(200)
  .regex(
    /^(?![-/.]|refs\/)(?!.*(?:\.\.|\/\/|@\{|\/\.|\.lock(?:\/|$)))[^\s~^:?*[\\\p{Cc}]*[^\s~^:?*[\\\p{Cc}/.]$/u,
    'is not a branch name',
  )

const file = z
  .string()
  .min(1)
  .regex(/^(?!\/)(?!(?:.*\/)?\.\.(?:\/|$))[^\p{Cc}\\]+$/u, 'must be a path within the repository, written with /')

/** The kernel takes 107 bytes for the path of a socket. */
const socketPath = z
  .string()
  .max(100, 'is too long for a socket: at most 100 letters')
  .regex(/^\/[^\p{Cc}]*[^\p{Cc}/]$/u, 'must be the absolute path of a socket')

const taskPath = z.string().transform((written, context): string => {
  const read = readTaskPath(written)
  if (!isRefusal(read)) return read
  context.issues.push({ code: 'custom', message: 'must be a path from the root, or .', input: written })
  return z.NEVER
})

const keyFrom = z
  .strictObject({
    env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable'),
    file: z.string().min(1),
    stored: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be a name that was given to: tri-agent keys set'),
    value: z.string().min(1),
  })
  .partial()
  .refine((source) => Object.keys(source).length === 1, 'must have exactly one of env, file, stored, value')

const models = z.preprocess(
  (written) =>
    typeof written === 'string' ? { architect: written, implementer: written, reviewer: written } : written,
  z.strictObject({ architect: z.string().min(1), implementer: z.string().min(1), reviewer: z.string().min(1) }),
)

const family = z.strictObject({
  agent: z.enum(agentNames).optional(),
  program: words.nullable().optional(),
  baseUrl: z.string().optional(),
  upstream: section({
    keyHeader: z.literal('api-key', { error: 'must be api-key; without it the key goes where the dialect has it' }),
    apiVersion: z.string().regex(/^[A-Za-z0-9._-]{1,40}$/, 'must be a version such as 2025-04-01-preview'),
    privateNetwork: z.boolean(),
  }),
  keyFrom: keyFrom.optional(),
  models,
})

/** `true` stands for the defaults. */
const allowance = z.preprocess(
  (written) => (written === true ? {} : written),
  z.strictObject({ uses: count(50), tokens: count(1_000_000), price: usd }).partial(),
)
const reference = z.literal(true, { error: 'must be true, or left out' })

const dollars = z
  .number({ error: 'must be US dollars per million tokens' })
  .min(0, 'must not be negative')
  .max(1_000_000, 'must not be more than a million')
const price = z
  .strictObject({
    input: dollars.optional(),
    output: dollars.optional(),
    cachedInput: dollars.optional(),
    cacheWrite: dollars.optional(),
    checked: z
      .string()
      .regex(/^\d{4}-\d{2}-\d{2}$/, 'must be a day such as 2026-11-28')
      .optional(),
  })
  .refine(
    ({ input, output, cachedInput, cacheWrite, checked }) =>
      input === undefined && output === undefined && cachedInput === undefined && cacheWrite === undefined
        ? checked !== undefined
        : input !== undefined && output !== undefined,
    'must have input and output, or checked alone',
  )

const hosts = z.preprocess(
  (written) => (typeof written === 'string' ? [written] : written),
  z
    .array(
      z.string().regex(hostPattern, 'must be a host such as npm.example.com, *.example.com or npm.example.com:8443'),
    )
    .max(100),
)

const credential = z
  .strictObject({
    variable: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of a variable')
      .optional(),
    file: file.optional(),
    from: z.union([z.strictObject({ env: z.string().min(1) }), z.strictObject({ file: z.string().min(1) })], {
      error: 'must be where the secret is found: { env: NAME } or { file: PATH }',
    }),
    repositories: words.optional(),
    whenChanged: z.boolean().optional(),
  })
  .refine(
    (each) => (each.variable === undefined) !== (each.file === undefined),
    'must have exactly one of variable, file',
  )
  .transform(({ variable, file: path, from, repositories, whenChanged }) => ({
    name: variable ?? path!,
    as: variable === undefined ? ('file' as const) : ('variable' as const),
    from,
    repositories: repositories ?? null,
    whenChanged: whenChanged ?? false,
  }))

export const operatorSchema = z.strictObject({
  families: z
    .record(z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'a family is named in small letters'), family)
    .optional(),
  money: section({
    day: usd,
    repositories: z.record(z.string(), usd),
    families: z.record(z.string(), usd),
    task: usd,
    minute: usd,
    burst: usd,
    warn: usd,
    priceAge: duration,
  }),
  providerTools: z
    .record(
      z.string(),
      z
        .strictObject({
          ...Object.fromEntries(providerToolNames.map((name) => [name, allowance])),
          ...Object.fromEntries(referenceNames.map((name) => [name, reference])),
        } as Record<(typeof providerToolNames)[number], typeof allowance> &
          Record<(typeof referenceNames)[number], typeof reference>)
        .partial(),
    )
    .optional(),
  slots: section({ implementer: count(64), reviewer: count(64), architect: count(64), gate: count(64) }),
  caps: section({
    families: z.record(z.string(), count(1000)),
    roles: section({ implementer: count(1000), reviewer: count(1000), architect: count(1000), gate: count(1000) }),
    repositories: z.record(z.string(), count(1000)),
  }),
  lending: section({ idle: anyDuration }),
  patience: section({
    small: duration,
    medium: duration,
    large: duration,
    grace: z.number().min(1).max(10),
    wall: duration,
    provider: duration,
  }),
  lease: section({ beat: duration, lease: duration }),
  drain: section({ critical: anyDuration, normal: anyDuration, background: anyDuration }),
  retry: section({
    attempts: count(20),
    first: duration,
    factor: z.number().min(1).max(10),
    cap: duration,
    jitter: z.number().min(0).max(1),
    sameSignature: count(20),
  }),
  review: section({ rounds: count(10), reviewer: duration, family: duration }),
  lane: section({ step: duration }),
  sizes: section({ taskText: size, line: size, output: size, bundle: size, diff: size }),
  rung: z.enum(rungs).optional(),
  companion: section({ socket: socketPath }),
  unattended: z.boolean().optional(),
  landing: section({ branch }),
  http: section({ host: z.string().min(1), port: count(65_535, 0) }),
  setup: section({ hosts, credentials: z.array(credential).max(50) }),
  backup: section({ every: duration }),
  retention: section({
    logs: duration,
    transcripts: duration,
    metrics: duration,
    archives: duration,
    layers: duration,
    layerCount: count(1000),
    backups: count(1000),
  }),
  prices: z.record(z.string().min(1), price).optional(),
})

export const repositorySchema = z.strictObject({
  base: branch.nullable().optional(),
  path: taskPath.optional(),
  setup: words.optional(),
  setupKey: z.preprocess((written) => (typeof written === 'string' ? [written] : written), z.array(file)).optional(),
  toolchain: words.optional(),
  gates: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[A-Za-z0-9][\w .:-]{0,60}$/, 'must be a short name of letters and digits'),
        command: z.string().trim().min(1, 'must not be empty').max(10_000),
        timeout: duration.optional(),
        baseline: z.enum(['block', 'allow', 'off']).optional(),
        paths: globs.optional(),
      }),
    )
    .max(50)
    .refine((gates) => new Set(gates.map(({ name }) => name)).size === gates.length, 'has two gates of one name')
    .optional(),
  protectedPaths: words.optional(),
  review: section({ families: count(20), person: z.boolean() }),
  money: section({ task: usd }),
})

export type OperatorFile = z.output<typeof operatorSchema>

/** Checks a YAML text against a schema. Refuses `config-invalid` with one line per mistake, each with file, line, key and, for a word, the nearest. */
export function check<Schema extends z.ZodType>(
  schema: Schema,
  yaml: YamlText,
  file_: string,
): z.output<Schema> | Refusal {
  const checked = schema.safeParse(yaml.value)
  if (checked.success) return checked.data
  const lines = checked.error.issues.flatMap((issue) => sentences(issue, schema, yaml, file_))
  return refuse('config-invalid', scrubText(lines.slice(0, 20).join('\n')))
}

/** One mistake as people read it: `config.yaml:3: money.day: must be …`. */
const mistake = (file_: string, yaml: YamlText, path: readonly PropertyKey[], message: string): string =>
  `${file_}:${yaml.lineOf(path)}: ${path.length === 0 ? '' : `${path.map(String).join('.')}: `}${message}`

function sentences(issue: z.core.$ZodIssue, schema: z.ZodType, yaml: YamlText, file_: string): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => mistake(file_, yaml, [...issue.path, key], unknownKey(key, issue.path, schema)))
  if (issue.code === 'invalid_key')
    return [mistake(file_, yaml, issue.path, issue.issues[0]?.message ?? 'is no good name')]
  if (issue.code === 'invalid_value') {
    const written = issue.path.reduce<unknown>(
      (value, step) => (value as Record<PropertyKey, unknown>)?.[step],
      yaml.value,
    )
    const hint =
      typeof written === 'string' ? suggestion(written, issue.values.map(String)) : `one of: ${issue.values.join(', ')}`
    return [mistake(file_, yaml, issue.path, `is not known; ${hint}`)]
  }
  if (issue.code === 'invalid_type') {
    const missing = issue.path.length > 0 && isMissing(yaml.value, issue.path)
    return [
      mistake(
        file_,
        yaml,
        issue.path,
        missing ? 'is missing' : issue.message.startsWith('must') ? issue.message : `must be ${named(issue.expected)}`,
      ),
    ]
  }
  return [mistake(file_, yaml, issue.path, issue.message)]
}

const named = (expected: string): string =>
  ({
    object: 'a mapping',
    record: 'a mapping',
    array: 'a list',
    string: 'text',
    boolean: 'true or false',
    int: 'a whole number',
  })[expected] ?? `a ${expected}`

const isMissing = (value: unknown, path: readonly PropertyKey[]): boolean =>
  path.reduce<unknown>((each, step) => (each as Record<PropertyKey, unknown> | undefined)?.[step], value) === undefined

function unknownKey(key: string, path: readonly PropertyKey[], schema: z.ZodType): string {
  const isOperators = schema === repositorySchema && path.length === 0 && Object.hasOwn(operatorSchema.shape, key)
  if (isOperators) return "belongs in the operator's config file; a repository may not say it"
  return `unknown key; ${suggestion(key, keysAt(schema, path))}`
}

/** The keys known at a path of a schema. */
function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const [step, ...rest] = path
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return keysAt(schema.unwrap(), path)
  if (schema instanceof z.ZodPipe) return keysAt(schema.in instanceof z.ZodTransform ? schema.out : schema.in, path)
  if (schema instanceof z.ZodObject) {
    const shape = schema.shape as Record<string, z.ZodType>
    if (step === undefined) return Object.keys(shape)
    return shape[String(step)] ? keysAt(shape[String(step)]!, rest) : []
  }
  if (schema instanceof z.ZodRecord) return keysAt(schema.valueType, rest)
  if (schema instanceof z.ZodArray) return keysAt(schema.element, rest)
  return []
}
