/**
 * The red team: everything this repository knows to try against itself, held or not, each with a control that works without the defence. An attack whose
 * control does not fire has failed. Bounded in count and time; aims at throw-away places alone.
 */
import { isRefusal } from '../../src/core/refusal.ts'
import { searchHistory } from '../../src/daemon/audit-history.ts'
import { environment } from '../../src/host/environment.ts'
import { makeTemporary } from '../../src/host/temporary.ts'
import { realWorld } from '../../src/host/world.ts'
import { removeTree } from '../../src/sandbox/area.ts'
import { buildArena } from '../../src/sandbox/arena.ts'
import { askForCalls, assault, type Verdict } from '../../src/sandbox/assault.ts'
import { createSandbox } from '../../src/sandbox/create.ts'
import { poisonAgents } from './agent.ts'
import { openDoors } from './git.ts'
import { leakSecrets } from './scrub.ts'
import { wishForSettings } from './setting.ts'

const world = realWorld()
const path = environment()['PATH'] ?? '/usr/bin:/bin'
const began = world.clock.mono()

/** The least that each part must try, or the part itself is what is missing. */
const floors: Readonly<Record<string, number>> = {
  sandbox: 66,
  calls: 30,
  git: 43,
  agents: 12,
  settings: 6,
  scrubber: 120,
}

async function inTheSandbox(): Promise<{ sandbox: Verdict[]; calls: Verdict[] }> {
  const folder = await makeTemporary('tri-audit')
  try {
    const sandbox = await createSandbox(world, { lowest: 'namespace', path, folder })
    if (isRefusal(sandbox)) throw new Error(sandbox.why)
    await using arena = await buildArena(world, path)
    const ports = { world, sandbox, arena, path }
    return { sandbox: [...(await assault(ports)), ...(await searchHistory(ports))], calls: await askForCalls(ports) }
  } finally {
    await removeTree(folder)
  }
}

const [contained, git] = await Promise.all([inTheSandbox(), openDoors()])
const parts = { ...contained, git, agents: poisonAgents(), settings: await wishForSettings(), scrubber: leakSecrets() }
let held = 0
let failed = 0
for (const [part, verdicts] of Object.entries(parts)) {
  const tried = verdicts.filter(({ state }) => state !== 'absent')
  const good = tried.filter(({ state }) => state === 'held').length
  const missing = Math.max(0, floors[part]! - tried.length)
  held += good
  failed += tried.length - good + missing
  process.stdout.write(
    `${part.padEnd(10)} ${good} of ${tried.length} held${missing > 0 ? `, ${missing} too few` : ''}\n`,
  )
  for (const { name, state, why } of verdicts.filter((each) => each.state !== 'held'))
    process.stdout.write(`  ${state}: ${name}${why ? ` (${why})` : ''}\n`)
}
process.stdout.write(
  `${held} held in ${Math.round((world.clock.mono() - began) / 1000)} s, each with a control that fires\n`,
)
process.stdout.write(`${held} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1
