/** A daemon of the bundle, for benches: its own home, simulated models on loopback, a health port of its own, ended by pid. */
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { youngSpace } from '../src/cli/detach.ts' // as `up --detach` starts it
import type { Child } from '../src/host/process.ts'
import { world, type Person } from '../test/cli-rig.ts'

/** The operator's settings: three families, driven by `agent`, which is a program of ours. */
export async function configure(
  ada: Person,
  how: { agent: readonly string[]; url: string; port: number; more?: string },
): Promise<void> {
  const family = (model: string) =>
    `{ agent: scripted, program: ${JSON.stringify(how.agent)}, baseUrl: "${how.url}", keyFrom: { value: none }, models: ${model} }`
  const lines = [
    `http: { port: ${how.port} }`,
    'families:',
    `  anthropic: ${family('claude-opus-5-5')}`,
    `  openai: ${family('gpt-6-sol')}`,
    `  google: ${family('gemini-3.8-flash')}`,
    how.more ?? '',
  ]
  await mkdir(dirname(ada.paths.configFile), { recursive: true, mode: 0o700 })
  await writeFile(ada.paths.configFile, lines.join('\n'), { mode: 0o600 })
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

const startLimitMs = 30_000
const lookMs = 2

export type Up = AsyncDisposable & { pid: number; readyMs: number }

/** Starts `up` in the foreground and waits for 200 from /readyz. Disposing ends it and waits until it is gone. */
export async function startUp(program: string, ada: Person, port: number): Promise<Up> {
  const env = { HOME: ada.home, PATH: ada.path }
  const began = world.clock.mono()
  const child = await world.spawn({
    file: process.execPath,
    args: [youngSpace, program, 'up', '--trust'],
    cwd: ada.home,
    env,
  })
  const said: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => said.push(text))
  let ended = false
  void child.exit.then(() => (ended = true))
  for (;;) {
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ status }) => status === 200,
      () => false, // nobody listens yet
    )
    const readyMs = world.clock.mono() - began
    if (ready) return { pid: child.pid, readyMs, [Symbol.asyncDispose]: () => stop(child) }
    if (ended || readyMs > startLimitMs) {
      await stop(child)
      throw new Error(`the daemon did not become ready: ${said.join('')}`)
    }
    await world.timer.sleep(lookMs)
  }
}

async function stop(child: Child): Promise<void> {
  child.signal('SIGTERM')
  const late = world.timer.after(10_000, () => child.signal('SIGKILL'))
  await child.exit
  late()
}
