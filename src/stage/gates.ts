/** Executing the repository's gates on one exact tree: fresh checkout, set-up layer, no key, no network. Results are reused by (tree, key). */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { concerned, type Gate, type GateReport, type GateResult } from '../core/gate.ts'
import { lackingIn } from '../core/outside.ts'
import type { Sha } from '../git/git.ts'
import { makeArea, removeArea } from '../sandbox/area.ts'
import { contain } from './contain.ts'
import { originOf, setUp } from './setup.ts'
import type { GateWork, StagePorts } from './stage.ts'

export type GatesDone = { report: GateReport; made: GateReport[] } | { failed: string }

/**
 * Executes the gates that the change from `base` to `tree` concerns, and those that are red also on `base` where the repository lets a baseline
 * excuse them. Where nothing differs all are executed: then it is the base itself that is looked at.
 */
export async function executeGates(ports: StagePorts, work: GateWork, tree: Sha, base: Sha): Promise<GatesDone> {
  const all = work.repository.gates.filter(({ baseline }) => baseline !== 'off')
  const baseTree = await ports.git.treeOf(work.repo.stores, base)
  const changed = await ports.git.changedPaths(work.repo.stores, baseTree, tree)
  const gates = baseTree === tree ? all : concerned(all, changed, work.repository.setupKey)
  const notConcerned = all.filter((gate) => !gates.includes(gate)).map(({ name }) => name)
  const tested = await gatesOn(ports, work, tree, gates)
  if ('failed' in tested) return tested
  const here = { ...tested, notConcerned } // told anew also where the result is reused: it names what this change left out
  const excusable = gates.filter(
    ({ name, baseline }) =>
      baseline === 'allow' && here.results.some((each) => each.name === name && each.state !== 'green'),
  )
  if (excusable.length === 0) return { report: here, made: here.reused ? [] : [here] }
  // Asked anew also where the result is reused: what excused it then may be mended by now.
  const there = baseTree === tree ? here : await gatesOn(ports, work, baseTree, gates)
  if ('failed' in there) return there
  const red = there.results.filter(({ state }) => state !== 'green').map(({ name }) => name)
  const report = { ...here, baseline: excusable.map(({ name }) => name).filter((name) => red.includes(name)) }
  return { report, made: [report, there].filter(({ reused }) => !reused) }
}

/** The key of a result: which commands, in which order, with which dependencies, on which rung, and what was not to be had. */
async function gateKey(
  ports: StagePorts,
  work: GateWork,
  tree: Sha,
  gates: readonly Gate[],
  lacking: readonly string[],
): Promise<string> {
  const dependencies = work.repository.setup.length === 0 ? '' : (await originOf(ports, work, tree)).name
  return createHash('sha256')
    .update(JSON.stringify([gates, dependencies, work.toolchain, ports.sandbox.rung, lacking]))
    .digest('hex')
    .slice(0, 32)
}

async function gatesOn(
  ports: StagePorts,
  work: GateWork,
  tree: Sha,
  gates: readonly Gate[],
): Promise<GateReport | { failed: string }> {
  const lacking = lackingIn(await ports.git.outside(work.repo.stores, tree))
  for (const each of lacking) work.onOutput('note', each)
  const key = await gateKey(ports, work, tree, gates, lacking)
  const known = await work.cachedGates(tree, key)
  if (known) return known
  const area = await makeArea(join(work.folder, `gates-${tree.slice(0, 12)}`))
  try {
    await ports.git.checkout(work.repo.stores, tree, area.work)
    const dependencies = await setUp(ports, work, tree, area)
    if ('failed' in dependencies) return dependencies
    const results: GateResult[] = []
    for (const gate of gates) {
      const result = await executeGate(ports, work, dependencies.area, gate)
      if (work.signal.aborted) return { failed: 'stopped' }
      results.push(result.state === 'green' ? result : { ...result, tail: [result.tail, ...lacking].join('\n') })
    }
    return { tree, key, results, baseline: [], reused: false }
  } finally {
    await removeArea(area)
  }
}

type MadeArea = Awaited<ReturnType<typeof makeArea>>

async function executeGate(
  ports: StagePorts,
  work: GateWork,
  area: MadeArea,
  { name, command, timeoutMs }: Gate,
): Promise<GateResult> {
  work.onOutput('note', `gate ${name}: ${command}`)
  const ran = await execute(ports, work, area, command, timeoutMs)
  const state = ran.timedOut ? 'timed-out' : ran.code === 0 ? 'green' : 'red'
  work.onOutput('note', `gate ${name}: ${state}`)
  return { name, command, state, exitCode: ran.code, ms: ran.ms, tail: ran.tail }
}

/** One shell command of the repository or of a reviewer, contained, without network and without a key. */
export function execute(ports: StagePorts, work: GateWork, area: MadeArea, command: string, timeoutMs: number) {
  const view = ports.sandbox.view(area, null)
  const env = { HOME: view.home, TMPDIR: view.tmp, CI: 'true' }
  return contain(
    ports,
    work,
    { area, argv: ['/bin/sh', '-c', command], env, stdin: null, mounts: [], gateway: null, toolchain: work.toolchain },
    timeoutMs,
  )
}
