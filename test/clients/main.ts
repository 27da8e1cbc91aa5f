/**
 * The real Claude Code, Codex, Gemini CLI and opencode drive the real pipeline against the loopback provider: each implements one task, and the others
 * review it. As root it happens in a network namespace that has nothing but loopback, so that no client can reach out whatever it tries.
 *
 *     can it be held here? ─▶ install the clients (once) ─▶ scene.ts, in a namespace where that can be had
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { environment } from '../../src/host/environment.ts'
import { capture } from '../../src/host/process.ts'
import { realWorld } from '../../src/host/world.ts'
import { isAtLeast } from '../../src/core/rung.ts'
import { probe } from '../../src/sandbox/create.ts'
import { install } from './install.ts'

const world = realWorld()
const env = environment()
const path = env['PATH'] ?? '/usr/bin:/bin'
const say = (text: string): void => void process.stdout.write(text)

/** `unshare` with these becomes the rest of its arguments, with loopback up and no other interface. */
const aloneThere = ['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh']

process.exitCode = await main()

async function main(): Promise<number> {
  const hindrance = await whyNotHere()
  if (hindrance !== null) return skip(hindrance)
  const installed = await install(world, env, import.meta.dirname)
  if ('unreachable' in installed)
    return skip(`the clients could not be fetched from the npm registry: ${installed.unreachable}`)
  const { folder, seconds } = installed
  say(`Clients in ${folder}${seconds === null ? '' : `, installed in ${seconds.toFixed(1)} s`}.\n`)
  const own = await ownNetwork()
  say(
    own
      ? 'Network: a namespace with nothing but loopback.\n'
      : 'Network: this machine’s, because a namespace could not be had.\n',
  )
  return perform([process.execPath, join(import.meta.dirname, 'scene.ts'), folder, own ? 'isolated' : 'open'], own)
}

function skip(why: string): number {
  say(`SKIPPED real clients: ${why}\n0 passed, 0 failed, 1 skipped\n`)
  return 0
}

/** Null, or what keeps an agent from being contained on this machine. */
async function whyNotHere(): Promise<string | null> {
  const folder = mkdtempSync(join(tmpdir(), 'tri-agent-clients-'))
  try {
    const { rung, reasons } = await probe(world, { path, folder })
    return isAtLeast(rung, 'namespace') ? null : reasons.join('; ')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Can we have a network namespace of our own? */
async function ownNetwork(): Promise<boolean> {
  const args = [...aloneThere, 'true']
  const tried = capture(world.spawn, { file: 'unshare', args, cwd: '/', env: { PATH: path } })
  return (
    process.getuid?.() === 0 &&
    (await tried.then(
      ({ code }) => code === 0,
      () => false,
    ))
  )
}

/** In our process group, so that who interrupts us interrupts both; and we wait for it, because it has things to put away. */
function perform(scene: readonly string[], own: boolean): Promise<number> {
  const [file = '', ...args] = own ? ['unshare', ...aloneThere, ...scene] : scene
  const inherited = Object.fromEntries(
    ['HOME', 'LANG', 'TMPDIR'].flatMap((name) => (env[name] ? [[name, env[name]]] : [])),
  )
  const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...inherited, PATH: path } })
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => child.kill(name))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
