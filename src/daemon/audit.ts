/**
 * `tri-agent audit`: the attacks of sandbox/attack.ts on this very machine, on the rung that `up` would stand on, each with its positive control. All of it
 * is aimed at a throw-away place; of what is really here only one thing is asked: can a program inside tell that it exists?
 */
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { Rung } from '../core/rung.ts'
import { defaultSettings } from '../core/setting.ts'
import { loadConfig } from '../host/config.ts'
import { notesOnTools } from '../host/config-tool.ts'
import type { Env, Paths } from '../host/path.ts'
import { makeTemporary } from '../host/temporary.ts'
import type { World } from '../host/world.ts'
import { makeArea, removeTree } from '../sandbox/area.ts'
import { buildArena } from '../sandbox/arena.ts'
import { askForCalls, assault, type Verdict } from '../sandbox/assault.ts'
import { attacks } from '../sandbox/attack.ts'
import { askedOf, createSandbox } from '../sandbox/create.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { pathOf } from './ahead.ts'
import { searchHistory } from './audit-history.ts'

/** `notes`: what the settings open, which no attack on this machine would show. */
export type Audit = { rung: Rung; verdicts: Verdict[]; notes: string[] }

export type AuditPorts = { world: World; env: Env; paths: Paths; note(text: string): void }

/** Carries it all out; about half a minute. Refuses where `up` would: no rung that is accepted. */
export async function audit({ world, env, paths, note }: AuditPorts): Promise<Audit | Refusal> {
  const loaded = await loadConfig({ file: paths.configFile, env })
  const settings = isRefusal(loaded) ? defaultSettings(1) : loaded.settings
  const path = pathOf(env)
  const own = await makeTemporary('tri-audit')
  let folder = own
  try {
    const sandbox = await createSandbox(world, { ...askedOf(settings, paths, path), folder })
    if (isRefusal(sandbox)) return sandbox
    if (sandbox.place !== undefined) folder = await makeTemporary('tri-audit', sandbox.place)
    await using arena = await buildArena(world, path)
    const ports = { world, sandbox, arena, path }
    const verdicts: Verdict[] = []
    for (const [what, look] of [
      ['secrets, writing, network, processes, privileges', () => assault(ports, attacks)],
      ['system calls', () => askForCalls(ports)],
      ['the history of a repository', () => searchHistory(ports)],
      ['what is really here', () => realPlaces({ sandbox, env, paths, folder })],
    ] as const) {
      note(`Trying ${what}…`)
      verdicts.push(...(await look()))
    }
    return { rung: sandbox.rung, verdicts, notes: notesOnTools(settings.providerTools) }
  } finally {
    for (const each of new Set([own, folder])) await removeTree(each)
  }
}

/** Places of this account that hold credentials, as they really are: seen from inside, none may be there. Nothing of them is read. */
async function realPlaces({
  sandbox,
  env,
  paths,
  folder,
}: Omit<AuditPorts, 'note' | 'world'> & { sandbox: Sandbox; folder: string }): Promise<Verdict[]> {
  const home = env['HOME'] ?? ''
  const wanted = [
    ...['.ssh', '.aws', '.config/gcloud', '.azure', '.kube', '.docker', '.gnupg', '.netrc', '.npmrc'].map((name) =>
      join(home, name),
    ),
    paths.stateFolder,
    paths.keys,
    dirname(paths.configFile),
  ].filter((place) => place.startsWith('/') && existsSync(place))
  const area = await makeArea(join(folder, 'area'))
  await mkdir(area.work)
  const started = await sandbox.start({
    area,
    argv: ['/bin/sh', '-c', 'for place; do test -e "$place" && printf "%s\\n" "$place"; done', 'look', ...wanted],
    env: {},
    stdin: null,
    mounts: [],
    gateway: null,
  })
  let said = ''
  started.stdout.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')))
  started.stderr.resume()
  const ended = new Promise((resolve) => started.stdout.once('end', resolve))
  await started.exit
  await started.kill()
  await ended
  const seen = new Set(said.split('\n'))
  return wanted.map((place) => ({ name: place, group: 'place', state: seen.has(place) ? 'breached' : 'held' }))
}
