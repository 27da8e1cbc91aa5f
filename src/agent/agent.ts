/**
 * The port of a coding agent: a CLI of some vendor, started headless, its output read as events.
 *
 * An adapter is two pure functions: `plan` says what to start, `parser` says what its output means. It starts nothing, reads no file, asks no clock.
 * `launcher.ts` is the one place that starts one. Contract of a parser: it never throws; what it does not know becomes an `unknown` event.
 */
import type { Family } from '../core/family.ts'
import type { Outcome } from '../core/outcome.ts'

export type Role = 'architect' | 'implementer' | 'reviewer'
export type Dialect = 'anthropic-messages' | 'openai-responses' | 'openai-chat' | 'gemini'

export type AgentSpec = {
  attempt: string
  role: Role
  prompt: string
  family: Family
  model: string
  /** Paths as the contained agent sees them. */
  work: string
  home: string
  tmp: string
  /** Base URL without trailing slash; the adapter appends what its dialect needs (`/v1` for openai). */
  gatewayUrl: string
  key: string
  /** A UUID for clients that let us choose, so that the transcript and the log agree. */
  session: string
  /** Go on with that session, whose files are in HOME again, instead of beginning it. */
  resumed?: boolean
  /** `edit`: may change the tree and run commands. `read`: may look. */
  access: 'read' | 'edit'
  /** True inside our namespace rung, where vendors' own sandboxes cannot nest and must be off (facts: codex loses its patch tool silently). */
  contained: boolean
  /** JSON schema of the final answer, where the client can be held to one. */
  schema?: object
  maxTurns?: number
  /** What its provider may do by itself; the client's own tools for it are left out otherwise. */
  providerTools?: readonly string[]
}

export type LaunchPlan = {
  argv: string[]
  env: Record<string, string>
  /** Written into HOME before the start; paths relative to it. */
  files: { path: string; text: string }[]
  stdin: string | null
}

export type TokenUse = { input: number; cachedInput: number; cacheWrite: number; output: number }

export type AgentEvent =
  | { type: 'started'; session: string | null; model: string | null; version: string | null }
  | { type: 'text'; text: string }
  | {
      type: 'tool'
      phase: 'start' | 'end'
      id: string
      name: string
      kind: 'shell' | 'edit' | 'read' | 'other'
      ok?: boolean
      detail?: string
    }
  | { type: 'denied'; tool: string }
  | { type: 'retry'; attempt: number | null; status: number | null; delayMs: number | null; reason: string }
  | { type: 'usage'; scope: 'step' | 'attempt' | 'session'; tokens: TokenUse; usd: number | null; model: string | null }
  | { type: 'warning'; text: string }
  | { type: 'final'; ok: boolean; text: string; structured?: unknown; status?: number; message?: string }
  | { type: 'unknown'; raw: unknown }

export type AgentEnd = {
  outcome: Outcome
  /** One sentence for people: what the agent or the provider said. */
  reason: string
  /** The agent's last words, whole. */
  text: string
  structured?: unknown
  session: string | null
  tokens: TokenUse
}

export type AgentParser = {
  /** One line without its newline. Pure but for the parser's own memory. Never throws. */
  push(stream: 'stdout' | 'stderr', line: string): AgentEvent[]
  /** How it ended. `stopped` is set when we ended it ourselves and wins over everything the client says (exit codes lie). */
  end(exit: { code: number | null; signal: string | null; stopped?: Outcome }): AgentEnd
}

export type AgentAdapter = {
  name: 'claude' | 'codex' | 'gemini' | 'opencode' | 'scripted'
  dialects: readonly Dialect[]
  /** Families whose models this client can drive. */
  families: readonly Family[]
  /** Folders in HOME where the client keeps what a session can be gone on with; none where that is not possible. */
  sessions: readonly string[]
  /** The program looked for, and how a user gets it. */
  program: { command: string; install: string }
  /** `file`: the program as the contained process sees it. */
  plan(spec: AgentSpec, file: readonly string[]): LaunchPlan
  parser(spec: AgentSpec): AgentParser
}
