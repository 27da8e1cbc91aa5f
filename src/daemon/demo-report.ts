/** How the demo ends: what landed, who wrote and reviewed it, what it cost, and whether the repository's own tests pass on the landed branch. */
import { join } from 'node:path'
import { rm } from 'node:fs/promises'
import { stateOf, type Task } from '../core/task.ts'
import type { Env, Paths } from '../host/path.ts'
import { capture } from '../host/process.ts'
import type { World } from '../host/world.ts'

type Report = {
  world: World
  tasks: Task[]
  paths: Paths
  repository: string
  folder: string
  seconds: number
  rung: string
  env: Env
  json: boolean
  out: (text: string) => void
}

const branch = 'tri-agent/landing'

/** Prints the report; 0 when everything landed and is green, else 1. */
export async function reportDemo(report: Report): Promise<number> {
  const { tasks, json, out } = report
  const landed = tasks.every(({ landed }) => landed !== null)
  const tests = landed ? await testLanded(report) : { green: false, tail: 'not executed: not every task landed' }
  const ok = landed && tests.green
  if (json) out(`${JSON.stringify(asJson(report, ok, tests.green), null, 2)}\n`)
  else out(await asText(report, ok, tests))
  return ok ? 0 : 1
}

/** The repository's own tests, on a fresh clone of the landed branch, outside of tri-agent. */
async function testLanded({ world, repository, folder, env }: Report): Promise<{ green: boolean; tail: string }> {
  const clone = join(folder, 'check')
  await rm(clone, { recursive: true, force: true })
  const own = {
    PATH: env['PATH'] ?? '/usr/bin:/bin',
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
  }
  const steps = [
    ['git', 'clone', '--quiet', '--branch', branch, repository, clone],
    ['npm', 'ci', '--no-audit', '--no-fund', '--prefix', clone],
    ['npm', 'test', '--prefix', clone],
    ['npm', 'run', 'bugs', '--prefix', clone],
  ]
  for (const [file = '', ...args] of steps) {
    const done = await capture(world.spawn, { file, args, cwd: folder, env: own })
    if (done.code !== 0) return { green: false, tail: `${file} ${args.join(' ')}\n${done.stdout}${done.stderr}` }
  }
  await rm(clone, { recursive: true, force: true })
  return { green: true, tail: '' }
}

const dollars = (nano: number): string => `$${(nano / 1e9).toFixed(4)}`

async function asText(report: Report, ok: boolean, tests: { green: boolean; tail: string }): Promise<string> {
  const { tasks, folder, repository, seconds, rung, paths } = report
  const rows = tasks.map((task) => {
    const reviewers = task.round?.votes.map(({ family }) => family).join(', ') ?? ''
    const { input, cachedInput, cacheWrite, output } = task.tokens
    return [
      task.title,
      stateOf(task),
      task.candidate?.family ?? '–',
      reviewers || '–',
      String(task.returns),
      `${input + cachedInput + cacheWrite}/${output}`,
      dollars(task.costNanoUsd),
    ]
  })
  const total = tasks.reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0)
  const failed = tasks
    .filter(({ landed }) => landed === null)
    .map(({ title, why, evidence }) => `${title}: ${why ?? 'did not land'}\n${evidence ?? ''}`)
  return [
    `Landed on ${branch}, newest first:\n`,
    indent(await landedHistory(report)),
    table(['task', 'state', 'implemented', 'reviewed', 'returns', 'tokens in/out', 'cost'], rows),
    `\nTotal ${dollars(total)} (list prices; the models were simulated, so nothing was billed). Sandbox rung: ${rung}.`,
    tests.green
      ? `The repository's own tests pass on ${branch}, in a fresh clone.`
      : `The repository's own tests do NOT pass on ${branch}:\n${tests.tail}`,
    ...(failed.length > 0 ? [`\nNot landed:\n${failed.join('\n')}`] : []),
    `\nLook around (the log is ${paths.database}):\n`,
    `  export XDG_STATE_HOME=${join(folder, 'state')} XDG_CONFIG_HOME=${join(folder, 'config')}`,
    `  cd ${repository}`,
    '  tri-agent log; tri-agent list; tri-agent budget history; tri-agent verify-history',
    '  # in a clone the command is its ./tri-agent',
    '\nWith real agents, in your own repository: tri-agent keys set anthropic (openai, google), then init, doctor, up, add.',
    `\n${ok ? 'Done' : 'FAILED'} in ${seconds.toFixed(1)} s.\n`,
  ].join('\n')
}

async function landedHistory({ world, repository, folder, env }: Report): Promise<string> {
  const own = {
    PATH: env['PATH'] ?? '/usr/bin:/bin',
    HOME: folder,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
  }
  const args = ['-C', repository, 'log', '--no-color', '--format=%h %s%n%(trailers)', `main..${branch}`]
  const done = await capture(world.spawn, { file: 'git', args, cwd: folder, env: own })
  return done.code === 0 ? done.stdout.trimEnd() : '(nothing landed)'
}

const indent = (text: string): string =>
  `${text
    .split('\n')
    .map((line) => (line === '' ? '' : `  ${line}`))
    .join('\n')}\n`

function table(head: string[], rows: string[][]): string {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)].join('\n')
}

const asJson = ({ tasks, seconds, rung, repository, paths }: Report, ok: boolean, testsGreen: boolean) => ({
  ok,
  seconds,
  rung,
  simulated: true,
  repository,
  log: paths.database,
  testsGreen,
  tasks: tasks.map((task) => ({
    id: task.id,
    title: task.title,
    state: stateOf(task),
    implementedBy: task.candidate?.family ?? null,
    reviewedBy: task.round?.votes.map(({ family }) => family) ?? [],
    returns: task.returns,
    tokens: task.tokens,
    costNanoUsd: task.costNanoUsd,
    landed: task.landed?.commit ?? null,
  })),
})
