/**
 * Asking an agent: an area with a tree in it, dependencies laid over, one contained process of the vendor's CLI, its end read as an answer.
 * The area lives until `use` has looked at what was left in it. What the agent says is an answer, never a fact.
 */
import { appendFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentEnd, AgentSpec, Role } from '../agent/agent.ts'
import { launch } from '../agent/launcher.ts'
import { insideArgv } from '../agent/locate.ts'
import type { Sha } from '../git/git.ts'
import { prepareSecrets, scrubKnown } from '../host/scrub.ts'
import { makeArea, removeArea, removeTree } from '../sandbox/area.ts'
import type { Area, Box, Mount } from '../sandbox/sandbox.ts'
import { startWritten } from './contain.ts'
import { keepWork, layHome } from './park.ts'
import type { Prompt } from './prompt.ts'
import { setUp } from './setup.ts'
import { stoppedAs, without, type StagePorts, type StageResult, type Work } from './stage.ts'

export type Question = {
  role: Role
  prompt: Prompt
  /** `edit`: a private clone at this commit, whose work begins at `base`. `read`: its files, without .git, read-only. */
  tree: { edit: Sha; base: Sha } | { read: Sha }
  schema?: object
}

export type Asked = {
  end: AgentEnd
  /** What every result of this attempt carries. */
  facts: Pick<StageResult, 'promptSha256' | 'killed' | 'said'>
  area: Area
  /** Read-only mounts the tree needs to be whole: its borrowed objects. */
  mounts: Mount[]
}

/** Where the agent's program and the borrowed objects are inside. */
const programInside = '/opt/agent'
export const objectsInside = '/store'

/** The folder of the agent's area in the attempt's. */
export const agentArea = 'agent'

const graceMs = 2000

/** Asks, and calls `use` when the agent came to a good end; any other end is the result. */
export async function askAgent(
  ports: StagePorts,
  work: Work,
  question: Question,
  use: (asked: Asked) => Promise<StageResult>,
): Promise<StageResult> {
  const promptSha256 = question.prompt.sha256
  const area = await makeArea(join(work.folder, agentArea))
  try {
    const tree = await layTree(ports, work, area, question)
    if ('failed' in tree)
      return without(work.signal.aborted ? stoppedAs(work.signal) : 'failed', tree.failed, { promptSha256 })
    // before anything is made of what it said: a record, a prompt for another, a message
    const { killed, ...end } = scrubKnown(await start(ports, work, question, tree), prepareSecrets(work.secrets))
    await work.ended(killed)
    const facts = { promptSha256, killed, ...(work.kept ? {} : { said: end.tokens }) }
    // told to end, a daemon takes what had come to its end by then
    const isOver = end.outcome === 'passed' && work.isDrained()
    const outcome = work.signal.aborted && !isOver ? stoppedAs(work.signal) : end.outcome
    if (outcome !== 'passed') {
      const isParked =
        'edit' in question.tree &&
        (outcome === 'over-budget' || (work.signal.aborted ? work.isDrained() : work.isOverBudget()))
      const asked = { end, facts, ...tree }
      const archive = isParked ? await keepWork(ports, work, asked, (question.tree as { base: Sha }).base) : null
      return without(outcome, end.reason, { ...facts, ...(archive ? { archive } : {}) })
    }
    return await use({ end, facts, ...tree })
  } finally {
    await removeArea(area)
  }
}

/** An area whose tree is whole, with the mounts that takes; those of submodules only for the agent's own start. */
type Tree = { area: Area; mounts: Mount[]; modules: Mount[] }

async function layTree(
  ports: StagePorts,
  work: Work,
  area: Area,
  { tree }: Question,
): Promise<Tree | { failed: string }> {
  const { git, sandbox, pool } = ports
  const { stores } = work.repo
  const contained = sandbox.contained
  const commit = 'edit' in tree ? tree.edit : tree.read
  const clone = () => git.clone(stores, commit, area.work, contained ? objectsInside : null)
  const again = () => removeTree(area.work).then(clone)
  const taken = 'edit' in tree ? await pool.take(stores, commit, area.work) : null
  if (taken === null) await ('edit' in tree ? clone() : git.checkout(stores, commit, area.work))
  const laid = taken?.laid ? { ...taken.laid, again } : null
  const dependencies = await setUp(ports, work, commit, area, laid)
  if ('failed' in dependencies) return dependencies
  if ('edit' in tree) {
    // What set-up made is not the agent's work, also where the repository forgot to ignore it.
    await mkdir(join(area.work, '.git', 'info'), { recursive: true })
    await appendFile(
      join(area.work, '.git', 'info', 'exclude'),
      dependencies.added.map((path) => `/${path}\n`).join(''),
    )
  }
  const { modules } = await git.outside(stores, commit)
  return {
    area: dependencies.area,
    mounts: 'edit' in tree ? borrowedBy(ports, work) : [],
    modules: contained ? modules.filter(({ there }) => there).map(({ path }) => readOnlyAt(ports, area, path)) : [],
  }
}

/** A clone borrows objects: only with these is it whole. */
export const borrowedBy = ({ git, sandbox }: StagePorts, { repo }: Pick<Work, 'repo'>): Mount[] =>
  (sandbox.contained ? git.objectFolders(repo.stores) : []).map((from, index) => ({
    from,
    to: `${objectsInside}/${index}`,
    mode: 'ro',
  }))

/**
 * What a task does in a submodule is no work of its own, so it is told at once that it cannot. Only for the agent's own start: once it was at work in the
 * tree, a path below it may lead anywhere, and is mounted no more.
 */
const readOnlyAt = ({ sandbox }: StagePorts, area: Area, path: string): Mount => ({
  from: join(area.work, path),
  to: join(sandbox.view(area, null).work, path),
  mode: 'ro',
})

/** A UUID of 32 hexadecimal digits of chance. */
const sessionFrom = (hex: string): string =>
  `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`

async function start(ports: StagePorts, work: Work, question: Question, { area, mounts, modules }: Tree) {
  const { world, sandbox, settings } = ports
  const { attempt, gateway } = work
  const found = attempt.family === null ? null : ports.agent(attempt.family)
  if (!found || !gateway || attempt.family === null || attempt.model === null)
    throw new Error(`${attempt.step} without an agent, a model or a key`)
  const contained = sandbox.contained
  const view = sandbox.view(area, gateway)
  const session = 'edit' in question.tree ? await layHome(ports, work, area) : null
  const spec: AgentSpec = {
    attempt: attempt.attempt,
    role: question.role,
    prompt: question.prompt.text,
    family: attempt.family,
    model: attempt.model,
    work: view.work,
    home: view.home,
    tmp: view.tmp,
    gatewayUrl: view.gatewayUrl,
    key: gateway.key,
    session: session ?? sessionFrom(world.secret(16)),
    resumed: session !== null,
    access: 'edit' in question.tree ? 'edit' : 'read',
    contained,
    ...(question.schema ? { schema: question.schema } : {}),
    ...(question.role === 'reviewer'
      ? {}
      : { providerTools: Object.keys(settings.providerTools[attempt.family] ?? {}) }), // a judge sees what it is shown
  }
  const program = insideArgv(found, contained ? programInside : found.folder, view.node)
  const plan = found.adapter.plan(spec, program)
  return launch({
    world,
    parser: found.adapter.parser(spec),
    plan,
    home: area.home,
    limits: { lineBytes: settings.sizes.lineBytes, totalBytes: settings.sizes.outputBytes, graceMs },
    signal: work.signal,
    onEvent: work.onAgentEvent,
    onOutput: work.onOutput,
    start: async ({ argv, env, stdin }) => {
      const box: Box = {
        area,
        argv,
        env: { HOME: view.home, TMPDIR: view.tmp, ...env },
        stdin,
        mounts: contained ? [...mounts, ...modules, { from: found.folder, to: programInside, mode: 'ro' }] : [],
        readOnlyWork: spec.access === 'read',
        gateway,
        toolchain: work.toolchain,
      }
      return startWritten(sandbox, work, box)
    },
  })
}
