/** The daemon on one rung of this machine, as a process of its own that may be ended in whatever way. usage: node daemon.ts RUNG */
import { isRefusal } from '../../src/core/refusal.ts'
import type { Rung } from '../../src/core/rung.ts'
import { startDaemon } from '../../src/daemon/daemon.ts'
import { machinePorts } from '../../src/daemon/ports.ts'
import { loadConfig } from '../../src/host/config.ts'
import { environment } from '../../src/host/environment.ts'
import { findPaths } from '../../src/host/path.ts'
import { realWorld } from '../../src/host/world.ts'
import { createSandbox } from '../../src/sandbox/create.ts'

const rung = process.argv[2] as Rung
const env = environment()
const paths = findPaths(env)
const loaded = await loadConfig({ file: paths.configFile, env })
if (isRefusal(loaded)) throw new Error(loaded.why)
const started = await startDaemon({
  world: realWorld(),
  paths,
  settings: loaded.settings,
  env,
  version: '0',
  pid: process.pid,
  trusted: true,
  ports: { ...machinePorts, createSandbox: (world, asked) => createSandbox(world, { ...asked, rung, lowest: rung }) },
})
if (isRefusal(started)) throw new Error(started.why)
process.on('SIGTERM', () => {
  void started.drain(new AbortController().signal).then(() => started[Symbol.asyncDispose]())
})
process.stdout.write(`ready on ${started.rung}\n`)
