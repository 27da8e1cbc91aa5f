/**
 * What a stage is given and what it answers. A stage reads what it is handed, starts contained processes, and returns; it writes no row and no ref.
 * It ends by returning or by its signal, whose reason is the Outcome word.
 */
import type { AgentAdapter, AgentEvent } from '../agent/agent.ts'
import type { Archive, AttemptEnded, TokenCount } from '../core/event.ts'
import type { Product } from '../core/flow.ts'
import type { GateReport } from '../core/gate.ts'
import type { Outcome } from '../core/outcome.ts'
import type { OperatorSettings, RepositorySettings } from '../core/setting.ts'
import type { Running, Task } from '../core/task.ts'
import type { LogAnchor } from '../core/trailer.ts'
import type { Git, RepoStores, Sha } from '../git/git.ts'
import type { World } from '../host/world.ts'
import type { Area, Box, Contained, KillReport, Outermost, Sandbox } from '../sandbox/sandbox.ts'

export type StagePorts = {
  world: World
  git: Git
  sandbox: Sandbox
  settings: OperatorSettings
  /** An agent's adapter and where its program is, or null when it is not installed. */
  agent(name: string): { adapter: AgentAdapter; folder: string; argv: readonly string[] } | null
  layers: Layers
  pool: Pool
  registries: Registries
}

/** The way to package registries, and what the operator gives for private ones: for set-up alone. */
export type Registries = {
  /** Opened for one set-up, by the repository's name. `trusted`: its dependency files are the base's or the target's, so that what they start was reviewed. */
  open(asked: { hosts: readonly string[]; repository: string; trusted: boolean }): Promise<OpenRegistries>
}

export type OpenRegistries = AsyncDisposable & {
  gateway: NonNullable<Box['gateway']>
  env: Readonly<Record<string, string>>
  /** Put into HOME, read-only. `variables` are set to where the file is. */
  files: readonly { path: string; text: string; variables: readonly string[] }[]
  /** What may appear in nothing that set-up prints or leaves. */
  secrets: readonly string[]
  /** Credentials that were kept back. */
  withheld: readonly string[]
  reached(): readonly { host: string; connections: number; bytesIn: number; bytesOut: number; denied: string | null }[]
}

/** The set-up layer that a clone was given ahead, by its key, and the top-most paths it added. */
export type Laid = { layer: string; added: string[] }

/** Clean clones made ahead. */
export type Pool = {
  /** Moves a ready clone of this commit to `into`; null when there is none. */
  take(stores: RepoStores, commit: Sha, into: string): Promise<{ laid: Laid | null } | null>
}

/** Sealed set-up layers by key. Asked twice at once for the same key, it makes the layer once. */
export type Layers = {
  /** The folder of a sealed layer, made by `make` (which fills a folder and answers why it could not) when it is not there yet. */
  get(key: string, make: (into: string) => Promise<string | null>): Promise<{ folder: string } | { failed: string }>
  /** The folder of a sealed layer, or null where it is not made yet. */
  find(key: string): string | null
}

export type LeftWork = {
  /** A file with the commits made, or null: nothing was changed since `base`. */
  bundle: string | null
  base: Sha
  /** The agent's HOME, the folders in it that hold its sessions, and the session's name. */
  home: string
  folders: readonly string[]
  session: string | null
}

export type KeptWork = {
  bundle: string | null
  base: Sha
  home: string
  session: string | null
  /** The attempt it was. */
  attempt: string
  drained: boolean
}

/** An agent's finished work before it is taken in: what it began at, and what is not in its tree. */
export type Finished = { base: Sha; message: string; promptSha256: string | null }

export type Work = {
  task: Task
  attempt: Running
  repo: {
    id: string
    name: string
    stores: RepoStores
    base: Sha
    /** Tip that new work starts from and lands on: the target's, or the base's while there is no target. */
    tip: Sha
    target: string
    targetTip: Sha | null
  }
  repository: RepositorySettings
  /** Host folders with the programs its commands need, mounted read-only. */
  toolchain: readonly string[]
  /** Hosts that its set-up asks for packages, as the base commit has them. */
  registries: readonly string[]
  /** A folder of the attempt's own; the worker removes it. */
  folder: string
  signal: AbortSignal
  /** What may appear in nothing that is printed. */
  secrets: readonly string[]
  /** The attempt's way to the model, or null for gates. */
  gateway: (NonNullable<Box['gateway']> & { key: string }) | null
  onAgentEvent(event: AgentEvent): void
  onOutput(stream: 'stdout' | 'stderr' | 'note', line: string, isCut?: boolean): void
  /** Has the gateway denied it for want of money? */
  isOverBudget(): boolean
  /** Was it ended because its daemon ends? And until when may its work be kept. */
  isDrained(): boolean
  hurry: AbortSignal
  /** Seals what is left of an attempt that is parked; null where it could not be kept. */
  keep(left: LeftWork): Promise<Archive | null>
  /** What an earlier attempt of this family left when it was parked, sealed and whole, or null. */
  kept: KeptWork | null
  /** Told that the agent came to its good end, and what is to be taken in: should we die meanwhile, it is found. */
  finished(done: Finished): Promise<void>
  /** Any sign that the work itself moves. */
  active(): void
  /** Called when a process tree exists, before anything else happens to it, and when it was ended, with the proof or what survived. */
  started: (outermost: Outermost, area: Area) => Promise<void>
  /** Told of the tree once it has begun. */
  contained?(tree: Contained): void
  ended(report: KillReport): Promise<void>
  cachedGates(tree: Sha, key: string): Promise<GateReport | null>
  /** How far the log has come, for the landing commit to carry. */
  anchor(): Promise<LogAnchor | null>
}

/** What gates and set-up need of it: no task, no agent, no model. */
export type GateWork = Omit<
  Work,
  | 'task'
  | 'attempt'
  | 'gateway'
  | 'onAgentEvent'
  | 'anchor'
  | 'isOverBudget'
  | 'isDrained'
  | 'hurry'
  | 'keep'
  | 'kept'
  | 'finished'
>

export type StageResult = {
  outcome: Outcome
  /** One sentence for people. */
  reason: string
  product: Product | null
  /** For `failed`: what the implementer is told. */
  feedback: string | null
  rebase?: boolean
  promptSha256: string | null
  killed: AttemptEnded['killed']
  /** Gate reports to keep for reuse. */
  reports: GateReport[]
  /** What the client itself counted; absent where it said nothing, or went on with a session whose earlier turns it counts again. */
  said?: TokenCount
  /** What was kept of an attempt that is parked. */
  archive?: Archive
  /** Land: the commit made of the tested tree, for the lander. */
  landing?: { commit: Sha; tree: Sha; parent: Sha | null }
}

export type Stage = (ports: StagePorts, work: Work) => Promise<StageResult>

const nothing = { product: null, feedback: null, promptSha256: null, killed: null, reports: [] }

/** A result that made nothing, with the reason. */
export const without = (outcome: Outcome, reason: string, more: Partial<StageResult> = {}): StageResult => ({
  ...nothing,
  outcome,
  reason,
  ...more,
})

/** A result with a product. */
export const withProduct = (product: Product, reason: string, more: Partial<StageResult> = {}): StageResult => ({
  ...nothing,
  outcome: 'passed',
  reason,
  product,
  ...more,
})

/** The Outcome word a signal was fired with. */
export const stoppedAs = (signal: AbortSignal): Outcome =>
  typeof signal.reason === 'string' ? (signal.reason as Outcome) : 'killed'
