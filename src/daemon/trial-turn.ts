/**
 * The trial turn of an agent whose version nobody tested: one question, in the sandbox, through a gateway of its own, answered by the loopback provider.
 * It costs nothing, leaves nothing, and is remembered by version, so that it is made once. It says whether the client still speaks as its adapter thinks.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { startProvider } from '../../sim/provider.ts'
import type { AgentSpec } from '../agent/agent.ts'
import { launch } from '../agent/launcher.ts'
import { insideArgv, type Located } from '../agent/locate.ts'
import { adapterNamed } from '../agent/registry.ts'
import { defaultLimits, type Grant } from '../core/budget.ts'
import type { FamilySettings, OperatorSettings } from '../core/setting.ts'
import { createGateway } from '../gateway/gateway.ts'
import { makeTemporary } from '../host/temporary.ts'
import type { World } from '../host/world.ts'
import { makeArea } from '../sandbox/area.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { saveTrial, trialOf } from '../store/health.ts'
import { grantKey } from '../store/ledger.ts'
import { otherFamilies, pricesFor } from './prices.ts'

export type TrialPorts = { world: World; sandbox: Sandbox; settings: OperatorSettings; database: Database }

/** The slowest client was seen to need six seconds for a whole turn, and machines are loaded. */
const longestMs = 60_000
const answer = 'The trial is over.'

/** Makes the trial where none of this version is remembered. `failed`: why the agent cannot be used; null: it can. */
export async function trialTurn(
  ports: TrialPorts,
  family: string,
  settings: FamilySettings,
  located: Located,
): Promise<{ failed: string | null }> {
  const { world, database } = ports
  const of = { agent: settings.agent, version: located.version }
  const known = await database.read((reader) => trialOf(reader, of.agent, of.version))
  if (known) return known
  const failed = await attempt(ports, family, settings, located)
  await database.write((tx) => saveTrial(tx, { ...of, failed, at: world.clock.now() }))
  return { failed }
}

async function attempt(
  { world, sandbox, settings }: TrialPorts,
  family: string,
  { agent, models }: FamilySettings,
  located: Located,
): Promise<string | null> {
  const folder = await makeTemporary('tri-trial', sandbox.place)
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
  const provider = stack.use(
    await startProvider({ world, scenario: { rules: [{ when: [], steps: [{ say: answer }] }] } }),
  )
  const database = openDatabase(':memory:')
  stack.defer(() => database.close())
  const gateway = stack.use(
    await createGateway({
      world,
      database,
      upstreams: [{ family, baseUrl: provider.url, key: () => 'nobodys-key' }],
      prices: pricesFor(settings),
      limits: { ...defaultLimits, pace: null },
      folder: join(folder, 's'),
      families: otherFamilies(settings),
    }),
  )
  const key = `vk-trial-${world.secret(24)}`
  const grant: Grant = {
    attempt: 'trial',
    task: 'trial',
    repo: 'trial',
    repoName: 'trial',
    stage: 'trial',
    lane: 'critical',
    family,
    models: [models.implementer],
    grantedAt: world.clock.now(),
    scope: 'task/trial',
    limitNanoUsd: settings.money.taskNanoUsd,
  }
  await database.write((tx) => grantKey(tx, key, grant))
  const way = { ...(await gateway.open(key, grant)), url: gateway.url }
  const end = await ask({
    world,
    sandbox,
    settings,
    family,
    agent,
    model: models.implementer,
    located,
    folder,
    way,
    key,
  })
  const asked = provider.requests.some(({ model }) => model === models.implementer)
  if (end.outcome !== 'passed')
    return `it ended as ${end.outcome}: ${end.reason}${end.reason.includes(end.complaint) ? '' : `; its last words: ${end.complaint}`}`
  if (!asked) return 'it did not ask the model it was told to, by the way it was told'
  return end.text.includes(answer) ? null : 'what the model answered could not be read from its output'
}

type Asked = {
  world: World
  sandbox: Sandbox
  settings: OperatorSettings
  family: string
  agent: FamilySettings['agent']
  model: string
  located: Located
  folder: string
  way: { socket: string; url: string }
  key: string
}

async function ask({ world, sandbox, settings, family, agent, model, located, folder, way, key }: Asked) {
  const area = await makeArea(join(folder, 'a'))
  await mkdir(area.work)
  const view = sandbox.view(area, way)
  const adapter = adapterNamed(agent)
  const contained = sandbox.contained
  const inside = '/opt/agent'
  const spec: AgentSpec = {
    attempt: 'trial',
    role: 'implementer',
    prompt: 'This is a trial. Say what you are told.',
    family,
    model,
    work: view.work,
    home: view.home,
    tmp: view.tmp,
    gatewayUrl: view.gatewayUrl,
    key,
    session: randomUUID(),
    access: 'edit',
    contained,
  }
  const controller = new AbortController()
  const cancel = world.timer.after(longestMs, () => controller.abort('timed-out'))
  try {
    let complaint = ''
    const end = await launch({
      world,
      parser: adapter.parser(spec),
      plan: adapter.plan(spec, insideArgv(located, contained ? inside : located.folder, view.node)),
      home: area.home,
      limits: { lineBytes: settings.sizes.lineBytes, totalBytes: 16 * 1024 * 1024, graceMs: 1000 },
      signal: controller.signal,
      onEvent: () => {},
      onOutput: (stream, line) => {
        if (stream === 'stderr' && line.trim() !== '') complaint = clip(line.trim())
      },
      start: ({ argv, env, stdin }) =>
        sandbox.start({
          area,
          argv,
          env: { HOME: view.home, TMPDIR: view.tmp, ...env },
          stdin,
          mounts: contained ? [{ from: located.folder, to: inside, mode: 'ro' }] : [],
          gateway: way,
        }),
    })
    return { ...end, complaint }
  } finally {
    cancel()
  }
}

const clip = (line: string): string => (line.length > 200 ? `${line.slice(0, 200)}…` : line)
