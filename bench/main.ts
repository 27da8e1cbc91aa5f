/**
 * The benches: what a user waits for and what an idle daemon costs, measured on the bundle and held against the targets.
 *
 *     npm run bench -- cli        a table, then one line of JSON
 *
 * Every figure stands beside a baseline of the same run: ratios count, absolute times only say which machine it was. Never part of the tests.
 */
import { oneOf } from '../src/core/nearest.ts'
import { isRefusal } from '../src/core/refusal.ts'
import type { Bench } from './measure.ts'

const benches: Readonly<Record<string, { about: string; load: () => Promise<Bench> }>> = {
  cli: {
    about: 'how long --version and status take, against bare node (about 1 minute)',
    load: async () => (await import('./cli.ts')).benchCli,
  },
  start: {
    about: 'up to /readyz, and what an idle daemon costs with 0 and with 100,000 queued tasks (about 3 minutes)',
    load: async () => (await import('./start.ts')).benchStart,
  },
  latency: {
    about: "add to the agent's first instruction, sandboxed, on 5,000 files, against a bare spawn (about 1 minute)",
    load: async () => (await import('./latency.ts')).benchLatency,
  },
  queue: {
    about:
      'the store at full drain, against other queues, with 2,000 and 1,000,000 queued (10 minutes on a quiet machine)',
    load: async () => (await import('./queue.ts')).benchQueue,
  },
  backup: {
    about: 'an online backup of 1,000,000 tasks while somebody writes, against cp and sync (about 5 minutes)',
    load: async () => (await import('./backup.ts')).benchBackup,
  },
  sandbox: {
    about:
      'an attempt put to work, cold and warm, by the number of files; from its kill to nothing left (about 2 minutes)',
    load: async () => (await import('./sandbox.ts')).benchSandbox,
  },
  large: {
    about: '100,000 files and 1 GB of history, from add to the landed commit, against plain git (about 1 minute)',
    load: async () => (await import('./large.ts')).benchLarge,
  },
  gateway: {
    about: 'passing through the gateway, against straight, http-proxy-3 and Portkey (about 2 minutes)',
    load: async () => (await import('./gateway.ts')).benchGateway,
  },
  ratelimit: {
    about: 'twelve agents at 2.6 times what a provider allows, by the gateway and by themselves (about 2 minutes)',
    load: async () => (await import('./ratelimit.ts')).benchRatelimit,
  },
  overshoot: {
    about:
      'ten and thirty streams against one budget and a provider that bills until our abort arrives, beside others (about 3 minutes)',
    load: async () => (await import('./overshoot.ts')).benchOvershoot,
  },
  install: {
    about: 'the packed tarball installed into an empty folder: size and seconds (about 20 seconds)',
    load: async () => (await import('./install.ts')).benchInstall,
  },
}

const names = Object.keys(benches)
const usage = `usage: npm run bench -- <name>\n\n${Object.entries(benches)
  .map(([name, { about }]) => `  ${name.padEnd(11)}${about}\n`)
  .join('')}`

async function main(typed: readonly string[]): Promise<number> {
  const [name = '--help', ...more] = typed
  if (name === '--help' || name === '-h') {
    process.stdout.write(usage)
    return typed.length === 0 ? 2 : 0
  }
  const known = more.length > 0 ? oneOf('option', more[0]!, ['--help']) : oneOf('bench', name, names)
  if (isRefusal(known)) {
    process.stderr.write(`bench: ${known.why}\n  → ${known.hint}\n`)
    return 2
  }
  const [bench, { report }] = await Promise.all([benches[name]!.load(), import('./measure.ts')])
  process.stdout.write(report(name, await bench((note) => process.stderr.write(`${note}\n`))))
  return 0
}

process.exitCode = await main(process.argv.slice(2))
